//go:build !unix

package listen

import (
	"errors"
	"syscall"
)

// control sets nothing: check has refused what cannot be set here.
func (b *Binding) control(string, string, syscall.RawConn) error { return nil }

func setBacklog(syscall.Conn, int) error { return errors.ErrUnsupported }

// isListening cannot be told here; Accept will.
func isListening(syscall.Conn) bool { return true }
