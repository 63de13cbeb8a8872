package tlsbridge

import (
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/windhover-server/windhover/listen"
)

// recordHeaderLen is the length of a TLS record header: type, version, length
// (RFC 8446 section 5.1).
const recordHeaderLen = 5

// maxHeld bounds the ciphertext that is kept back while a write to the outer
// link is under way. Only answers of the reading side end up there (alerts, key
// updates), of a few bytes each; a peer that provokes more without reading
// them is not worth a connection.
const maxHeld = 16 << 10

// wouldBlock is what memConn.Read returns when there is no ciphertext and
// nobody may wait for it. crypto/tls makes a read error sticky unless it is a
// net.Error with Temporary() true (conn.go, readRecordOrCCS), and keeps what it
// has of an unfinished record: after wouldBlock reading can go on as soon as
// there is more.
type wouldBlock struct{}

func (wouldBlock) Error() string   { return "tlsbridge: no ciphertext at hand" }
func (wouldBlock) Timeout() bool   { return false }
func (wouldBlock) Temporary() bool { return true }

var (
	errWouldBlock net.Error = wouldBlock{}
	errHeldFull             = errors.New("tlsbridge: peer provokes answers that it does not read")
)

// memConn is the net.Conn below a connection's tls.Conn. It has no socket:
// ciphertext comes from what the running protocol call was lent, and where
// waiting is allowed from the outer link; ciphertext that crypto/tls writes
// goes to the outer link's queue. After detach it is a plain relay to the real
// net.Conn.
//
// Reading is serialised by tls.Conn, writing by tls.Conn and mu.
type memConn struct {
	outer listen.Link

	// Read side, owned by the goroutine that reads.
	in    []byte                // lent ciphertext, not taken yet
	head  [recordHeaderLen]byte // header of the record being delivered
	headN uint8                 // how much of it has been delivered; 0 between records
	left  uint16                // bytes of the current record's body to come
	block bool                  // a read may wait in outer.Read
	ahead bool                  // tls.Conn may hold more than one record
	eof   bool                  // the peer has half-closed

	// Write side.
	mu      sync.Mutex
	running bool   // a protocol call runs: somebody will send what is queued
	output  output // where Write puts ciphertext
	held    []byte // ciphertext that is not in the outer queue

	real atomic.Pointer[realConn]
}

// output says where memConn.Write puts ciphertext.
type output uint8

const (
	toQueue output = iota // the outer link's queue
	toBatch               // held, which becomes one write of the outer link
	toHeld                // held, until the write under way has ended
)

// realConn is where the ciphertext flows after detach.
type realConn struct {
	net.Conn
	received []byte // came before the connection was detached; read side
}

// Read gives tls.Conn ciphertext. What a protocol call was lent is handed out
// record by record, so that the buffer in tls.Conn, which it keeps for as long
// as the connection lives, does not grow beyond the longest record.
func (m *memConn) Read(b []byte) (int, error) {
	if r := m.real.Load(); r != nil {
		return r.read(b)
	}
	if len(m.in) > 0 {
		n := copy(b, m.in[:m.upToBoundary(m.in)])
		m.track(b[:n])
		if m.in = m.in[n:]; len(m.in) == 0 {
			m.in = nil // or it would hold what was lent
		}
		return n, nil
	}
	if m.eof {
		return 0, io.EOF
	}
	if !m.block {
		m.ahead = false
		return 0, errWouldBlock
	}
	// Into the memory of tls.Conn: no buffer of ours is held while waiting.
	n, err := m.outer.Read(b)
	if n > 0 {
		m.track(b[:n])
		m.ahead = true
		return n, nil
	}
	if err == io.EOF {
		m.eof = true
	}
	return 0, err
}

// upToBoundary returns how many bytes of p belong to the record under way, or
// to the next one when none is.
func (m *memConn) upToBoundary(p []byte) int {
	if m.headN == recordHeaderLen {
		return min(len(p), int(m.left))
	}
	need := recordHeaderLen - int(m.headN)
	if len(p) <= need {
		return len(p)
	}
	var h [recordHeaderLen]byte
	copy(h[:], m.head[:m.headN])
	copy(h[m.headN:], p)
	return min(len(p), need+int(h[3])<<8+int(h[4]))
}

// track notes where in a record the bytes p end.
func (m *memConn) track(p []byte) {
	for {
		if m.headN < recordHeaderLen {
			n := copy(m.head[m.headN:], p)
			m.headN += uint8(n)
			p = p[n:]
			if m.headN < recordHeaderLen {
				return
			}
			m.left = uint16(m.head[3])<<8 | uint16(m.head[4])
		}
		n := min(len(p), int(m.left))
		m.left -= uint16(n)
		p = p[n:]
		if m.left > 0 {
			return
		}
		m.headN = 0
		if len(p) == 0 {
			return
		}
	}
}

