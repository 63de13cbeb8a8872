//go:build linux && !noring

package windhover_test

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/windhover-server/windhover"
	"github.com/windhover-server/windhover/ring"
)

// releaseLimit is how long these tests wait for what must happen.
const releaseLimit = 10 * time.Second

// residue lists what servers hold: goroutines of their transports, and
// descriptors of the kinds that those open.
func residue() (held []string) {
	buf := make([]byte, 1<<20)
	buf = buf[:runtime.Stack(buf, true)]
	for g := range strings.SplitSeq(string(buf), "\n\n") {
		if strings.Contains(g, "windhover/ring.") || strings.Contains(g, "windhover.(*transports)") {
			held = append(held, g)
		}
	}
	names, _ := os.ReadDir("/proc/self/fd")
	for _, n := range names {
		to, err := os.Readlink("/proc/self/fd/" + n.Name())
		if err == nil && (strings.HasPrefix(to, "socket:") || strings.HasPrefix(to, "anon_inode:")) {
			held = append(held, "descriptor "+to)
		}
	}
	return held
}

// awaitResidue waits until no more is held than n.
func awaitResidue(t *testing.T, n int) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	limit := time.After(releaseLimit)
	for {
		held := residue()
		if len(held) <= n {
			return
		}
		select {
		case <-tick.C:
		case <-limit:
			t.Fatalf("%d goroutines and descriptors, %d at the start:\n%s", len(held), n, strings.Join(held, "\n\n"))
		}
	}
}

// released is a server on the ring, and one client of it.
type released struct {
	*testing.T
	srv   *windhover.Server
	start int // residue before
}

func newReleased(t *testing.T, n int) *released {
	if err := ring.Probe().Err; err != nil {
		t.Skip("no io_uring here:", err)
	}
	listenLocal(t).Close() // the runtime's poller has its descriptors now
	r := &released{T: t, start: len(residue())}
	r.srv = &windhover.Server{
		Transport: windhover.Ring,
		Rings:     n,
		Handler:   http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "hello") }),
	}
	t.Cleanup(func() { r.srv.Close() })
	return r
}

func listenLocal(t *testing.T) net.Listener {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return ln
}

// serve returns a listener that is served and what Serve returns.
func (r *released) serve() (net.Listener, <-chan error) {
	r.Helper()
	ln := listenLocal(r.T)
	ended := make(chan error, 1)
	go func() { ended <- r.srv.Serve(ln) }()
	return ln, ended
}

// closed closes the listener and sees that Serve returns the listener's error.
func (r *released) closed(ln net.Listener, ended <-chan error) {
	r.Helper()
	ln.Close()
	select {
	case err := <-ended:
		if !errors.Is(err, net.ErrClosed) {
			r.Fatalf("Serve returned %v", err)
		}
	case <-time.After(releaseLimit):
		r.Fatal("Serve has not returned")
	}
}

// peer is a keep-alive connection.
type peer struct {
	net.Conn
	r *bufio.Reader
}

func (r *released) dial(ln net.Listener) *peer {
	r.Helper()
	c, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		r.Fatal(err)
	}
	r.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(releaseLimit))
	cl := &peer{c, bufio.NewReader(c)}
	r.get(cl)
	return cl
}

// get makes a request on a connection that stays open.
func (r *released) get(c *peer) {
	r.Helper()
	io.WriteString(c, "GET / HTTP/1.1\r\nHost: h\r\n\r\n")
	res, err := http.ReadResponse(c.r, nil)
	if err != nil {
		r.Fatal(err)
	}
	b, err := io.ReadAll(res.Body)
	if err != nil || string(b) != "hello" || res.Close {
		r.Fatalf("%q, %v, close %v", b, err, res.Close)
	}
}

// ended sees that the server has closed a connection.
func (r *released) ended(c *peer) {
	r.Helper()
	if b, err := c.r.ReadByte(); err == nil || os.IsTimeout(err) {
		r.Fatalf("the connection is open: %q, %v", b, err)
	}
	c.Close()
}

