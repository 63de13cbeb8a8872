//go:build !windows && !plan9

package proto

import "syscall"

// systemResets are what the system says when the peer has broken a connection.
var systemResets = []error{
	syscall.ECONNRESET, syscall.ECONNABORTED, syscall.EPIPE, syscall.ENOTCONN, syscall.ETIMEDOUT,
}
