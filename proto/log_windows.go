package proto

import "syscall"

// systemResets are what the system says when the peer has broken a connection:
// WSAECONNABORTED, WSAECONNRESET and WSAETIMEDOUT, which package syscall does not
// take for ECONNABORTED and so on.
var systemResets = []error{
	syscall.ECONNABORTED, syscall.ECONNRESET, syscall.EPIPE,
	syscall.Errno(10053), syscall.Errno(10054), syscall.Errno(10060),
}
