package listentest

import (
	"errors"
	"io"
	"net"
	"os"
	"strconv"
	"sync"
	"time"
)

// DefaultMemoryBuffer is how many bytes a connection of a [Memory] holds in
// each direction.
const DefaultMemoryBuffer = 64 << 10

// What fails on a [Memory] as it would on a socket.
var (
	ErrRefused    = errors.New("connection refused")
	ErrPeerClosed = errors.New("broken pipe")
)

// Memory is a net.Listener in memory. Its methods may be called from any
// goroutine.
type Memory struct {
	buffer int
	mu     sync.Mutex
	cond   sync.Cond
	queue  []*MemoryConn
	dialed int
	closed bool
}

// NewMemory returns a listener whose connections hold buffer bytes in each
// direction; 0 means [DefaultMemoryBuffer].
func NewMemory(buffer int) *Memory {
	if buffer <= 0 {
		buffer = DefaultMemoryBuffer
	}
	m := &Memory{buffer: buffer}
	m.cond.L = &m.mu
	return m
}

// Dial returns the client's side of a new connection. It does not wait for the
// connection to be accepted. After Close it fails with [ErrRefused].
func (m *Memory) Dial() (net.Conn, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return nil, &net.OpError{Op: "dial", Net: "memory", Addr: MemoryAddr(0), Err: ErrRefused}
	}
	m.dialed++
	client, server := newMemoryPair(m.buffer, MemoryAddr(m.dialed), MemoryAddr(0))
	m.queue = append(m.queue, server)
	m.cond.Signal()
	return client, nil
}

// Accept implements net.Listener.
func (m *Memory) Accept() (net.Conn, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for len(m.queue) == 0 && !m.closed {
		m.cond.Wait()
	}
	if m.closed {
		return nil, &net.OpError{Op: "accept", Net: "memory", Addr: MemoryAddr(0), Err: net.ErrClosed}
	}
	c := m.queue[0]
	m.queue = m.queue[1:]
	return c, nil
}

// Close implements net.Listener. Connections that were not accepted break.
func (m *Memory) Close() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return &net.OpError{Op: "close", Net: "memory", Addr: MemoryAddr(0), Err: net.ErrClosed}
	}
	m.closed = true
	for _, c := range m.queue {
		_ = c.Close()
	}
	m.queue = nil
	m.cond.Broadcast()
	return nil
}

// Addr implements net.Listener.
func (m *Memory) Addr() net.Addr { return MemoryAddr(0) }

// MemoryAddr is the address of one side of a [MemoryConn]: 0 is the listener's,
// the others count the connections dialed.
type MemoryAddr int

// Network returns "memory".
func (MemoryAddr) Network() string { return "memory" }

// String returns "server", or "client-" and the number.
func (a MemoryAddr) String() string {
	if a == 0 {
		return "server"
	}
	return "client-" + strconv.Itoa(int(a))
}

// MemoryConn is one side of a connection in memory. It has the deadlines and
// the concurrency of a TCP connection.
type MemoryConn struct {
	local, remote net.Addr
	in, out       *pipe
}

func newMemoryPair(buffer int, a, b net.Addr) (*MemoryConn, *MemoryConn) {
	ab, ba := newPipe(buffer), newPipe(buffer)
	return &MemoryConn{a, b, ba, ab}, &MemoryConn{b, a, ab, ba}
}

// Read implements net.Conn.
func (c *MemoryConn) Read(p []byte) (int, error) {
	n, err := c.in.read(p)
	return n, c.wrap("read", err)
}

// Write implements net.Conn.
func (c *MemoryConn) Write(p []byte) (int, error) {
	n, err := c.out.write(p)
	return n, c.wrap("write", err)
}

// Close implements net.Conn. The peer reads what was written, then io.EOF.
func (c *MemoryConn) Close() error {
	c.out.closeWrite()
	if !c.in.closeRead() {
		return c.wrap("close", net.ErrClosed)
	}
	return nil
}

// CloseWrite half-closes: the peer reads io.EOF, this side reads on.
func (c *MemoryConn) CloseWrite() error {
	c.out.closeWrite()
	return nil
}

// LocalAddr implements net.Conn.
func (c *MemoryConn) LocalAddr() net.Addr { return c.local }

// RemoteAddr implements net.Conn.
func (c *MemoryConn) RemoteAddr() net.Addr { return c.remote }

