module github.com/windhover-server/windhover

go 1.26
