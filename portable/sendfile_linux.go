package portable

import (
	"errors"
	"os"
	"syscall"
)

const sendsSections = true

// sendMore sends p, which something follows at once: it may wait for that to
// fill a packet.
func (l *link) sendMore(p []byte) (int, error) {
	if l.raw == nil || l.passed(&l.wdl) {
		return l.send(p)
	}
	n := 0
	_ = l.raw.Write(func(fd uintptr) bool { // what it does not send, send does
		for {
			var err error
			n, err = syscall.SendmsgN(int(fd), p, nil, nil, syscall.MSG_MORE|syscall.MSG_NOSIGNAL)
			if err != syscall.EINTR {
				return true
			}
		}
	})
	n = max(n, 0)
	l.account(n)
	if n == len(p) {
		return n, nil
	}
	m, err := l.send(p[n:])
	return n + m, err
}

// sendSection sends count bytes of f from offset, as many as the socket takes
// after waiting for it to take some.
func (l *link) sendSection(f *os.File, offset, count int64) (done int64, err error) {
	src, err := f.SyscallConn()
	if err != nil {
		return 0, errors.ErrUnsupported
	}
	ctlErr := src.Control(func(in uintptr) {
		werr := l.raw.Write(func(out uintptr) bool {
			var n int
			for {
				n, err = syscall.Sendfile(int(out), int(in), &offset, int(count))
				if err != syscall.EINTR {
					break
				}
			}
			done = int64(max(n, 0))
			return err != syscall.EAGAIN
		})
		if err == nil || err == syscall.EAGAIN {
			err = werr
		}
	})
	switch {
	case err == syscall.EINVAL || err == syscall.ENOSYS || err == syscall.EOPNOTSUPP:
		return done, errors.ErrUnsupported
	case err != nil:
		if errno, ok := err.(syscall.Errno); ok {
			err = l.opError("sendfile", errno)
		}
		return done, err
	}
	return done, ctlErr
}