// A server whose listeners have been closed by their owner leaves nothing
// behind once its connections are gone, as http.Server does; until then they
// are served.
func TestRingsEndWithTheLastListenerAndConnection(t *testing.T) {
	r := newReleased(t, 2)
	ln, ended := r.serve()
	c := r.dial(ln)
	r.closed(ln, ended)
	r.get(c) // as before
	c.Close()
	awaitResidue(t, r.start)
}

// … also one that never got a connection, and where the last connection went
// before the listener.
func TestRingsEndWithTheLastListener(t *testing.T) {
	r := newReleased(t, 2)
	for _, connects := range []bool{false, true} {
		ln, ended := r.serve()
		other, otherEnded := r.serve()
		if connects {
			r.dial(ln).Close()
		}
		r.closed(ln, ended)
		c := r.dial(other) // which is still served
		c.Close()
		r.closed(other, otherEnded)
		awaitResidue(t, r.start)
	}
}

// A later Serve has rings of its own, beside those that still have connections.
func TestServeAgainAfterTheLastListener(t *testing.T) {
	r := newReleased(t, 1)
	ln, ended := r.serve()
	old := r.dial(ln)
	r.closed(ln, ended)

	ln, ended = r.serve()
	c := r.dial(ln)
	r.get(old)
	both := len(residue())
	old.Close()
	awaitResidue(t, both-3) // a ring, its eventfd, the watchdog's timerfd at least
	r.get(c)
	r.closed(ln, ended)
	c.Close()
	awaitResidue(t, r.start)
}

// Connections that have outlived their listener end with the server.
func TestConnectionsWithoutAListenerEndWithTheServer(t *testing.T) {
	for name, end := range map[string]func(s *windhover.Server, t *testing.T) error{
		"Shutdown":             func(s *windhover.Server, t *testing.T) error { return s.Shutdown(t.Context()) },
		"Close":                func(s *windhover.Server, _ *testing.T) error { return s.Close() },
		"SetKeepAlivesEnabled": func(s *windhover.Server, _ *testing.T) error { s.SetKeepAlivesEnabled(false); return nil },
	} {
		t.Run(name, func(t *testing.T) {
			r := newReleased(t, 1)
			var clients []*peer
			for range 2 {
				ln, ended := r.serve()
				clients = append(clients, r.dial(ln))
				r.closed(ln, ended)
			}
			ln, _ := r.serve()
			clients = append(clients, r.dial(ln))
			done := make(chan error, 1)
			go func() { done <- end(r.srv, t) }()
			for _, c := range clients {
				r.ended(c)
			}
			if err := <-done; err != nil {
				t.Error(err)
			}
			ln.Close() // which SetKeepAlivesEnabled leaves open
			awaitResidue(t, r.start)
		})
	}
}

// Listeners that come and go at the same time always have rings.
func TestListenersComeAndGo(t *testing.T) {
	r := newReleased(t, 1)
	var wg sync.WaitGroup
	errs := make(chan error, 8)
	for range 4 {
		wg.Go(func() {
			for range 25 {
				if err := serveOnce(r.srv); err != nil {
					errs <- err
					return
				}
			}
		})
	}
	wg.Wait()
	close(errs)
	for err := range errs {
		t.Error(err)
	}
	awaitResidue(t, r.start)
}

// serveOnce serves one request on a listener of its own.
func serveOnce(s *windhover.Server) error {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(ln) }()
	c, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		return err
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(releaseLimit))
	io.WriteString(c, "GET / HTTP/1.1\r\nHost: h\r\n\r\n")
	res, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		return err
	}
	ln.Close() // with the connection open
	if err := <-ended; !errors.Is(err, net.ErrClosed) {
		return fmt.Errorf("Serve returned %w", err)
	}
	res.Body.Close()
	return nil
}
