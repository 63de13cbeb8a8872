//go:build linux && !noring

package ring

import (
	"context"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/windhover-server/windhover/listen"
)

// Transport serves connections through io_uring. It implements
// [listen.Transport]. The rings exist from New until the last connection has
// ended after Shutdown, Close or Release.
type Transport struct {
	opt      Options
	loops    []*loop
	watchdog watchdog
	epoch    time.Time
	onError  atomic.Pointer[func(error)] // of the latest Serve
	phase    atomic.Uint32               // open, stopping or aborting

	drainRounds atomic.Uint32 // calls of DrainIdle

	mu       sync.Mutex
	serving  map[*server]struct{}
	released bool
	active   int           // Serve calls that have not returned
	left     int           // loops still there
	drained  chan struct{} // closed when the last connection and Serve call are gone
	ended    chan struct{} // closed when the last loop is
	finished atomic.Bool   // set with drained
}

// Phases of a transport's life.
const (
	open = iota
	stopping
	aborting
)

var _ listen.Transport = (*Transport)(nil)

// New makes the rings. When io_uring cannot be used here the error is an
// [*UnavailableError]; [Probe] tells more.
func New(opt Options) (*Transport, error) { return newSized(opt, normalSizes) }

func newSized(opt Options, size sizes) (*Transport, error) {
	n, err := opt.rings()
	if err != nil {
		return nil, err
	}
	if r := Probe(); !r.Usable() {
		return nil, r.Err
	}
	t := &Transport{
		opt:     opt,
		epoch:   time.Now(),
		serving: map[*server]struct{}{},
		drained: make(chan struct{}),
		ended:   make(chan struct{}),
		left:    n,
	}
	for range n {
		l, err := newLoop(t, size)
		if err != nil {
			return nil, t.discard(err)
		}
		t.loops = append(t.loops, l)
	}
	if err := t.watchdog.start(t.loops); err != nil {
		return nil, t.discard(err)
	}
	for _, l := range t.loops {
		l.idle.run(l, task{lead: true})
	}
	return t, nil
}

// discard releases what a failed New has made.
func (t *Transport) discard(err error) error {
	for _, l := range t.loops {
		l.discard()
	}
	return unavailable(thisHost, err)
}

// now is the transport's clock, in nanoseconds; it is never 0.
func (t *Transport) now() int64 { return int64(time.Since(t.epoch)) + 1 }

// clock converts a deadline to the transport's clock; the zero time is 0.
func (t *Transport) clock(at time.Time) int64 {
	if at.IsZero() {
		return 0
	}
	return max(int64(at.Sub(t.epoch)), 1)
}

// report passes on an error that belongs to no connection.
func (t *Transport) report(err error) {
	if f := t.onError.Load(); f != nil && *f != nil {
		(*f)(err)
	}
}

// Serve implements [listen.Transport]. Listeners of other types than
// *net.TCPListener and *net.UnixListener are served by [Options].Fallback.
func (t *Transport) Serve(ln net.Listener, opt listen.Options, accept listen.Acceptor) error {
	s, err := newServer(t, ln, opt, accept)
	if err != nil {
		if t.opt.Fallback != nil {
			return t.opt.Fallback.Serve(ln, opt, accept)
		}
		_ = ln.Close() // Serve owns ln; the error to report is err
		return err
	}
	t.mu.Lock()
	if t.phase.Load() != open || t.released {
		t.mu.Unlock()
		_ = ln.Close() // as after a Shutdown during Serve
		return listen.ErrServerClosed
	}
	t.serving[s] = struct{}{}
	t.active++
	t.mu.Unlock()
	if opt.OnError != nil {
		t.onError.Store(&opt.OnError)
	}

	err = s.acceptAll()
	_ = ln.Close() // closed already, unless accepting failed
	t.mu.Lock()
	delete(t.serving, s)
	t.active--
	if t.phase.Load() != open {
		err = listen.ErrServerClosed
	}
	t.checkDrained()
	t.mu.Unlock()
	return err
}

// leastLoaded is the loop with the fewest connections.
func (t *Transport) leastLoaded() *loop {
	best := t.loops[0]
	for _, l := range t.loops[1:] {
		if l.load.Load() < best.load.Load() {
			best = l
		}
	}
	return best
}

// linkGone takes note that a connection of l has ended.
func (t *Transport) linkGone(l *loop) {
	if l.load.Add(-1) == 0 {
		t.mu.Lock()
		t.checkDrained()
		t.mu.Unlock()
	}
}

// checkDrained ends the loops when there is nothing left to do. t.mu is held.
func (t *Transport) checkDrained() {
	if t.phase.Load() == open && !t.released || t.active > 0 || t.finished.Load() {
		return
	}
	for _, l := range t.loops {
		if l.load.Load() > 0 {
			return
		}
	}
	t.finished.Store(true)
	close(t.drained)
	for _, l := range t.loops {
		l.wake()
	}
}

// loopEnded takes note that a loop has released its ring.
func (t *Transport) loopEnded() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.left--; t.left == 0 {
		t.watchdog.stop()
		close(t.ended)
	}
}

// Release says that Serve will not be called again; if it is, it returns
// [listen.ErrServerClosed]. The calls under way and the connections go on, and
// when the last of them has ended the rings are given back; then the channel is
// closed. It is the same one each time. Shutdown and Close may still be called.
func (t *Transport) Release() <-chan struct{} {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.released = true
	t.checkDrained()
	return t.ended
}

// DrainIdle implements [listen.Transport].
func (t *Transport) DrainIdle() {
	t.drainRounds.Add(1)
	for _, l := range t.loops {
		l.wake()
	}
	if f := t.opt.Fallback; f != nil {
		f.DrainIdle()
	}
}

// Shutdown implements [listen.Transport].
func (t *Transport) Shutdown(ctx context.Context) error {
	t.stop(false)
	var err error
	if f := t.opt.Fallback; f != nil {
		err = f.Shutdown(ctx)
	}
	select {
	case <-t.drained:
		<-t.ended
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Close implements [listen.Transport].
func (t *Transport) Close() error {
	t.stop(true)
	if f := t.opt.Fallback; f != nil {
		return f.Close()
	}
	return nil
}

// stop closes the listeners and has every link drain, or break.
func (t *Transport) stop(abort bool) {
	t.mu.Lock()
	if p := t.phase.Load(); abort {
		t.phase.Store(aborting)
	} else if p == open {
		t.phase.Store(stopping)
	}
	var servers []*server
	for s := range t.serving {
		servers = append(servers, s)
	}
	t.checkDrained()
	t.mu.Unlock()
	for _, s := range servers {
		s.stop(abort)
	}
	for _, l := range t.loops {
		l.wake()
	}
}
