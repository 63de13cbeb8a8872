package listentest

import (
	"context"
	"errors"
	"io"
	"net"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/windhover-server/windhover/listen"
)

var lifetimeCases = []testCase{
	{"ShutdownOfNothing", testShutdownOfNothing},
	{"ShutdownWhileWaiting", testShutdownWhileWaiting},
	{"ShutdownWhileBusy", testShutdownWhileBusy},
	{"ShutdownGivesUp", testShutdownGivesUp},
	{"DrainIdle", testDrainIdle},
	{"DrainRefused", testDrainRefused},
	{"CloseUnderLoad", testCloseUnderLoad},
	{"CloseDoesNotWait", testCloseDoesNotWait},
	{"CloseWhileLingering", testCloseWhileLingering},
	{"ServeAfterShutdown", testServeAfterShutdown},
	{"ServeTwo", testServeTwo},
	{"ListenerClosed", testListenerClosed},
}

// A handler may end its goroutine, as t.FailNow does.
func testGoexit(t *testing.T, e env) {
	r := serve(t, e, listen.Options{}, func(s *script) {
		s.data = func([]byte) listen.Verdict {
			s.running.Store(false)
			s.link.Abort()
			s.link.Leave()
			runtime.Goexit()
			return listen.Wait
		}
	})
	c, s := r.connect()
	say(t, c, "x")
	hearEnd(t, c, true)
	s.lost()
}

func (r *rig) shutdown(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := r.tr.Shutdown(ctx); err != nil {
		t.Errorf("Shutdown: %v", err)
	}
}

// hasReturned checks what Serve returns when the transport stops.
func (r *rig) hasReturned(t *testing.T) {
	t.Helper()
	err := receive(t, r.served, "Serve did not return")
	if !errors.Is(err, listen.ErrServerClosed) {
		t.Errorf("Serve: %v", err)
	}
	r.served <- err // for stop
}

func testShutdownOfNothing(t *testing.T, e env) {
	r := serve(t, e, listen.Options{}, echo)
	c, s := r.connect()
	c.Close()
	s.lost()
	r.shutdown(t)
	r.hasReturned(t)
	if c, err := r.dialNet(); err == nil {
		c.Close()
		t.Error("the listener is still open")
	}
	r.shutdown(t) // again
}

func testShutdownWhileWaiting(t *testing.T, e env) {
	var drained atomic.Int32
	r := serve(t, e, listen.Options{}, func(s *script) {
		s.drain = func() listen.Verdict { drained.Add(1); s.send("bye"); return listen.Close }
	})
	var clients []net.Conn
	for range 10 {
		c, _ := r.connect()
		say(t, c, "x")
		hear(t, c, "x")
		clients = append(clients, c)
	}
	fresh, _ := r.connect() // has sent nothing yet
	clients = append(clients, fresh)
	var wg sync.WaitGroup
	for _, c := range clients {
		wg.Go(func() {
			if b, err := io.ReadAll(c); string(b) != "bye" || err != nil {
				t.Errorf("client read %q, %v", b, err)
			}
			c.Close()
		})
	}
	r.shutdown(t)
	r.hasReturned(t)
	wg.Wait()
	if n := drained.Load(); n != 11 {
		t.Errorf("Drain was called %d times", n)
	}
}

func testShutdownWhileBusy(t *testing.T, e env) {
	inside, release := make(chan struct{}), make(chan struct{})
	r := serve(t, e, listen.Options{}, func(s *script) {
		s.data = func([]byte) listen.Verdict {
			close(inside)
			s.link.Leave()
			<-release
			s.send("answer ")
			return listen.Wait
		}
		s.drain = func() listen.Verdict { s.send("bye"); return listen.Close }
	})
	c, _ := r.connect()
	say(t, c, "x")
	wait(t, inside, "Data was not called")
	done := make(chan struct{})
	go func() {
		defer close(done)
		r.shutdown(t)
	}()
	r.hasReturned(t)
	select {
	case <-done:
		t.Error("Shutdown did not wait for the call")
	default:
	}
	close(release)
	hear(t, c, "answer bye")
	hearEnd(t, c, false)
	c.Close()
	wait(t, done, "Shutdown did not return")
}

func testShutdownGivesUp(t *testing.T, e env) {
	r := serve(t, e, listen.Options{}, func(s *script) {
		s.drain = func() listen.Verdict { return listen.Wait }
	})
	c, _ := r.connect()
	say(t, c, "x")
	hear(t, c, "x")
	ctx, cancel := context.WithTimeout(t.Context(), short)
	defer cancel()
	if err := r.tr.Shutdown(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Shutdown: %v", err)
	}
	say(t, c, "still served")
	hear(t, c, "still served")
}

