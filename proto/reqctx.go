package proto

import (
	"context"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// reqCtx is the context of a request: cancelled when the client goes away and
// when the handler has returned. Its parent is the connection's. Watching the
// client costs a read-ahead on some transports, so it begins when somebody
// asks. Most handlers do not, so what else there is comes with the question.
type reqCtx struct {
	c     *Conn
	w     *responseWriter // nil for a native handler
	asked atomic.Pointer[watch]
}

// watch is the state of a reqCtx that somebody has asked something.
type watch struct {
	mu       sync.Mutex
	err      error
	done     chan struct{}
	watching bool
	funcs    map[int]func() // AfterFunc registrations
	nextFunc int
	stop     func() bool // detaches from the parent
	closeCh  chan bool   // http.CloseNotifier
	closed   bool
}

// closedChan is what Done returns once a request is over and nobody had asked.
var closedChan = func() chan struct{} { c := make(chan struct{}); close(c); return c }()

// over is the state of every reqCtx whose request ended before anybody asked.
// It is shared, and never changes.
var over = &watch{err: context.Canceled, done: closedChan}

// ask returns the state, which exists from then on.
func (x *reqCtx) ask() *watch {
	s := x.asked.Load()
	for s == nil {
		x.asked.CompareAndSwap(nil, new(watch))
		s = x.asked.Load()
	}
	return s
}

// Deadline implements context.Context.
func (x *reqCtx) Deadline() (time.Time, bool) { return x.c.base.Deadline() }

// Done implements context.Context.
func (x *reqCtx) Done() <-chan struct{} {
	s := x.ask()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.done == nil {
		if s.err != nil {
			s.done = closedChan
		} else {
			s.done = make(chan struct{})
			x.watch(s)
		}
	}
	return s.done
}

// watch, with s.mu held, starts watching the client and the parent.
func (x *reqCtx) watch(s *watch) {
	if s.watching || s.err != nil {
		return
	}
	s.watching = true
	if parent := x.c.base; parent.Done() != nil {
		s.stop = context.AfterFunc(parent, func() { x.cancel(parent.Err()) })
	}
	if x.c.gone.Load() {
		go x.peerGone()
		return
	}
	x.c.link.Watch()
}

// peerGone is called when the client has closed or the connection broke.
func (x *reqCtx) peerGone() {
	x.cancel(context.Canceled)
	s := x.ask()
	if s == over {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.closed {
		s.closed = true
		if s.closeCh != nil {
			s.closeCh <- true
		}
	}
}

// Err implements context.Context.
func (x *reqCtx) Err() error {
	s := x.ask()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err == nil {
		x.watch(s)
		if err := x.c.base.Err(); err != nil {
			return err
		}
	}
	return s.err
}

// Value implements context.Context.
func (x *reqCtx) Value(key any) any {
	switch key {
	case http.LocalAddrContextKey:
		return x.c.link.LocalAddr()
	case http.ServerContextKey:
		return x.c.svc.HTTPServer
	case connKey:
		return x
	}
	return x.c.base.Value(key)
}

// AfterFunc lets package context derive contexts without a goroutine each.
func (x *reqCtx) AfterFunc(f func()) (stop func() bool) {
	s := x.ask()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil {
		go f()
		return func() bool { return false }
	}
	if s.funcs == nil {
		s.funcs = make(map[int]func())
	}
	id := s.nextFunc
	s.nextFunc++
	s.funcs[id] = f
	x.watch(s)
	return func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		_, ok := s.funcs[id]
		delete(s.funcs, id)
		return ok
	}
}

// end cancels the context when the handler has returned.
func (x *reqCtx) end() {
	if !x.asked.CompareAndSwap(nil, over) {
		x.cancel(context.Canceled)
	}
}

// cancel ends the context; the first reason counts.
func (x *reqCtx) cancel(err error) {
	s := x.ask()
	s.mu.Lock()
	if s.err != nil {
		s.mu.Unlock()
		return
	}
	s.err = err
	if s.done == nil {
		s.done = closedChan
	} else {
		close(s.done)
	}
	funcs := s.funcs
	s.funcs = nil
	stop := s.stop
	s.mu.Unlock()
	if stop != nil {
		stop()
	}
	for _, f := range funcs {
		go f()
	}
}

// closeNotify implements http.CloseNotifier for the request.
func (x *reqCtx) closeNotify() <-chan bool {
	s := x.ask()
	if s == over {
		return make(chan bool)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closeCh == nil {
		s.closeCh = make(chan bool, 1)
		if s.closed {
			s.closeCh <- true
		}
		x.watch(s)
	}
	return s.closeCh
}

type ctxKey int

// connKey finds the reqCtx below contexts that middlewares derived.
const connKey ctxKey = 0
