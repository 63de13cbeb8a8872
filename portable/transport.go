package portable

import (
	"context"
	"errors"
	"net"
	"sync"
	"time"

	"github.com/windhover-server/windhover/listen"
)

// Backing off after a failed accept.
const (
	minAcceptDelay = 5 * time.Millisecond
	maxAcceptDelay = time.Second
)

// Transport is a [listen.Transport] with one goroutine for each connection.
// The zero value is ready for use. It must not be copied.
type Transport struct {
	mu        sync.Mutex
	base      time.Time // deadlines are kept as durations since base
	listeners map[*listener]struct{}
	links     *link // those not ended or detached, linked by next and prev
	count     int
	draining  bool          // Shutdown or Close was called
	aborting  bool          // Close was called
	stop      chan struct{} // closed when draining begins
	empty     chan struct{} // closed when draining and there are neither links nor listeners
}

var _ listen.Transport = (*Transport)(nil)

// listener is a net.Listener that is closed once, whoever does it.
type listener struct {
	net.Listener
	once sync.Once
	done chan struct{} // closed when Serve has closed it
}

func (ln *listener) Close() error {
	var err error
	ln.once.Do(func() { err = ln.Listener.Close() })
	return err
}

// After Shutdown a listener goes on accepting until none has come for
// sweepPause, for sweepMost at most: what the kernel has completed would be
// reset when the socket is closed.
const (
	sweepPause = 300 * time.Microsecond
	sweepMost  = 50 * time.Millisecond
)

// sweep ends the wait of Accept soon. It is false for listeners that know no
// deadline, which are to be closed.
func (ln *listener) sweep() bool {
	dl, ok := ln.Listener.(interface{ SetDeadline(time.Time) error })
	return ok && dl.SetDeadline(time.Now().Add(sweepPause)) == nil
}

// Serve implements [listen.Transport]. It works with any net.Listener; on a
// listener of package tls, links implement ConnectionState.
func (t *Transport) Serve(l net.Listener, opt listen.Options, accept listen.Acceptor) error {
	ln := &listener{Listener: l, done: make(chan struct{})}
	defer close(ln.done)
	defer ln.Close()
	stop, ok := t.addListener(ln)
	if !ok {
		return listen.ErrServerClosed
	}
	defer t.removeListener(ln)
	o := withDefaults(opt)
	var delay time.Duration
	var until time.Time // when the sweep ends
	for {
		conn, err := ln.Accept()
		if err == nil {
			delay = 0
			if tc, ok := conn.(*net.TCPConn); ok && o.Delay {
				_ = tc.SetNoDelay(false) // fails only on a connection that is gone already
			}
			t.start(conn, o, accept)
			select {
			case <-stop:
				now := time.Now()
				if until.IsZero() {
					until = now.Add(sweepMost)
				}
				if now.After(until) || !ln.sweep() {
					return listen.ErrServerClosed
				}
			default:
			}
			continue
		}
		select {
		case <-stop:
			return listen.ErrServerClosed
		default:
		}
		if !temporary(err) {
			return err
		}
		delay = min(max(2*delay, minAcceptDelay), maxAcceptDelay)
		if o.OnError != nil {
			o.OnError(err)
		}
		retry := time.NewTimer(delay)
		select {
		case <-retry.C:
		case <-stop:
			retry.Stop()
			return listen.ErrServerClosed
		}
	}
}

// withDefaults returns the options that all links of one Serve share.
func withDefaults(opt listen.Options) *listen.Options {
	if opt.ReceiveBuffer == 0 {
		opt.ReceiveBuffer = 1 << 20
	}
	if opt.SendBuffer == 0 {
		opt.SendBuffer = 64 << 10
	}
	if opt.Linger == 0 {
		opt.Linger = 5 * time.Second
	}
	return &opt
}

// temporary reports whether an accept may be tried again: too many open files,
// no memory, a connection that was reset before it was accepted.
func temporary(err error) bool {
	var t interface{ Temporary() bool }
	return errors.As(err, &t) && t.Temporary()
}

