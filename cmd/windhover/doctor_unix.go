//go:build unix

package main

import (
	"fmt"
	"syscall"
)

// openFiles tells the bound on connections that users run into first.
func openFiles() string {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return ""
	}
	return fmt.Sprintf("open files: %d (each connection is one; ulimit -n, LimitNOFILE)", limit.Cur)
}
