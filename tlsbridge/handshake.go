package tlsbridge

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"runtime/debug"
	"time"

	"github.com/windhover-server/windhover/listen"
)

// ErrPlainHTTP is the handshake error of a client that spoke HTTP where TLS is
// expected. It has been told so.
var ErrPlainHTTP = errors.New("tlsbridge: client sent an HTTP request to an HTTPS server")

// plainHTTPAnswer is what net/http answers in that case, byte for byte.
const plainHTTPAnswer = "HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTP request to an HTTPS server.\n"

// handshakeRecord is the type of the first record of a TLS connection.
const handshakeRecord = 22

// maxRecord is the longest record body that crypto/tls accepts.
const maxRecord = 16384 + 2048

// Handshake describes an attempted handshake.
type Handshake struct {
	// Remote and Local are the connection's addresses.
	Remote, Local net.Addr
	// Duration is the time from the acceptance of the connection.
	Duration time.Duration
	// State is the connection's state; of a failed handshake its zero value.
	State tls.ConnectionState
	// Err is nil, or why the handshake failed: [ErrPlainHTTP], io.EOF when
	// the client left, os.ErrDeadlineExceeded (wrapped) after the timeout,
	// or what crypto/tls says.
	Err error
}

// greeting is what a connection needs until its handshake is done.
type greeting struct {
	bridge   *Bridge
	accepted time.Time
	deadline time.Time // of the handshake; zero: none
	first    []byte    // the part of the first record that has come
	failed   bool      // failure has been reported

	// What the inner protocol asked for meanwhile; guarded by memConn.mu.
	readDeadline, writeDeadline time.Time

	switches map[string]Switch
}

// greet takes ciphertext until the handshake can run, and runs it. It returns
// Wait with opened true when it has succeeded; s.mem.in is what came after.
func (s *sleeve) greet(p []byte) listen.Verdict {
	g := s.hello
	if len(g.first) > 0 || !firstRecordComplete(p) {
		// Half a ClientHello costs its bytes, not a goroutine.
		g.first = append(g.first, p...)
		if p = g.first; !firstRecordComplete(p) {
			return listen.Wait
		}
	}
	// Key exchange and signature take a good part of a millisecond, and then
	// the client has to answer.
	s.mem.outer.Leave()
	s.mem.in = refragment(p)
	s.mem.block = true
	err := s.handshake()
	s.mem.block = false
	if err == nil {
		return s.open()
	}
	var notTLS tls.RecordHeaderError
	switch {
	case errors.As(err, &notTLS) && notTLS.Conn != nil && looksLikeHTTP(notTLS.RecordHeader):
		s.mem.outer.End(append(s.mem.outer.Begin(), plainHTTPAnswer...))
		err = ErrPlainHTTP
	case errors.Is(err, os.ErrDeadlineExceeded):
		err = s.timeoutError()
		s.handshakeFailed(err)
		return listen.Abort
	}
	s.handshakeFailed(err)
	return listen.Close // with the alert that crypto/tls has written, if any
}

// handshake runs crypto/tls's, and turns a panic in a callback into an error.
func (s *sleeve) handshake() (err error) {
	defer func() {
		if e := recover(); e != nil {
			err = fmt.Errorf("tlsbridge: panic in a TLS callback: %v\n%s", e, debug.Stack())
		}
	}()
	return s.tls.HandshakeContext(context.Background())
}

// open hands the connection to the protocol that ALPN chose.
func (s *sleeve) open() listen.Verdict {
	g := s.hello
	state := s.tls.ConnectionState()
	if sw := g.switches[state.NegotiatedProtocol]; sw != nil {
		s.inner = sw(&s.link, s.inner) // before opened: Gone may come at any time
	}
	s.mem.mu.Lock()
	s.mem.outer.SetReadDeadline(g.readDeadline)
	s.mem.outer.SetWriteDeadline(g.writeDeadline)
	s.opened.Store(true)
	s.mem.mu.Unlock()
	if err := s.gone.Load(); err != nil {
		s.inner.Gone(*err)
	}
	s.hello = nil
	g.bridge.handshakeDone(s, g, Handshake{State: state})
	return listen.Wait
}

