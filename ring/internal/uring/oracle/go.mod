module github.com/windhover-server/windhover/ring/internal/uring/oracle

go 1.26.0

require (
	github.com/pawelgaczynski/giouring v0.0.0-20230826085535-69588b89acb9
	github.com/windhover-server/windhover v0.0.0
	golang.org/x/sys v0.49.0
)

replace github.com/windhover-server/windhover => ../../../..