// dry reports that tls.Conn cannot have another complete record to give after
// a read that did not fill its destination.
func (m *memConn) dry() bool { return len(m.in) == 0 && !m.ahead && !m.eof }

// Write queues ciphertext on the outer link.
func (m *memConn) Write(p []byte) (int, error) {
	if r := m.real.Load(); r != nil {
		return r.Write(p)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	switch {
	case !m.running:
		// Nobody would send it, and between calls the queue is not ours:
		// a close_notify of tls.Conn.Close, which aborts anyway.
		return 0, net.ErrClosed
	case m.output == toQueue:
		m.outer.End(append(m.outer.Begin(), p...))
	case m.output == toHeld && len(m.held)+len(p) > maxHeld:
		return 0, errHeldFull
	default:
		m.held = append(m.held, p...)
	}
	return len(p), nil
}

// enter and leave enclose each protocol call.
func (m *memConn) enter() {
	m.mu.Lock()
	m.running = true
	m.mu.Unlock()
}

func (m *memConn) leave() {
	m.mu.Lock()
	m.running = false
	m.mu.Unlock()
}

// open makes Write append to the tail of the outer queue until commit. Nothing
// may block in between.
func (m *memConn) open() {
	m.mu.Lock()
	m.output, m.held = toBatch, m.outer.Begin()
	m.mu.Unlock()
}

func (m *memConn) commit() {
	m.mu.Lock()
	b := m.held
	m.output, m.held = toQueue, nil
	m.mu.Unlock()
	m.outer.End(b) // may wait for the peer when the queue is full
}

// batch makes Write append to buf instead of the outer queue.
func (m *memConn) batch(buf []byte) {
	m.mu.Lock()
	m.output, m.held = toBatch, buf
	m.mu.Unlock()
}

// seize returns what Write has appended since batch. From then on until
// release, what the reading side writes is held back, because the outer link
// serves one writer at a time.
func (m *memConn) seize() []byte {
	m.mu.Lock()
	b := m.held
	m.output, m.held = toHeld, nil
	m.mu.Unlock()
	return b
}

// release queues what was held back.
func (m *memConn) release() {
	m.mu.Lock()
	if len(m.held) > 0 {
		m.outer.End(append(m.outer.Begin(), m.held...))
	}
	m.output, m.held = toQueue, nil
	m.mu.Unlock()
}

// detach makes m a relay to c; received is ciphertext that came before.
func (m *memConn) detach(c net.Conn, received []byte) {
	if len(m.in) > 0 {
		received = append(append(make([]byte, 0, len(m.in)+len(received)), m.in...), received...)
		m.in = nil
	}
	m.real.Store(&realConn{Conn: c, received: received})
}

func (r *realConn) read(b []byte) (int, error) {
	if len(r.received) > 0 {
		n := copy(b, r.received)
		if r.received = r.received[n:]; len(r.received) == 0 {
			r.received = nil
		}
		return n, nil
	}
	return r.Conn.Read(b)
}

// Close ends the connection. Before detach only somebody who holds the
// tls.Conn as an identity can call it (listen.Link.NetConn): it aborts.
func (m *memConn) Close() error {
	if r := m.real.Load(); r != nil {
		return r.Close()
	}
	m.outer.Abort()
	return nil
}

// NetConn returns the real connection after it was detached, else nil, so that
// tls.Conn.NetConn leads to the socket.
func (m *memConn) NetConn() net.Conn {
	if r := m.real.Load(); r != nil {
		return r.Conn
	}
	return nil
}

func (m *memConn) LocalAddr() net.Addr  { return m.outer.LocalAddr() }
func (m *memConn) RemoteAddr() net.Addr { return m.outer.RemoteAddr() }

// The deadlines of a connection that is not detached belong to the protocol,
// which sets them on its link; tls.Conn sets one around its close_notify.

func (m *memConn) SetDeadline(t time.Time) error {
	if r := m.real.Load(); r != nil {
		return r.SetDeadline(t)
	}
	return nil
}

func (m *memConn) SetReadDeadline(t time.Time) error {
	if r := m.real.Load(); r != nil {
		return r.SetReadDeadline(t)
	}
	return nil
}

func (m *memConn) SetWriteDeadline(t time.Time) error {
	if r := m.real.Load(); r != nil {
		return r.SetWriteDeadline(t)
	}
	return nil
}
