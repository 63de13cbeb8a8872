package main

import (
	"io"
	"net/http"
	"strings"
	"time"
)

// upgrade echoes the bytes of a connection that has left HTTP.
func upgrade(_ app, w http.ResponseWriter, r *http.Request) {
	if !r.ProtoAtLeast(1, 1) || !hasToken(r.Header["Connection"], "upgrade") || !hasToken(r.Header["Upgrade"], "echo") {
		w.Header().Set("Upgrade", "echo")
		w.Header().Set("Connection", "upgrade")
		text(w, http.StatusUpgradeRequired, "upgrade required")
		return
	}
	if r.ContentLength != 0 {
		w.Header().Set("Connection", "close")
		text(w, http.StatusBadRequest, "no body allowed")
		return
	}
	conn, rw, err := http.NewResponseController(w).Hijack()
	if err != nil {
		panic(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Time{})
	io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")
	io.Copy(conn, rw.Reader)
}

func hasToken(values []string, token string) bool {
	for _, v := range values {
		for t := range strings.SplitSeq(v, ",") {
			if strings.EqualFold(strings.TrimSpace(t), token) {
				return true
			}
		}
	}
	return false
}
