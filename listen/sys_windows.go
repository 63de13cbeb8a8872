package listen

import (
	"errors"
	"io/fs"
	"syscall"
)

// Winsock's numbers, which package syscall does not map to its own.
const (
	wsaEADDRINUSE    = syscall.Errno(10048)
	wsaEADDRNOTAVAIL = syscall.Errno(10049)
	wsaECONNREFUSED  = syscall.Errno(10061)
)

// errInUse is the system's "address already in use".
var errInUse error = wsaEADDRINUSE

func isInUse(err error) bool   { return errors.Is(err, wsaEADDRINUSE) }
func isRefused(err error) bool { return errors.Is(err, wsaECONNREFUSED) }

func isDenied(err error) bool {
	return errors.Is(err, syscall.WSAEACCES) || errors.Is(err, fs.ErrPermission)
}

func isNoSuchAddress(err error) bool { return errors.Is(err, wsaEADDRNOTAVAIL) }

// resets are what the system says when the peer has broken a connection:
// WSAECONNABORTED, WSAECONNRESET, WSAENOTCONN and WSAETIMEDOUT, and what package
// syscall makes of some.
var resets = []error{
	syscall.ECONNABORTED, syscall.ECONNRESET, syscall.EPIPE,
	syscall.Errno(10053), syscall.Errno(10054), syscall.Errno(10057), syscall.Errno(10060),
}
