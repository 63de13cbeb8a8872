package listentest

import (
	"context"
	"errors"
	"io"
	"net"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/windhover-server/windhover/listen"
)

// patience bounds every wait of the suite: when it is over, something hangs.
const patience = 20 * time.Second

// Network is where a transport is tested.
type Network struct {
	Name string
	// Listen makes a listener and the function that dials it.
	Listen func(testing.TB) (net.Listener, func() (net.Conn, error))
	// Resets says that a connection can be reset, and that closing one with
	// unread input does so.
	Resets bool
	// Skip, if set, gives the reason to leave a case out, by its name, or "".
	Skip func(name string) string
}

// OverTCP is TCP on the loopback interface.
func OverTCP() Network {
	return Network{Name: "tcp", Resets: true, Listen: func(t testing.TB) (net.Listener, func() (net.Conn, error)) {
		return sockets(t, "tcp", "127.0.0.1:0")
	}}
}

// OverUnix is a Unix socket in a directory of the test.
func OverUnix() Network {
	return Network{Name: "unix", Listen: func(t testing.TB) (net.Listener, func() (net.Conn, error)) {
		return sockets(t, "unix", filepath.Join(t.TempDir(), "s"))
	}}
}

// OverMemory is a [Memory].
func OverMemory() Network {
	return Network{Name: "memory", Listen: func(testing.TB) (net.Listener, func() (net.Conn, error)) {
		m := NewMemory(0)
		return m, m.Dial
	}}
}

func sockets(t testing.TB, network, addr string) (net.Listener, func() (net.Conn, error)) {
	ln, err := net.Listen(network, addr)
	if err != nil {
		t.Skipf("no %s here: %v", network, err)
	}
	addr = ln.Addr().String()
	return ln, func() (net.Conn, error) { return net.Dial(network, addr) }
}

// rig is a transport that serves one listener.
type rig struct {
	t       testing.TB
	network Network
	tr      listen.Transport
	ln      net.Listener
	dialNet func() (net.Conn, error)
	served  chan error // what Serve returned
	protos  chan *script

	mu  sync.Mutex
	all []*script
}

// serve serves with opt; configure makes the script of each connection. When
// the test ends, the transport is closed, and every connection must have ended.
func serve(t testing.TB, e env, opt listen.Options, configure func(*script)) *rig {
	t.Helper()
	r := &rig{t: t, network: e.network, tr: e.transport(t), served: make(chan error, 1), protos: make(chan *script, 2048)}
	r.ln, r.dialNet = e.network.Listen(t)
	go func() { r.served <- r.tr.Serve(r.ln, opt, r.accept(configure)) }()
	t.Cleanup(r.stop)
	return r
}

func (r *rig) accept(configure func(*script)) listen.Acceptor {
	return func(l listen.Link) listen.Protocol {
		s := &script{t: r.t, link: l, ended: make(chan struct{}), goneOnce: make(chan struct{})}
		configure(s)
		if s.refuse {
			return nil
		}
		r.mu.Lock()
		r.all = append(r.all, s)
		r.mu.Unlock()
		r.protos <- s
		return s
	}
}

