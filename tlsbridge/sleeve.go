package tlsbridge

import (
	"crypto/tls"
	"errors"
	"io"
	"sync/atomic"

	"github.com/windhover-server/windhover/listen"
)

// sleeve is the outer protocol of one TLS connection: it takes ciphertext from
// the transport and drives the inner protocol with plaintext.
//
// Between calls it owns no goroutine and no buffer beyond what crypto/tls
// keeps: its record buffer, as long as the longest record so far.
type sleeve struct {
	tls   *tls.Conn
	inner listen.Protocol
	mem   memConn
	link  innerLink

	opened   atomic.Bool           // the handshake is done
	ended    bool                  // the inner protocol knows that there is no more input
	wrote    bool                  // the inner protocol has written during EOF
	farewell bool                  // close_notify alone is on its way to a peer that has ended
	gone     atomic.Pointer[error] // what Gone said while opened was not set
	hello    *greeting             // nil once opened
	plain    *[]byte               // lent to the inner protocol
	broken   error                 // the TLS connection cannot go on
}

var _ listen.Protocol = (*sleeve)(nil)

// Data implements [listen.Protocol].
func (s *sleeve) Data(p []byte) listen.Verdict {
	s.mem.enter()
	defer s.mem.leave()
	if !s.opened.Load() {
		if v := s.greet(p); v != listen.Wait || !s.opened.Load() {
			return v
		}
	} else {
		s.mem.in = p
	}
	return s.pump(len(p))
}

// pump feeds the inner protocol until there is no complete record left. size
// is about how much there is.
func (s *sleeve) pump(size int) listen.Verdict {
	if s.ended {
		// After close_notify nothing counts (RFC 8446 section 6.1).
		s.mem.in = nil
		return listen.Wait
	}
	pool := plainPool(size)
	defer s.putPlain()
	for {
		if s.plain == nil { // at first, and after innerLink.Release
			s.plain = pool.Get().(*[]byte)
		}
		n, err := s.fill(*s.plain)
		if n > 0 {
			if v := s.inner.Data((*s.plain)[:n]); v != listen.Wait {
				return s.finish(v)
			}
			if s.broken != nil {
				return s.finish(listen.Close)
			}
			if s.ended {
				s.mem.in = nil
				return listen.Wait
			}
		}
		switch {
		case err == nil:
		case err == errWouldBlock && s.mem.dry():
			return listen.Wait
		case err == errWouldBlock: // the call has read ahead, in innerLink.Read
		case err == io.EOF:
			s.ended = true
			s.mem.in = nil
			s.wrote = false
			v := s.inner.EOF()
			s.farewell = v == listen.Close && !s.wrote
			return s.finish(v)
		default:
			s.broken = err
			return s.finish(listen.Close)
		}
	}
}

// putPlain gives the plaintext buffer back.
func (s *sleeve) putPlain() {
	if s.plain != nil {
		plainPool(len(*s.plain)).Put(s.plain)
		s.plain = nil
	}
}

// fill reads plaintext until b is full or there is no more. With an error,
// n bytes have been read before it.
func (s *sleeve) fill(b []byte) (n int, err error) {
	for n < len(b) {
		k, err := s.tls.Read(b[n:])
		n += k
		if err != nil {
			return n, err
		}
		if n < len(b) && s.mem.dry() {
			return n, errWouldBlock // what another Read would say
		}
	}
	return n, nil
}

// finish carries out what TLS adds to a verdict.
func (s *sleeve) finish(v listen.Verdict) listen.Verdict {
	if v == listen.Finish {
		v = listen.Close // the peer has its own close_notify to send
	}
	if v == listen.Close && s.broken == nil {
		// Queued behind the last response; a failure to send it shows there.
		_ = s.tls.CloseWrite()
	}
	return v
}

// EOF implements [listen.Protocol]: the peer has half-closed below TLS.
func (s *sleeve) EOF() listen.Verdict {
	s.mem.enter()
	defer s.mem.leave()
	if !s.opened.Load() {
		s.handshakeFailed(io.EOF)
		return listen.Close
	}
	// tls.Conn says whether it ended between records. An end without
	// close_notify is taken as one, as net/http does: HTTP has its own framing.
	s.mem.eof = true
	return s.pump(0)
}

// Expired implements [listen.Protocol].
func (s *sleeve) Expired() listen.Verdict {
	s.mem.enter()
	defer s.mem.leave()
	if !s.opened.Load() {
		s.handshakeFailed(s.timeoutError())
		return listen.Abort
	}
	return s.finish(s.inner.Expired())
}

// Drain implements [listen.Protocol].
func (s *sleeve) Drain() listen.Verdict {
	s.mem.enter()
	defer s.mem.leave()
	v := s.inner.Drain()
	if s.opened.Load() {
		return s.finish(v)
	}
	if v != listen.Wait {
		s.handshakeFailed(listen.ErrServerClosed)
	}
	return v
}

// Lost implements [listen.Protocol].
func (s *sleeve) Lost(err error) {
	if !s.opened.Load() {
		s.handshakeFailed(err)
	}
	switch {
	case s.broken != nil:
		if err == nil {
			err = s.broken
		}
	case s.farewell:
		// Most clients close the socket right after their close_notify, and
		// ours meets a reset. Nothing was lost by that.
		err = nil
	}
	s.inner.Lost(err)
}

// Gone implements [listen.Protocol].
func (s *sleeve) Gone(err error) {
	if !s.opened.Load() {
		// A client may send its request and leave before its handshake has
		// been read: open passes this on.
		s.gone.Store(&err)
	}
	if s.opened.Load() {
		s.inner.Gone(err)
	}
}

// isBroken tells errors after which the TLS connection is of no use from those
// after which reading can go on.
func isBroken(err error) bool {
	if err == nil || err == io.EOF {
		return false
	}
	var t interface{ Temporary() bool }
	return !errors.As(err, &t) || !t.Temporary()
}
