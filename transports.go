package windhover

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"sync"

	"github.com/windhover-server/windhover/listen"
	"github.com/windhover-server/windhover/portable"
	"github.com/windhover-server/windhover/ring"
)

// transports are those of a server: io_uring for sockets, if selected and
// usable, and package net for all else. The rings start with the first socket
// that is served. When no socket is served any more, because the listeners have
// ended by themselves, they end with the last of their connections, and a later
// socket gets new ones.
type transports struct {
	kind     Transport
	rings    int
	logger   *slog.Logger
	portable portable.Transport

	mu       sync.Mutex
	tried    bool
	ring     *ring.Transport   // nil when not in use
	serving  int               // calls of serve that use it
	released []*ring.Transport // earlier ones, whose connections go on
	told     bool              // the log has which transport is used
	err      error             // why ring is not in use
	done     bool              // shut down or closed
}

// maxRings is the most that package ring takes.
const maxRings = 256

// check finds what is wrong with the options before they are needed: Auto would
// take a mistake for a host without io_uring.
func (t *transports) check() error {
	if t.rings < 0 || t.rings > maxRings {
		return fmt.Errorf("windhover: Rings is %d; allowed: 1 to %d, or 0 for one per processor", t.rings, maxRings)
	}
	return nil
}

// serve serves ln by the transport that suits it.
func (t *transports) serve(ln net.Listener, opt listen.Options, accept listen.Acceptor) error {
	tr, err := t.pick(ln)
	if err != nil {
		_ = ln.Close()
		return err
	}
	if tr != listen.Transport(&t.portable) {
		defer t.unpick()
	}
	return tr.Serve(ln, opt, accept)
}

// pick chooses a transport. One that is not the portable one is to be given up
// by unpick.
func (t *transports) pick(ln net.Listener) (listen.Transport, error) {
	switch ln.(type) {
	case *net.TCPListener, *net.UnixListener:
	default:
		return &t.portable, nil
	}
	if t.kind == Portable {
		return &t.portable, nil
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.tried && !t.done {
		t.startRing()
	}
	switch {
	case t.ring != nil:
		t.serving++
		return t.ring, nil
	case t.kind == Ring && !t.done:
		return nil, t.err
	}
	return &t.portable, nil
}

// unpick takes note that a listener of the ring transport has ended. After the
// last one nothing but its connections keeps that transport.
func (t *transports) unpick() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.serving--; t.serving > 0 || t.done {
		return
	}
	r := t.ring
	t.ring, t.tried = nil, false
	t.released = append(t.released, r)
	gone := r.Release()
	go func() {
		<-gone
		t.mu.Lock()
		t.released = slices.DeleteFunc(t.released, func(x *ring.Transport) bool { return x == r })
		t.mu.Unlock()
	}()
}

// startRing probes for io_uring and says what came of it.
func (t *transports) startRing() {
	t.tried = true
	r, err := ring.New(ring.Options{Rings: t.rings})
	if err != nil {
		t.err = err
	} else {
		t.ring = r
	}
	if t.logger == nil || err == nil && t.told {
		return
	}
	t.told = true
	if err != nil && t.kind == Auto {
		t.logger.Warn("io_uring cannot be used here; using the portable transport", "cause", err.Error())
	} else if err == nil {
		t.logger.Info("using the io_uring transport")
	}
}

// stopped reports whether shutdown or close has been called.
func (t *transports) stopped() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.done
}

// all are the transports in use.
func (t *transports) all() []listen.Transport {
	t.mu.Lock()
	defer t.mu.Unlock()
	all := []listen.Transport{&t.portable}
	for _, r := range t.released {
		all = append(all, r)
	}
	if t.ring != nil {
		all = append(all, t.ring)
	}
	return all
}

func (t *transports) drainIdle() {
	for _, tr := range t.all() {
		tr.DrainIdle()
	}
}

// stopListening closes the listeners and the idle connections.
func (t *transports) stopListening() {
	ended, cancel := context.WithCancel(context.Background())
	cancel()
	_ = t.shutdown(ended)
}

func (t *transports) shutdown(ctx context.Context) error {
	t.mu.Lock()
	t.done = true
	t.mu.Unlock()
	var wg sync.WaitGroup
	all := t.all()
	errs := make([]error, len(all))
	for i, tr := range all {
		wg.Go(func() { errs[i] = tr.Shutdown(ctx) })
	}
	wg.Wait()
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

func (t *transports) close() error {
	t.mu.Lock()
	t.done = true
	t.mu.Unlock()
	var errs []error
	for _, tr := range t.all() {
		errs = append(errs, tr.Close())
	}
	return errors.Join(errs...)
}