// stop closes the transport and checks that nothing goes on.
func (r *rig) stop() {
	if err := r.tr.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
		r.t.Errorf("Close: %v", err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := r.tr.Shutdown(ctx); err != nil {
		r.t.Errorf("connections left after Close: %v", err)
	}
	r.mu.Lock()
	all := r.all
	r.mu.Unlock()
	for _, s := range all {
		wait(r.t, s.ended, "Lost was not called")
	}
	select {
	case <-r.served:
	case <-time.After(patience):
		r.t.Error("Serve did not return")
	}
}

// dial returns a client that is closed when the test ends.
func (r *rig) dial() net.Conn {
	r.t.Helper()
	c, err := r.dialNet()
	if err != nil {
		r.t.Fatalf("dial: %v", err)
	}
	_ = c.SetDeadline(time.Now().Add(patience))
	r.t.Cleanup(func() { c.Close() })
	return c
}

// connect dials and returns the server's side as well.
func (r *rig) connect() (net.Conn, *script) {
	r.t.Helper()
	c := r.dial()
	return c, receive(r.t, r.protos, "no connection was accepted")
}

// script is a Protocol whose calls a test provides, and which checks how it is
// called. A missing data echoes; missing others close.
type script struct {
	t      testing.TB
	link   listen.Link
	refuse bool

	data    func(p []byte) listen.Verdict
	eof     func() listen.Verdict
	expired func() listen.Verdict
	drain   func() listen.Verdict
	gone    func(error)

	running  atomic.Bool
	over     atomic.Bool // Lost was called
	eofs     atomic.Int32
	goneErr  error // the first, readable when goneOnce is closed
	goneOnce chan struct{}
	once     sync.Once
	lostErr  error // readable when ended is closed
	ended    chan struct{}
}

// enter checks that calls do not overlap and come before Lost.
func (s *script) enter(call string) func() {
	if !s.running.CompareAndSwap(false, true) {
		s.t.Errorf("%s was called while another call ran", call)
	}
	if s.over.Load() {
		s.t.Errorf("%s was called after Lost", call)
	}
	return func() { s.running.Store(false) }
}

func (s *script) Data(p []byte) listen.Verdict {
	defer s.enter("Data")()
	if len(p) == 0 {
		s.t.Error("Data was called without data")
	}
	if s.eofs.Load() > 0 {
		s.t.Error("Data was called after EOF")
	}
	if s.data != nil {
		return s.data(p)
	}
	s.link.End(append(s.link.Begin(), p...))
	return listen.Wait
}

func (s *script) EOF() listen.Verdict {
	defer s.enter("EOF")()
	if s.eofs.Add(1) > 1 {
		s.t.Error("EOF was called twice")
	}
	return call(s.eof)
}

func (s *script) Expired() listen.Verdict {
	defer s.enter("Expired")()
	return call(s.expired)
}

func (s *script) Drain() listen.Verdict {
	defer s.enter("Drain")()
	return call(s.drain)
}

func call(f func() listen.Verdict) listen.Verdict {
	if f == nil {
		return listen.Close
	}
	return f()
}

func (s *script) Gone(err error) {
	if err == nil {
		s.t.Error("Gone was called without an error")
	}
	if s.over.Load() {
		s.t.Error("Gone was called after Lost")
	}
	s.once.Do(func() {
		s.goneErr = err
		close(s.goneOnce)
	})
	if s.gone != nil {
		s.gone(err)
	}
}

func (s *script) Lost(err error) {
	defer s.enter("Lost")()
	s.over.Store(true)
	s.lostErr = err
	close(s.ended) // twice panics
}

// lost waits for the end and returns the reason.
func (s *script) lost() error {
	s.t.Helper()
	wait(s.t, s.ended, "Lost was not called")
	return s.lostErr
}

// send commits text to the queue.
func (s *script) send(text string) { s.link.End(append(s.link.Begin(), text...)) }

// wait fails the test when c is not closed in time.
func wait(t testing.TB, c <-chan struct{}, otherwise string) {
	t.Helper()
	select {
	case <-c:
	case <-time.After(patience):
		t.Fatal(otherwise)
	}
}

// receive fails the test when nothing comes from c in time.
func receive[T any](t testing.TB, c <-chan T, otherwise string) T {
	t.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(patience):
		t.Fatal(otherwise)
		panic("unreachable")
	}
}

// say writes text to a client's connection.
func say(t testing.TB, c net.Conn, text string) {
	t.Helper()
	if _, err := io.WriteString(c, text); err != nil {
		t.Fatalf("client write: %v", err)
	}
}

// hear reads from a client's connection what must be text.
func hear(t testing.TB, c net.Conn, text string) {
	t.Helper()
	b := make([]byte, len(text))
	if n, err := io.ReadFull(c, b); err != nil || string(b) != text {
		t.Fatalf("client read %q, %v; want %q", b[:n], err, text)
	}
}

// hearEnd reads what must be io.EOF or, where that is allowed, a reset.
func hearEnd(t testing.TB, c net.Conn, reset bool) {
	t.Helper()
	n, err := c.Read(make([]byte, 1))
	var ne net.Error
	if n > 0 || err == nil || err != io.EOF && (!reset || errors.As(err, &ne) && ne.Timeout()) {
		t.Fatalf("client read %d bytes, %v; want the end", n, err)
	}
}

// halfClose ends a client's output.
func halfClose(t testing.TB, c net.Conn) {
	t.Helper()
	if err := c.(interface{ CloseWrite() error }).CloseWrite(); err != nil {
		t.Fatalf("client CloseWrite: %v", err)
	}
}

// reset ends a client's connection with an RST where there is one.
func reset(c net.Conn) {
	if tc, ok := c.(*net.TCPConn); ok {
		_ = tc.SetLinger(0)
	}
	c.Close()
}