// start makes the link of an accepted connection and runs it.
func (t *Transport) start(conn net.Conn, opt *listen.Options, accept listen.Acceptor) {
	l := newLink(t, conn, opt)
	l.proto = accept(l.handle())
	if l.proto == nil {
		l.flags.Or(flagEnded)
		conn.Close()
		return
	}
	l.flags.Or(flagAccepted)
	if !t.add(l) {
		l.abort(listen.ErrServerClosed)
	}
	go l.start()
}

// begin readies the zero value.
func (t *Transport) begin() {
	if t.stop == nil {
		t.stop = make(chan struct{})
		t.empty = make(chan struct{})
		t.base = time.Now()
	}
}

func (t *Transport) addListener(ln *listener) (stop <-chan struct{}, ok bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.begin()
	if t.draining {
		return nil, false
	}
	if t.listeners == nil {
		t.listeners = make(map[*listener]struct{})
	}
	t.listeners[ln] = struct{}{}
	return t.stop, true
}

func (t *Transport) removeListener(ln *listener) {
	t.mu.Lock()
	delete(t.listeners, ln)
	t.checkEmpty()
	t.mu.Unlock()
}

// add takes l into the books. It is false when the transport is closed. A link
// that comes while the transport drains is drained like the others.
func (t *Transport) add(l *link) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.draining {
		l.flags.Or(flagDrainAsked)
	}
	if l.next = t.links; l.next != nil {
		l.next.prev = l
	}
	t.links = l
	t.count++
	l.listed = true
	return !t.aborting
}

// remove is called when l ends or leaves the transport, whichever is first.
func (t *Transport) remove(l *link) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !l.listed {
		return
	}
	l.listed = false
	if l.prev != nil {
		l.prev.next = l.next
	} else {
		t.links = l.next
	}
	if l.next != nil {
		l.next.prev = l.prev
	}
	l.prev, l.next = nil, nil
	t.count--
	t.checkEmpty()
}

// checkEmpty, with mu held, tells Shutdown when nothing is left.
func (t *Transport) checkEmpty() {
	if !t.draining || t.count > 0 || len(t.listeners) > 0 {
		return
	}
	select {
	case <-t.empty:
	default:
		close(t.empty)
	}
}

// drain closes the listeners and returns the links there are then.
func (t *Transport) drain(abort bool) (links []*link, err error) {
	t.mu.Lock()
	t.begin()
	if !t.draining {
		t.draining = true
		close(t.stop)
		t.checkEmpty()
	}
	t.aborting = t.aborting || abort
	lns := make([]*listener, 0, len(t.listeners))
	for ln := range t.listeners {
		lns = append(lns, ln)
	}
	t.mu.Unlock()
	swept := lns[:0]
	for _, ln := range lns {
		if !abort && ln.sweep() {
			swept = append(swept, ln)
		} else if e := ln.Close(); e != nil && err == nil {
			err = e
		}
	}
	for _, ln := range swept {
		<-ln.done // soon: the deadline ends the wait of Accept
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.all(), err
}

// DrainIdle implements [listen.Transport]. A connection that is busy is asked
// when it next waits: it may be about to.
func (t *Transport) DrainIdle() {
	t.mu.Lock()
	links := t.all()
	t.mu.Unlock()
	for _, l := range links {
		l.askDrain()
	}
}

// all returns the links, with mu held.
func (t *Transport) all() []*link {
	links := make([]*link, 0, t.count)
	for l := t.links; l != nil; l = l.next {
		links = append(links, l)
	}
	return links
}

// Shutdown implements [listen.Transport].
func (t *Transport) Shutdown(ctx context.Context) error {
	links, err := t.drain(false)
	for _, l := range links {
		l.askDrain()
	}
	select {
	case <-t.empty:
		return err
	default:
	}
	select {
	case <-t.empty:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Close implements [listen.Transport].
func (t *Transport) Close() error {
	links, err := t.drain(true)
	for _, l := range links {
		l.abort(listen.ErrServerClosed)
	}
	return err
}