// setReadDeadline and setWriteDeadline set what the inner protocol asks for.
// During the handshake its own deadline counts, too; the earlier one ends it.

func (s *sleeve) setReadDeadline(t time.Time) {
	if !s.opened.Load() {
		s.mem.mu.Lock()
		defer s.mem.mu.Unlock()
		if !s.opened.Load() {
			s.hello.readDeadline = t
			t = earlier(t, s.hello.deadline)
		}
	}
	s.mem.outer.SetReadDeadline(t)
}

func (s *sleeve) setWriteDeadline(t time.Time) {
	if !s.opened.Load() {
		s.mem.mu.Lock()
		defer s.mem.mu.Unlock()
		if !s.opened.Load() {
			s.hello.writeDeadline = t
			t = earlier(t, s.hello.deadline)
		}
	}
	s.mem.outer.SetWriteDeadline(t)
}

// earlier returns the earlier of two deadlines, of which zero is never.
func earlier(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

// handshakeFailed reports a failure, once.
func (s *sleeve) handshakeFailed(err error) {
	g := s.hello
	if g.failed {
		return
	}
	g.failed = true
	if err == nil {
		err = io.EOF
	}
	s.broken = err
	g.bridge.handshakeDone(s, g, Handshake{Err: err})
}

func (s *sleeve) timeoutError() error {
	return fmt.Errorf("tlsbridge: no handshake within %v: %w", time.Since(s.hello.accepted).Round(time.Millisecond), os.ErrDeadlineExceeded)
}

// firstRecordComplete reports whether crypto/tls could make something of p
// without waiting for more of the record that it begins with.
func firstRecordComplete(p []byte) bool {
	if len(p) < recordHeaderLen {
		return false
	}
	n := int(p[3])<<8 | int(p[4])
	return p[0] != handshakeRecord || n > maxRecord || len(p) >= recordHeaderLen+n
}

// maxFragment is the longest record body that crypto/tls reads into the buffer
// that it begins with: room for a header and bytes.MinRead, which is 517 bytes,
// in an allocation of 576.
const maxFragment = 576 - recordHeaderLen

// refragment cuts the record that p begins with into shorter ones, as the
// client might have done (RFC 8446 section 5.1: a message may be cut anywhere,
// and ClientHello is not encrypted). crypto/tls keeps its record buffer, which
// is otherwise as long as the ClientHello, for the life of the connection, and
// most connections never send so long a record again: that is a quarter of what
// a waiting connection costs. The fragments are equal powers of two of the
// whole, so that the buffer in which crypto/tls joins them, and which it keeps
// too, is not longer than the message.
func refragment(p []byte) []byte {
	n := int(p[3])<<8 | int(p[4])
	if p[0] != handshakeRecord || n <= maxFragment || n > maxRecord {
		return p
	}
	head, body, rest := p[:3], p[recordHeaderLen:recordHeaderLen+n], p[recordHeaderLen+n:]
	size := n
	for size > maxFragment {
		size = (size + 1) / 2
	}
	out := make([]byte, 0, len(p)+n/size*recordHeaderLen)
	for len(body) > 0 {
		k := min(size, len(body))
		out = append(append(append(out, head...), byte(k>>8), byte(k)), body[:k]...)
		body = body[k:]
	}
	return append(out, rest...)
}

// looksLikeHTTP extends net/http's tlsRecordHeaderLooksLikeHTTP to the other
// methods of RFC 9110 and to PATCH.
func looksLikeHTTP(head [5]byte) bool {
	switch string(head[:]) {
	case "GET /", "HEAD ", "POST ", "PUT /", "OPTIO", "DELET", "PATCH", "TRACE", "CONNE":
		return true
	}
	return false
}
