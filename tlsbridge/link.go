package tlsbridge

import (
	"bytes"
	"crypto/tls"
	"io"
	"net"
	"sync"
	"time"

	"github.com/windhover-server/windhover/listen"
)

// innerLink is the plaintext [listen.Link] that the inner protocol works with.
//
// What End commits is encrypted at once into the outer link's queue, as one
// record or a few, so that the outer link keeps every promise about when it is
// sent, also that a handler which blocks delays no finished response.
type innerLink struct {
	s   *sleeve
	mu  sync.Mutex // held by whoever writes, from Begin to End too
	out *[]byte    // between Begin and End
}

var _ listen.Link = (*innerLink)(nil)

// Begin opens the tail of the send queue.
func (l *innerLink) Begin() []byte {
	l.mu.Lock()
	l.out = outPool.Get().(*[]byte)
	return *l.out
}

// End encrypts what was appended. An error (the connection is broken) shows in
// the next Flush or Write.
func (l *innerLink) End(b []byte) {
	l.s.wrote = l.s.wrote || len(b) > 0
	switch {
	case !l.s.opened.Load():
	case len(b) == 0:
		// The protocol goes on to other work: the outer link is to know.
		l.s.mem.outer.End(l.s.mem.outer.Begin())
	case len(b) <= oneRecord:
		_, _ = l.s.tls.Write(b)
	default:
		// Several records in one commit.
		l.s.mem.open()
		_, _ = l.s.tls.Write(b)
		l.s.mem.commit()
	}
	putOut(l.out, b)
	l.out = nil
	l.mu.Unlock()
}

// Flush starts sending what is queued.
func (l *innerLink) Flush() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.flush()
}

func (l *innerLink) flush() error {
	m := &l.s.mem
	m.seize()
	err := m.outer.Flush()
	m.release()
	return err
}

// Write encrypts and sends p.
func (l *innerLink) Write(p []byte) (n int, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.s.wrote = true
	if len(p) <= smallPlain {
		if n, err = l.s.tls.Write(p); err != nil {
			return n, err
		}
		return n, l.flush()
	}
	buf := chunkPool.Get().(*[]byte)
	defer chunkPool.Put(buf)
	for n < len(p) {
		k, err := l.writeChunk(p[n:min(len(p), n+writeChunk)], buf)
		n += k
		if err != nil {
			return n, err
		}
	}
	return n, nil
}

// writeChunk encrypts p into buf and sends it in one go.
func (l *innerLink) writeChunk(p []byte, buf *[]byte) (int, error) {
	m := &l.s.mem
	m.batch((*buf)[:0])
	n, err := l.s.tls.Write(p)
	b := m.seize()
	*buf = b[:0]
	if err == nil {
		_, err = m.outer.Write(b)
	}
	m.release()
	return n, err
}

// Read returns the next plaintext. It waits in the outer link's Read.
func (l *innerLink) Read(p []byte) (int, error) {
	s := l.s
	if s.ended {
		return 0, io.EOF
	}
	s.mem.block = true
	n, err := s.tls.Read(p)
	s.mem.block = false
	switch {
	case err == nil:
	case n > 0:
		// Sticky: the next Read has it again.
		err = nil
	case err == io.EOF:
		s.ended = true
	case isBroken(err):
		s.broken = err
	}
	return n, err
}

// Release implements [listen.Releaser].
func (l *innerLink) Release() {
	m := &l.s.mem
	l.s.putPlain()
	m.in = bytes.Clone(m.in)
	if r, ok := m.outer.(listen.Releaser); ok {
		r.Release()
	}
}

// SetReadDeadline bounds Read, the wait for input and, when it is earlier than
// the handshake's own deadline, the handshake.
func (l *innerLink) SetReadDeadline(t time.Time) { l.s.setReadDeadline(t) }

// SetWriteDeadline bounds sending, and the handshake likewise.
func (l *innerLink) SetWriteDeadline(t time.Time) { l.s.setWriteDeadline(t) }

// SetSendRate counts ciphertext.
func (l *innerLink) SetSendRate(bytesPerSecond float64, grace time.Duration) {
	l.s.mem.outer.SetSendRate(bytesPerSecond, grace)
}

// Watch asks for Gone. It sees the end of the TCP connection, which peers send
// right after their close_notify.
func (l *innerLink) Watch() { l.s.mem.outer.Watch() }

// Leave announces that the caller is about to block.
func (l *innerLink) Leave() { l.s.mem.outer.Leave() }

// Detach returns the *tls.Conn, which from then on reads and writes the real
// connection. What was received and not read is inside it.
func (l *innerLink) Detach() (net.Conn, []byte, error) {
	c, received, err := l.s.mem.outer.Detach()
	if err != nil {
		return nil, nil, err
	}
	l.s.mem.detach(c, received)
	return l.s.tls, nil, nil
}

// NetConn returns the *tls.Conn.
func (l *innerLink) NetConn() net.Conn { return l.s.tls }

// CloseWrite sends close_notify and half-closes.
func (l *innerLink) CloseWrite() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	err := l.s.tls.CloseWrite()
	m := &l.s.mem
	m.seize()
	err2 := m.outer.CloseWrite()
	m.release()
	if err != nil {
		return err
	}
	return err2
}

// Abort breaks the connection.
func (l *innerLink) Abort() { l.s.mem.outer.Abort() }

// LocalAddr and RemoteAddr are those of the outer link.
func (l *innerLink) LocalAddr() net.Addr  { return l.s.mem.outer.LocalAddr() }
func (l *innerLink) RemoteAddr() net.Addr { return l.s.mem.outer.RemoteAddr() }

// ConnectionState describes the TLS connection.
func (l *innerLink) ConnectionState() tls.ConnectionState { return l.s.tls.ConnectionState() }
