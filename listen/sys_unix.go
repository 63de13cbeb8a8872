//go:build unix

package listen

import (
	"errors"
	"io/fs"
	"os"
	"syscall"
)

// errInUse is the system's "address already in use".
var errInUse error = syscall.EADDRINUSE

func isInUse(err error) bool   { return errors.Is(err, syscall.EADDRINUSE) }
func isRefused(err error) bool { return errors.Is(err, syscall.ECONNREFUSED) }
func isDenied(err error) bool  { return errors.Is(err, fs.ErrPermission) }

func isNoSuchAddress(err error) bool { return errors.Is(err, syscall.EADDRNOTAVAIL) }

// resets are what the system says when the peer has broken a connection.
var resets = []error{syscall.ECONNRESET, syscall.ECONNABORTED, syscall.EPIPE, syscall.ENOTCONN, syscall.ETIMEDOUT}

// control sets what a socket must have before it is bound.
func (b *Binding) control(network, _ string, c syscall.RawConn) error {
	var err error
	ctl := c.Control(func(fd uintptr) {
		switch {
		case network == "unix":
			if b.Options.UnixMode != 0 {
				// On Linux the file gets the socket's own mode, less the
				// umask. Elsewhere this fails, and the mode comes a moment
				// after the file.
				_ = syscall.Fchmod(int(fd), uint32(b.firstMode()))
			}
		case b.Options.ReusePort:
			err = os.NewSyscallError("setsockopt", syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, reusePort, 1))
		}
	})
	return errors.Join(ctl, err)
}

// firstMode is the mode until the owner is set: group and others come later.
func (b *Binding) firstMode() fs.FileMode {
	if b.Options.UnixOwner != "" {
		return b.Options.UnixMode & 0o700
	}
	return b.Options.UnixMode
}

// setBacklog calls listen(2) again, which changes the backlog of a socket that
// listens; package net has used the system's maximum.
func setBacklog(c syscall.Conn, n int) error {
	rc, err := c.SyscallConn()
	if err != nil {
		return err
	}
	ctl := rc.Control(func(fd uintptr) { err = syscall.Listen(int(fd), n) })
	return errors.Join(ctl, err)
}

func isListening(c syscall.Conn) bool {
	rc, err := c.SyscallConn()
	if err != nil {
		return false
	}
	n := 0
	ctl := rc.Control(func(fd uintptr) {
		n, err = syscall.GetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_ACCEPTCONN)
	})
	return ctl == nil && err == nil && n != 0
}