func testDrainIdle(t *testing.T, e env) {
	var drained atomic.Int32
	r := serve(t, e, listen.Options{Linger: short}, func(s *script) {
		s.drain = func() listen.Verdict { drained.Add(1); return listen.Close }
	})
	c, s := r.connect()
	say(t, c, "x")
	hear(t, c, "x")
	r.tr.DrainIdle()
	hearEnd(t, c, false)
	s.lost()
	c, _ = r.connect() // the transport goes on
	say(t, c, "y")
	hear(t, c, "y")
	if n := drained.Load(); n != 1 {
		t.Errorf("Drain was called %d times", n)
	}
}

// A connection that does not want to go is asked each time.
func testDrainRefused(t *testing.T, e env) {
	drains := make(chan struct{}, 10)
	r := serve(t, e, listen.Options{}, func(s *script) {
		s.drain = func() listen.Verdict { drains <- struct{}{}; return listen.Wait }
	})
	c, _ := r.connect()
	for range 3 {
		say(t, c, "x")
		hear(t, c, "x")
		r.tr.DrainIdle()
		receive(t, drains, "Drain was not called")
	}
	say(t, c, "y")
	hear(t, c, "y")
}

func testCloseUnderLoad(t *testing.T, e env) {
	r := serve(t, e, listen.Options{}, echo)
	var wg sync.WaitGroup
	var turns atomic.Int64
	var all []*script
	for range 30 {
		c, s := r.connect()
		all = append(all, s)
		wg.Go(func() {
			b := make([]byte, 1000)
			for {
				if _, err := c.Write(b); err != nil {
					return
				}
				if _, err := io.ReadFull(c, b); err != nil {
					return
				}
				turns.Add(1)
			}
		})
	}
	for turns.Load() < 1000 {
		pause(time.Millisecond)
	}
	if err := r.tr.Close(); err != nil {
		t.Errorf("Close: %v", err)
	}
	r.hasReturned(t)
	wg.Wait()
	for _, s := range all {
		s.lost()
	}
}

func testCloseDoesNotWait(t *testing.T, e env) {
	inside, release := make(chan struct{}), make(chan struct{})
	r := serve(t, e, listen.Options{}, func(s *script) {
		s.data = func([]byte) listen.Verdict {
			close(inside)
			s.link.Leave()
			<-release
			return listen.Wait
		}
	})
	c, s := r.connect()
	say(t, c, "x")
	wait(t, inside, "Data was not called")
	if err := r.tr.Close(); err != nil {
		t.Errorf("Close: %v", err)
	}
	hearEnd(t, c, true)
	wait(t, s.goneOnce, "Gone was not called")
	close(release)
	if err := s.lost(); err == nil {
		t.Error("Lost(nil), though the protocol did not end it")
	}
}

func testCloseWhileLingering(t *testing.T, e env) {
	r := serve(t, e, listen.Options{Linger: time.Hour}, func(s *script) {
		s.data = func([]byte) listen.Verdict { s.send("answer"); return listen.Close }
	})
	c, s := r.connect()
	say(t, c, "x")
	hear(t, c, "answer")
	hearEnd(t, c, false)
	if err := r.tr.Close(); err != nil {
		t.Errorf("Close: %v", err)
	}
	s.lost()
}

func testServeAfterShutdown(t *testing.T, e env) {
	r := serve(t, e, listen.Options{Linger: short}, echo)
	c, _ := r.connect()
	say(t, c, "x")
	hear(t, c, "x")
	r.shutdown(t)
	ln, dial := e.network.Listen(t)
	if err := r.tr.Serve(ln, listen.Options{}, r.accept(echo)); !errors.Is(err, listen.ErrServerClosed) {
		t.Errorf("Serve: %v", err)
	}
	if c, err := dial(); err == nil {
		c.Close()
		t.Error("the listener was not closed")
	}
}

func testServeTwo(t *testing.T, e env) {
	r := serve(t, e, listen.Options{Linger: short}, echo)
	ln, dial := e.network.Listen(t)
	other := make(chan error, 1)
	go func() { other <- r.tr.Serve(ln, listen.Options{Linger: short}, r.accept(echo)) }()
	for range 3 {
		c, _ := r.connect()
		say(t, c, "one")
		hear(t, c, "one")
		d, err := dial()
		if err != nil {
			t.Fatal(err)
		}
		defer d.Close()
		_ = d.SetDeadline(time.Now().Add(patience))
		say(t, d, "two")
		hear(t, d, "two")
		receive(t, r.protos, "no connection")
	}
	r.shutdown(t)
	if err := receive(t, other, "the second Serve did not return"); !errors.Is(err, listen.ErrServerClosed) {
		t.Errorf("Serve: %v", err)
	}
}

// When its listener is closed, Serve returns; the connections go on.
func testListenerClosed(t *testing.T, e env) {
	r := serve(t, e, listen.Options{}, echo)
	c, _ := r.connect()
	say(t, c, "x")
	hear(t, c, "x")
	r.ln.Close()
	err := receive(t, r.served, "Serve did not return")
	if !errors.Is(err, net.ErrClosed) {
		t.Errorf("Serve: %v", err)
	}
	r.served <- err
	say(t, c, "y")
	hear(t, c, "y")
}
