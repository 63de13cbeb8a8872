//go:build linux && !noring

package ring

import (
	"context"
	"errors"
	"io"
	"net"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/windhover-server/windhover/listen"
)

// gather connects until the server has a crowd, and goes on until the returned
// function is called.
func gather(t *testing.T, tr *Transport, ln net.Listener) (disperse func()) {
	t.Helper()
	var done atomic.Bool
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for !done.Load() {
				c, err := net.Dial(ln.Addr().Network(), ln.Addr().String())
				if err != nil {
					return // the listener is closed
				}
				io.WriteString(c, "last\n")
				io.ReadAll(c)
				c.Close()
			}
		})
	}
	for !crowded(tr) {
		runtime.Gosched()
	}
	return sync.OnceFunc(func() { done.Store(true); wg.Wait() })
}

// crowded reports whether one of tr's servers has a crowd.
func crowded(tr *Transport) bool {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	for s := range tr.serving {
		if s.crowd.here.Load() {
			return true
		}
	}
	return false
}

func acceptLast(c *lines, s string) listen.Verdict {
	c.say(s + "\n")
	if s == "last" {
		return listen.Finish
	}
	return listen.Wait
}

// A crowd comes and goes, and everybody is served before, in and after it, and
// by a peer address of their own.
func TestCrowdComesAndGoes(t *testing.T) {
	for _, rings := range []int{1, 3} {
		onTCPAndUnix(t, func(t *testing.T, ln net.Listener) {
			tr := newTransport(t, Options{Rings: rings})
			accept, links := acceptLines(acceptLast)
			serveOn(t, tr, ln, listen.Options{}, accept)
			for range 2 {
				disperse := gather(t, tr, ln)
				defer disperse()
				c, err := net.Dial(ln.Addr().Network(), ln.Addr().String())
				if err != nil {
					t.Fatal(err)
				}
				defer c.Close()
				if got := ask(t, c, "hello"); got != "hello" {
					t.Fatal(got)
				}
				for found := ln.Addr().Network() == "unix"; !found; {
					found = get(t, "link", links).RemoteAddr().String() == c.LocalAddr().String()
				}
				disperse()
				for crowded(tr) {
					runtime.Gosched()
				}
			}
		})
	}
}

func TestClosingTheListenerOfACrowdEndsServe(t *testing.T) {
	onTCPAndUnix(t, func(t *testing.T, ln net.Listener) {
		tr := newTransport(t, Options{Rings: 1})
		accept, _ := acceptLines(acceptLast)
		done := make(chan error, 1)
		go func() { done <- tr.Serve(ln, listen.Options{}, accept) }()
		defer gather(t, tr, ln)()
		ln.Close()
		if c, err := net.Dial(ln.Addr().Network(), ln.Addr().String()); err == nil {
			c.Close()
			t.Fatal("still listening")
		}
		if err := get(t, "end of Serve", done); !errors.Is(err, net.ErrClosed) {
			t.Fatal(err)
		}
	})
}

// An acceptor that blocks holds up acceptance only, and what has been
// completed before Shutdown is served.
func TestShutdownServesTheBacklogOfACrowd(t *testing.T) {
	tr := newTransport(t, Options{Rings: 1})
	ln := pipeTCP(t)
	var slow atomic.Bool
	blocked, proceed := make(chan struct{}, 1<<10), make(chan struct{})
	accept, _ := acceptLines(acceptLast)
	serveOn(t, tr, ln, listen.Options{}, func(l listen.Link) listen.Protocol {
		if slow.Load() {
			blocked <- struct{}{}
			<-proceed
		}
		return accept(l)
	})
	old := dial(t, ln.Addr().String())
	ask(t, old, "hello")
	disperse := gather(t, tr, ln)
	slow.Store(true)
	get(t, "blocked acceptor", blocked)
	if got := ask(t, old, "hello"); got != "hello" {
		t.Fatal(got)
	}
	var conns []*net.TCPConn
	for range 100 {
		c := dial(t, ln.Addr().String())
		io.WriteString(c, "last\n")
		conns = append(conns, c)
	}
	old.Close()
	done := make(chan error, 1)
	go func() { done <- tr.Shutdown(context.Background()) }()
	for tr.phase.Load() == open {
		runtime.Gosched()
	}
	close(proceed)
	for _, c := range conns {
		// Drain may come before the request; a reset would mean not accepted.
		if b, err := io.ReadAll(c); err != nil || len(b) > 0 && string(b) != "last\n" {
			t.Errorf("%q, %v", b, err)
		}
	}
	disperse()
	if err := get(t, "Shutdown", done); err != nil {
		t.Fatal(err)
	}
}

// What cannot be accepted is reported as outside a crowd, and stays in the
// backlog.
func TestCrowdFailsWithEMFILE(t *testing.T) {
	tr := newTransport(t, Options{Rings: 1})
	ln := pipeTCP(t)
	defer ln.Close()
	s, err := newServer(tr, ln, listen.Options{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.openCrowd(); err != nil {
		t.Fatal(err)
	}
	defer s.crowd.close() // no tick: the deadline is not set
	dial(t, ln.Addr().String())
	var old unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &old); err != nil {
		t.Fatal(err)
	}
	low := old
	low.Cur = 3
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &low); err != nil {
		t.Fatal(err)
	}
	err = s.acceptCrowd()
	unix.Setrlimit(unix.RLIMIT_NOFILE, &old)
	if !errors.Is(err, unix.EMFILE) || !temporary(err) {
		t.Fatal(err)
	}
	if err := s.acceptCrowd(); err != nil || len(s.batch) != 1 {
		t.Fatal(len(s.batch), err)
	}
	unix.Close(s.batch[0].fd)
}
