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
