//go:build linux && !noring

package ring

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/windhover-server/windhover/listen"
)

// limit is how long a test waits for what must happen.
const limit = 20 * time.Second

// newTransport makes a transport that is closed, and must be left by all its
// connections, when the test ends.
func newTransport(t *testing.T, opt Options) *Transport {
	t.Helper()
	tr, err := New(opt)
	if err != nil {
		t.Skipf("no io_uring here: %v", err)
	}
	cleanTransport(t, tr)
	return tr
}

func cleanTransport(t *testing.T, tr *Transport) {
	t.Cleanup(func() {
		tr.Close()
		ctx, cancel := context.WithTimeout(context.Background(), limit)
		defer cancel()
		if err := tr.Shutdown(ctx); err != nil {
			t.Errorf("connections left after Close: %v", err)
		}
	})
}

// serve serves a fresh loopback listener and returns its address.
func serve(t *testing.T, tr *Transport, opt listen.Options, accept listen.Acceptor) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	serveOn(t, tr, ln, opt, accept)
	return ln.Addr().String()
}

func serveOn(t *testing.T, tr *Transport, ln net.Listener, opt listen.Options, accept listen.Acceptor) {
	t.Helper()
	done := make(chan error, 1)
	go func() { done <- tr.Serve(ln, opt, accept) }()
	t.Cleanup(func() {
		tr.Close()
		if err := <-done; !errors.Is(err, listen.ErrServerClosed) {
			t.Errorf("Serve: %v", err)
		}
	})
}

func dial(t *testing.T, addr string) *net.TCPConn {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(limit))
	return c.(*net.TCPConn)
}

// lines is a protocol of lines of text: each is given to the test's function,
// with the connection at hand.
type lines struct {
	listen.Link
	line func(c *lines, s string) listen.Verdict
	buf  string

	lost chan error
	gone chan error
}

func acceptLines(line func(c *lines, s string) listen.Verdict) (listen.Acceptor, <-chan *lines) {
	accepted := make(chan *lines, 1<<16)
	return func(l listen.Link) listen.Protocol {
		c := &lines{Link: l, line: line, lost: make(chan error, 2), gone: make(chan error, 16)}
		accepted <- c
		return c
	}, accepted
}

func (c *lines) Data(p []byte) listen.Verdict {
	c.buf += string(p)
	for {
		s, rest, ok := strings.Cut(c.buf, "\n")
		if !ok {
			return listen.Wait
		}
		c.buf = rest
		if v := c.line(c, s); v != listen.Wait {
			return v
		}
	}
}

func (c *lines) say(s string) { c.End(append(c.Begin(), s...)) }

func (c *lines) EOF() listen.Verdict     { return listen.Close }
func (c *lines) Expired() listen.Verdict { c.say("expired\n"); return listen.Close }
func (c *lines) Drain() listen.Verdict   { return listen.Close }
func (c *lines) Lost(err error)          { c.lost <- err }
func (c *lines) Gone(err error) {
	select {
	case c.gone <- err:
	default:
	}
}

// get receives from ch or fails.
func get[T any](t *testing.T, what string, ch <-chan T) T {
	t.Helper()
	select {
	case v := <-ch:
		return v
	case <-time.After(limit):
		t.Fatalf("%s did not happen", what)
		panic("unreachable")
	}
}

// ask sends a line and reads the answer.
func ask(t *testing.T, c net.Conn, s string) string {
	t.Helper()
	if _, err := io.WriteString(c, s+"\n"); err != nil {
		t.Fatal(err)
	}
	return hear(t, c)
}

func hear(t *testing.T, c net.Conn) string {
	t.Helper()
	var b strings.Builder
	var p [1]byte
	for {
		if _, err := c.Read(p[:]); err != nil {
			t.Fatalf("after %q: %v", b.String(), err)
		}
		if p[0] == '\n' {
			return b.String()
		}
		b.WriteByte(p[0])
	}
}

// wantEnd reads the end of the stream.
func wantEnd(t *testing.T, c net.Conn) {
	t.Helper()
	if rest, err := io.ReadAll(bufio.NewReader(c)); err != nil || len(rest) > 0 {
		t.Fatalf("end of stream wanted, got %q, %v", rest, err)
	}
}

// wantReset reads a reset.
func wantReset(t *testing.T, c net.Conn) {
	t.Helper()
	if _, err := c.Read(make([]byte, 1)); !errors.Is(err, unix.ECONNRESET) {
		t.Fatalf("reset wanted, got %v", err)
	}
}
