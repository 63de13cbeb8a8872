package proto

import (
	"errors"
	"io"
	"sync/atomic"

	"github.com/windhover-server/windhover/listen"
)

// Reserve puts a sleeve around inner, which in the end calls an Acceptor of s,
// and counts connections against [Limits].MaxConcurrentConnections from their
// acceptance on, also those for which the sleeve has not called inner yet:
// whoever connects and says nothing takes a place, as without a sleeve.
//
// A sleeve that gives inner a Link of its own has the place found by a method
//
//	Unwrap() listen.Link
//
// that returns the one it was given; without it such a connection counts twice.
// Prepare must have been called.
func (s *Service) Reserve(sleeve func(listen.Acceptor) listen.Acceptor, inner listen.Acceptor) listen.Acceptor {
	outer := sleeve(func(link listen.Link) listen.Protocol {
		r := reservation(link)
		if r == nil {
			return inner(link)
		}
		r.release() // inner takes a place itself
		if link == listen.Link(r) {
			link = r.Link
		}
		return inner(link)
	})
	return func(link listen.Link) listen.Protocol {
		if !s.conns.acquire() {
			s.reject(link)
			return nil
		}
		r := &reserved{Link: link, svc: s}
		p := outer(r)
		if p == nil {
			r.release()
			return nil
		}
		if r.released.Load() {
			return p // inner's, or one that has it already
		}
		return &reservedProtocol{p, r}
	}
}

func (s *Service) reject(link listen.Link) {
	s.Counters.Rejected.Add(1)
	s.logRejected(link)
}

// reservation finds the place of the connection that link belongs to.
func reservation(link listen.Link) *reserved {
	for {
		if r, ok := link.(*reserved); ok {
			return r
		}
		w, ok := link.(interface{ Unwrap() listen.Link })
		if !ok {
			return nil
		}
		link = w.Unwrap()
	}
}

// reserved is the Link of a connection that has a place.
type reserved struct {
	listen.Link
	svc      *Service
	released atomic.Bool
}

func (r *reserved) release() {
	if r.released.CompareAndSwap(false, true) {
		r.svc.conns.release()
	}
}

// ReadFrom passes the transport's own on, if it has one.
func (r *reserved) ReadFrom(src io.Reader) (int64, error) {
	if rf, ok := r.Link.(io.ReaderFrom); ok {
		return rf.ReadFrom(src)
	}
	return 0, errors.ErrUnsupported
}

// reservedProtocol gives the place back when the connection ends before inner
// was called.
type reservedProtocol struct {
	listen.Protocol
	place *reserved
}

// Lost implements [listen.Protocol].
func (p *reservedProtocol) Lost(err error) {
	p.place.release()
	p.Protocol.Lost(err)
}
