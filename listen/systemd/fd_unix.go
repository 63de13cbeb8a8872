//go:build unix

package systemd

import (
	"os"
	"syscall"
)

// openFD returns the descriptor, closed on exec, or nil if there is none.
func openFD(fd int, name string) *os.File {
	var st syscall.Stat_t
	if syscall.Fstat(fd, &st) != nil {
		return nil
	}
	syscall.CloseOnExec(fd)
	return os.NewFile(uintptr(fd), name)
}
