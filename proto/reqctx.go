package proto

import (
	"context"
	"net/http"
	"sync"
)

// reqCtx is the context of a request: cancelled when the client goes away and
// when the handler has returned. Watching the client costs a read-ahead on
// some transports, so it begins when somebody asks.
type reqCtx struct {
	context.Context // the connection's: parent of values and cancellation
	c               *Conn
	rq              *request

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

// Done implements context.Context.
func (x *reqCtx) Done() <-chan struct{} {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.done == nil {
		if x.err != nil {
			x.done = closedChan
		} else {
			x.done = make(chan struct{})
			x.watch()
		}
	}
	return x.done
}

// watch, with mu held, starts watching the client and the parent.
func (x *reqCtx) watch() {
	if x.watching || x.err != nil {
		return
	}
	x.watching = true
	if x.Context.Done() != nil {
		parent := x.Context
		x.stop = context.AfterFunc(parent, func() { x.cancel(parent.Err()) })
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
	x.mu.Lock()
	defer x.mu.Unlock()
	if !x.closed {
		x.closed = true
		if x.closeCh != nil {
			x.closeCh <- true
		}
	}
}

// Err implements context.Context.
func (x *reqCtx) Err() error {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.err == nil {
		x.watch()
		if err := x.Context.Err(); err != nil {
			return err
		}
	}
	return x.err
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
	return x.Context.Value(key)
}

// AfterFunc lets package context derive contexts without a goroutine each.
func (x *reqCtx) AfterFunc(f func()) (stop func() bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.err != nil {
		go f()
		return func() bool { return false }
	}
	if x.funcs == nil {
		x.funcs = make(map[int]func())
	}
	id := x.nextFunc
	x.nextFunc++
	x.funcs[id] = f
	x.watch()
	return func() bool {
		x.mu.Lock()
		defer x.mu.Unlock()
		_, ok := x.funcs[id]
		delete(x.funcs, id)
		return ok
	}
}

// cancel ends the context; the first reason counts.
func (x *reqCtx) cancel(err error) {
	x.mu.Lock()
	if x.err != nil {
		x.mu.Unlock()
		return
	}
	x.err = err
	if x.done == nil {
		x.done = closedChan
	} else {
		close(x.done)
	}
	funcs := x.funcs
	x.funcs = nil
	stop := x.stop
	x.mu.Unlock()
	if stop != nil {
		stop()
	}
	for _, f := range funcs {
		go f()
	}
}

// closeNotify implements http.CloseNotifier for the request.
func (x *reqCtx) closeNotify() <-chan bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.closeCh == nil {
		x.closeCh = make(chan bool, 1)
		if x.closed {
			x.closeCh <- true
		}
		x.watch()
	}
	return x.closeCh
}

type ctxKey int

// connKey finds the reqCtx below contexts that middlewares derived.
const connKey ctxKey = 0