// SetDeadline implements net.Conn.
func (c *MemoryConn) SetDeadline(t time.Time) error {
	_ = c.SetReadDeadline(t)
	return c.SetWriteDeadline(t)
}

// SetReadDeadline implements net.Conn.
func (c *MemoryConn) SetReadDeadline(t time.Time) error {
	c.in.setDeadline(&c.in.readBy, t)
	return nil
}

// SetWriteDeadline implements net.Conn.
func (c *MemoryConn) SetWriteDeadline(t time.Time) error {
	c.out.setDeadline(&c.out.writeBy, t)
	return nil
}

func (c *MemoryConn) wrap(op string, err error) error {
	if err == nil || err == io.EOF {
		return err
	}
	return &net.OpError{Op: op, Net: "memory", Source: c.local, Addr: c.remote, Err: err}
}

// pipe is one direction of a connection.
type pipe struct {
	mu      sync.Mutex
	cond    sync.Cond
	ring    []byte // of the buffer's size, made by the first write
	size    int
	start   int // of the unread bytes in ring
	length  int
	ended   bool // the writer has half-closed
	refused bool // the reader has closed
	turn    bool // a write is under way: one ends before the next begins
	readBy  alarm
	writeBy alarm
}

// alarm is a deadline.
type alarm struct {
	timer *time.Timer
	set   int // counts changes, so that a late timer does nothing
	gone  bool
}

func newPipe(size int) *pipe {
	p := &pipe{size: size}
	p.cond.L = &p.mu
	return p
}

func (p *pipe) setDeadline(a *alarm, t time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	a.set++
	if a.timer != nil {
		a.timer.Stop()
		a.timer = nil
	}
	a.gone = false
	if t.IsZero() {
		return
	}
	d := time.Until(t)
	if d <= 0 {
		a.gone = true
		p.cond.Broadcast()
		return
	}
	set := a.set
	a.timer = time.AfterFunc(d, func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		if a.set == set {
			a.gone = true
			p.cond.Broadcast()
		}
	})
}

func (p *pipe) read(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for {
		switch {
		case p.refused:
			return 0, net.ErrClosed
		case p.readBy.gone:
			return 0, os.ErrDeadlineExceeded
		case len(b) == 0:
			return 0, nil
		case p.length > 0:
			n := copy(b, p.ring[p.start:min(p.start+p.length, p.size)])
			p.start = (p.start + n) % p.size
			p.length -= n
			p.cond.Broadcast()
			return n, nil
		case p.ended:
			return 0, io.EOF
		}
		p.cond.Wait()
	}
}

func (p *pipe) write(b []byte) (n int, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for p.turn && p.writable() == nil {
		p.cond.Wait()
	}
	if err := p.writable(); err != nil {
		return 0, err
	}
	p.turn = true
	defer func() {
		p.turn = false
		p.cond.Broadcast()
	}()
	if p.ring == nil {
		p.ring = make([]byte, p.size)
	}
	for len(b) > 0 {
		if err := p.writable(); err != nil {
			return n, err
		}
		if p.length == p.size {
			p.cond.Wait()
			continue
		}
		end := (p.start + p.length) % p.size
		free := p.size - p.length
		m := copy(p.ring[end:min(end+free, p.size)], b)
		p.length += m
		b = b[m:]
		n += m
		p.cond.Broadcast()
	}
	return n, nil
}

// writable returns why a write must fail, with mu held.
func (p *pipe) writable() error {
	switch {
	case p.ended:
		return net.ErrClosed
	case p.writeBy.gone:
		return os.ErrDeadlineExceeded
	case p.refused:
		return ErrPeerClosed
	}
	return nil
}

func (p *pipe) closeWrite() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.ended = true
	p.stop(&p.writeBy)
	p.cond.Broadcast()
}

// closeRead is false when it was closed before.
func (p *pipe) closeRead() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.refused {
		return false
	}
	p.refused = true
	p.length, p.ring = 0, nil
	p.stop(&p.readBy)
	p.cond.Broadcast()
	return true
}

// stop switches a deadline off, with mu held: a closed connection leaves no
// timer behind.
func (p *pipe) stop(a *alarm) {
	a.set++
	if a.timer != nil {
		a.timer.Stop()
		a.timer = nil
	}
}
