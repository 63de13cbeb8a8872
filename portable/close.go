package portable

import (
	"net"
	"time"

	"github.com/windhover-server/windhover/listen"
)

// Detach implements [listen.Link].
func (l *link) Detach() (net.Conn, []byte, error) {
	if err := l.flush(); err != nil {
		return nil, nil, err
	}
	l.mu.Lock()
	if f := l.flags.Load(); f&(flagAborted|flagDetached|flagEnded) != 0 {
		l.mu.Unlock()
		return nil, nil, net.ErrClosed
	}
	l.stopWatch()
	l.flags.Or(flagDetached)
	l.stopTimer()
	received := l.ahead
	l.ahead = nil
	l.mu.Unlock()
	if err := l.conn.SetDeadline(time.Time{}); err != nil {
		return nil, nil, err
	}
	l.t.remove(l)
	return l.conn, received, nil
}

// Abort implements [listen.Link].
func (l *link) Abort() { l.abort(nil) }

// abort breaks the connection for a reason that Lost is to be given.
func (l *link) abort(reason error) {
	l.mu.Lock()
	if l.flags.Load()&(flagAborted|flagDetached|flagEnded) != 0 {
		l.mu.Unlock()
		return
	}
	l.abortReason = reason
	l.flags.Or(flagAborted)
	idle := l.phase.Load() == waiting && reason == listen.ErrServerClosed
	l.wake()
	l.mu.Unlock()
	l.gone(net.ErrClosed) // first: a call that fails for it may end the link
	l.closeConn(!idle)
}

// closeConn closes conn; with reset, such that the peer cannot take what it
// has got for all there was, and nothing is kept for one that does not read.
func (l *link) closeConn(reset bool) {
	c := l.conn
	if u, ok := c.(interface{ NetConn() net.Conn }); ok && reset {
		// A *tls.Conn would wait to send an alert.
		c = u.NetConn()
		defer l.conn.Close()
	}
	if tc, ok := c.(*net.TCPConn); ok && reset {
		_ = tc.SetLinger(0)
	}
	_ = c.Close()
}

// lingerBytes bounds what a closing connection discards.
const lingerBytes = 16 << 20

// finish does what the verdict Close demands. It returns the reason for Lost.
func (l *link) finish() error {
	if l.flush() != nil {
		return l.failure()
	}
	l.clean = true
	l.sendMu.Lock()
	sent := l.sent
	l.sendMu.Unlock()
	l.mu.Lock()
	l.stopWatch()
	l.stopTimer()
	l.flags.Or(flagClosing)
	eof := l.readErr != nil
	l.mu.Unlock()
	if !sent || eof {
		return l.failure()
	}
	if cw, ok := l.conn.(interface{ CloseWrite() error }); ok && cw.CloseWrite() == nil {
		l.discard()
	}
	return l.failure()
}

// discard reads until the peer has closed or Options.Linger is over.
func (l *link) discard() {
	var until time.Time
	if l.opt.Linger > 0 {
		until = time.Now().Add(l.opt.Linger)
	}
	if l.conn.SetReadDeadline(until) != nil {
		return
	}
	for total := 0; total < lingerBytes; total += l.n {
		if l.receive() != nil {
			return
		}
	}
}

// failure returns why the connection has ended, if not by the protocol's will.
func (l *link) failure() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.flags.Load()&flagAborted != 0 {
		return l.abortReason
	}
	l.sendMu.Lock()
	defer l.sendMu.Unlock()
	return l.sendErr
}

// end closes conn, unless it has been detached, and tells the protocol. It is
// called once, by the connection's goroutine.
func (l *link) end(reason error) {
	l.mu.Lock()
	l.flags.Or(flagEnded)
	l.stopTimer()
	l.mu.Unlock()
	if l.flags.Load()&flagDetached == 0 {
		l.closeConn(!l.clean)
	}
	l.mu.Lock()
	for l.watching || l.gones > 0 {
		l.sleep()
	}
	l.ahead = nil
	l.mu.Unlock()
	l.releaseIn()
	l.dropQueue()
	l.proto.Lost(reason)
	l.t.remove(l)
}
