package tlsbridge

import (
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/windhover-server/windhover/listen"
)

// memPipe is one direction of an in-memory connection.
type memPipe struct {
	mu       sync.Mutex
	cond     sync.Cond
	buf      []byte
	closed   bool // no more will come
	broken   bool
	deadline time.Time
	timer    *time.Timer
}

func newMemPipe() *memPipe {
	p := &memPipe{}
	p.cond.L = &p.mu
	return p
}

func (p *memPipe) write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed || p.broken {
		return 0, net.ErrClosed
	}
	p.buf = append(p.buf, b...)
	p.cond.Broadcast()
	return len(b), nil
}

func (p *memPipe) read(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for {
		switch {
		case p.broken:
			return 0, net.ErrClosed
		case !p.deadline.IsZero() && !time.Now().Before(p.deadline):
			return 0, os.ErrDeadlineExceeded
		case len(p.buf) > 0:
			n := copy(b, p.buf)
			p.buf = p.buf[n:]
			return n, nil
		case p.closed:
			return 0, io.EOF
		}
		p.cond.Wait()
	}
}

func (p *memPipe) end(broken bool) {
	p.mu.Lock()
	p.closed = true
	p.broken = p.broken || broken
	if p.timer != nil {
		p.timer.Stop()
	}
	p.cond.Broadcast()
	p.mu.Unlock()
}

func (p *memPipe) setDeadline(t time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.deadline = t
	if p.timer != nil {
		p.timer.Stop()
		p.timer = nil
	}
	if !t.IsZero() {
		p.timer = time.AfterFunc(time.Until(t), p.cond.Broadcast)
	}
	p.cond.Broadcast()
}

// memEnd is one end of an in-memory connection: buffered, with deadlines and
// half-close.
type memEnd struct {
	in, out *memPipe
}

func memConnPair() (a, b *memEnd) {
	x, y := newMemPipe(), newMemPipe()
	return &memEnd{x, y}, &memEnd{y, x}
}

type memAddr string

func (a memAddr) Network() string { return "mem" }
func (a memAddr) String() string  { return string(a) }

func (e *memEnd) Read(b []byte) (int, error)         { return e.in.read(b) }
func (e *memEnd) Write(b []byte) (int, error)        { return e.out.write(b) }
func (e *memEnd) CloseWrite() error                  { e.out.end(false); return nil }
func (e *memEnd) Close() error                       { e.out.end(false); e.in.end(true); return nil }
func (e *memEnd) LocalAddr() net.Addr                { return memAddr("local") }
func (e *memEnd) RemoteAddr() net.Addr               { return memAddr("remote") }
func (e *memEnd) SetReadDeadline(t time.Time) error  { e.in.setDeadline(t); return nil }
func (e *memEnd) SetWriteDeadline(t time.Time) error { return nil }
func (e *memEnd) SetDeadline(t time.Time) error      { return e.SetReadDeadline(t) }

// memLink is a listen.Link over a net.Conn, and the least of a transport to
// drive a protocol with.
type memLink struct {
	conn   net.Conn
	buf    []byte // of the transport
	leaves int
	reads  int // waits in Read

	qmu   sync.Mutex // guards queue, held from Begin to End
	queue []byte

	mu       sync.Mutex
	aborted  bool
	detached bool
}

func (l *memLink) Begin() []byte { l.qmu.Lock(); return l.queue }
func (l *memLink) End(b []byte)  { l.queue = b; l.qmu.Unlock() }
func (l *memLink) Flush() error {
	l.qmu.Lock()
	defer l.qmu.Unlock()
	if len(l.queue) == 0 {
		return nil
	}
	_, err := l.conn.Write(l.queue)
	l.queue = l.queue[:0]
	return err
}
func (l *memLink) Write(p []byte) (int, error) {
	if err := l.Flush(); err != nil {
		return 0, err
	}
	return l.conn.Write(p)
}
func (l *memLink) Read(p []byte) (int, error) {
	if err := l.Flush(); err != nil {
		return 0, err
	}
	l.reads++
	return l.conn.Read(p)
}
func (l *memLink) SetReadDeadline(t time.Time)        { l.conn.SetReadDeadline(t) }
func (l *memLink) SetWriteDeadline(t time.Time)       { l.conn.SetWriteDeadline(t) }
func (l *memLink) SetSendRate(float64, time.Duration) {}
func (l *memLink) Watch()                             {}
func (l *memLink) Leave()                             { l.leaves++ }
func (l *memLink) NetConn() net.Conn                  { return l.conn }
func (l *memLink) LocalAddr() net.Addr                { return l.conn.LocalAddr() }
func (l *memLink) RemoteAddr() net.Addr               { return l.conn.RemoteAddr() }
func (l *memLink) Detach() (net.Conn, []byte, error) {
	if err := l.Flush(); err != nil {
		return nil, nil, err
	}
	l.mu.Lock()
	l.detached = true
	l.mu.Unlock()
	l.conn.SetDeadline(time.Time{})
	return l.conn, nil, nil
}
func (l *memLink) CloseWrite() error {
	if err := l.Flush(); err != nil {
		return err
	}
	return l.conn.(interface{ CloseWrite() error }).CloseWrite()
}
func (l *memLink) Abort() {
	l.mu.Lock()
	l.aborted = true
	l.mu.Unlock()
	l.conn.Close()
}

// after carries out a verdict; it reports whether the connection goes on.
func (l *memLink) after(v listen.Verdict) bool {
	switch v {
	case listen.Wait:
		return l.Flush() == nil
	case listen.Close:
		if l.CloseWrite() == nil {
			l.conn.SetReadDeadline(time.Now().Add(5 * time.Second))
			io.Copy(io.Discard, l.conn)
		}
	}
	return false
}

// serve is a transport for one connection, with size bytes of buffer.
func serve(conn net.Conn, accept listen.Acceptor, size int) {
	l := &memLink{conn: conn, buf: make([]byte, size)}
	p := accept(l)
	if p == nil {
		conn.Close()
		return
	}
	err := l.drive(p)
	l.mu.Lock()
	detached := l.detached
	l.mu.Unlock()
	if !detached {
		conn.Close()
	}
	p.Lost(err)
}

func (l *memLink) drive(p listen.Protocol) error {
	for {
		n, err := l.conn.Read(l.buf)
		var v listen.Verdict
		switch {
		case err == nil:
			v = p.Data(l.buf[:n])
			clear(l.buf[:n]) // what was kept of it would show
		case err == io.EOF:
			v = p.EOF()
			l.after(v)
			return nil
		case errors.Is(err, os.ErrDeadlineExceeded):
			v = p.Expired()
		default:
			return err
		}
		if !l.after(v) {
			return nil
		}
	}
}

// serveMem serves one in-memory connection with accept and returns the
// client's end. The server has ended when the test does.
func serveMem(t testing.TB, accept listen.Acceptor) *memEnd {
	t.Helper()
	client, server := memConnPair()
	done := make(chan struct{})
	go func() {
		defer close(done)
		serve(server, accept, 4096)
	}()
	t.Cleanup(func() {
		client.Close()
		<-done
	})
	return client
}
