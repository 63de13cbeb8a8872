//go:build unix

package portable

import (
	"io"
	"net"
	"os"
	"syscall"
)

// useRaw prepares waiting for readiness, so that a connection that waits for
// input holds no buffer, and sending without waiting.
func (l *link) useRaw() {
	sc, ok := l.conn.(syscall.Conn)
	if !ok {
		return
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return
	}
	l.raw = raw
	l.readReady, l.writeReady = l.tryRead, l.tryWrite
}

// tryRead is called when conn may be ready. The buffer that the last call left
// serves for the first try.
func (l *link) tryRead(fd uintptr) bool {
	if l.in == nil {
		l.in = getInput()
	}
	for {
		l.n, l.errno = syscall.Read(int(fd), l.in.b)
		switch l.errno {
		case syscall.EINTR:
			continue
		case syscall.EAGAIN:
			putInput(l.in)
			l.in = nil
			return false
		}
		return true
	}
}

// receiveRaw is receive for a conn that can be waited for.
func (l *link) receiveRaw() error {
	err := l.raw.Read(l.readReady)
	switch {
	case err != nil:
	case l.errno != nil:
		err = l.opError("read", l.errno)
	case l.n == 0:
		err = io.EOF
	default:
		return nil
	}
	l.releaseIn()
	return err
}

// tryWrite sends as much of wbuf as the kernel takes.
func (l *link) tryWrite(fd uintptr) bool {
	for {
		n, err := syscall.Write(int(fd), l.wbuf)
		if err == syscall.EINTR {
			continue
		}
		l.wn = max(n, 0)
		return true
	}
}

// sendNow sends what can be sent without waiting. What is left is for a write
// that waits, which also finds out what error there may be. An error returned
// here is that of a deadline which somebody else has given conn.
func (l *link) sendNow(p []byte) (int, error) {
	l.wbuf, l.wn = p, 0
	err := l.raw.Write(l.writeReady)
	l.wbuf = nil
	if err != nil && isTimeout(err) && l.early(l.wdl.told.Load()) {
		return l.wn, err
	}
	return l.wn, nil
}

// opError makes the error that conn's own methods would return.
func (l *link) opError(op string, errno error) error {
	return &net.OpError{
		Op: op, Net: l.conn.LocalAddr().Network(), Source: l.conn.LocalAddr(), Addr: l.conn.RemoteAddr(),
		Err: os.NewSyscallError(op, errno),
	}
}
