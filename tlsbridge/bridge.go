package tlsbridge

import (
	"crypto/tls"
	"sync/atomic"
	"time"

	"github.com/windhover-server/windhover/listen"
)

// Switch makes the protocol of a connection for which ALPN chose another one
// than HTTP/1.1. p is what the inner acceptor made when the connection came;
// it has seen no input, and the new protocol owes it a call of Lost. link is
// the plaintext link, which also has the method
//
//	ConnectionState() tls.ConnectionState
type Switch func(link listen.Link, p listen.Protocol) listen.Protocol

// Stats count handshakes since the bridge was made.
type Stats struct {
	Active    int64 // connections whose handshake is not done
	Succeeded int64
	Resumed   int64 // of those succeeded: without a full handshake
	Failed    int64
}

// Bridge holds the certificates and the TLS settings of one endpoint or of
// several. Its methods may be called from any goroutine.
type Bridge struct {
	cfg     Config
	tls     *tls.Config // what every tls.Conn starts with
	timeout time.Duration
	store   *store

	active, succeeded, resumed, failed atomic.Int64
}

// Wrap returns an acceptor that speaks TLS on the outer side and gives inner a
// plaintext link. inner is called when a connection comes, before the
// handshake, so that connection limits and hooks see it for its whole life;
// the protocol that it returns gets its first Data after the handshake, and may
// not write before; until then it gets no call but Drain, and Lost when the
// handshake fails. The link has the method
//
//	ConnectionState() tls.ConnectionState
//
// and its NetConn is the *tls.Conn.
//
// switches says what to do when ALPN chose one of its names; every other
// outcome, also none, is inner's.
func (b *Bridge) Wrap(inner listen.Acceptor, switches map[string]Switch) listen.Acceptor {
	return func(outer listen.Link) listen.Protocol {
		s := &sleeve{}
		s.mem.outer = outer
		s.link.s = s
		s.hello = &greeting{bridge: b, accepted: time.Now(), switches: switches}
		s.tls = tls.Server(&s.mem, b.tls)
		if b.timeout > 0 {
			s.hello.deadline = s.hello.accepted.Add(b.timeout)
			outer.SetReadDeadline(s.hello.deadline)
			outer.SetWriteDeadline(s.hello.deadline)
		}
		if s.inner = inner(&s.link); s.inner == nil {
			return nil
		}
		b.active.Add(1)
		return s
	}
}

// TLS returns a configuration with the bridge's certificates and settings, for
// code that drives a tls.Conn by itself. It must not be changed.
func (b *Bridge) TLS() *tls.Config { return b.tls }

// Stats returns the counters.
func (b *Bridge) Stats() Stats {
	return Stats{
		Active:    b.active.Load(),
		Succeeded: b.succeeded.Load(),
		Resumed:   b.resumed.Load(),
		Failed:    b.failed.Load(),
	}
}

// handshakeDone counts a handshake and tells the hooks.
func (b *Bridge) handshakeDone(s *sleeve, g *greeting, h Handshake) {
	b.active.Add(-1)
	switch {
	case h.Err != nil:
		b.failed.Add(1)
	default:
		b.succeeded.Add(1)
		if h.State.DidResume {
			b.resumed.Add(1)
		}
	}
	if h.Err != nil && b.cfg.OnHandshakeError != nil {
		b.cfg.OnHandshakeError(s.mem.RemoteAddr(), h.Err)
	}
	if b.cfg.OnHandshake != nil {
		h.Remote, h.Local = s.mem.RemoteAddr(), s.mem.LocalAddr()
		h.Duration = time.Since(g.accepted)
		b.cfg.OnHandshake(h)
	}
}
