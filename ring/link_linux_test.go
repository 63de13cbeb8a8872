//go:build linux && !noring

package ring

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/windhover-server/windhover/listen"
)

func TestDetachGivesTheSocketAndWhatWasReceived(t *testing.T) {
	type result struct {
		conn     net.Conn
		received string
		err      error
	}
	results := make(chan result, 1)
	for _, d := range []Dispatch{Adaptive, Inline, Workers} {
		for _, first := range []bool{false, true} {
			t.Run(fmt.Sprint(d, first), func(t *testing.T) {
				tr := newTransport(t, Options{Rings: 1, Dispatch: d})
				proceed := make(chan struct{})
				accept, links := acceptLines(func(c *lines, s string) listen.Verdict {
					var stands net.Conn
					if first {
						stands = c.NetConn()
					}
					c.say("detaching\n")
					c.Flush()
					<-proceed
					conn, received, err := c.Detach()
					if first && conn != stands {
						t.Error("Detach returned another conn than NetConn")
					}
					results <- result{conn, string(received), err}
					return listen.Detached
				})
				c := dial(t, serve(t, tr, listen.Options{}, accept))
				if got := ask(t, c, "detach"); got != "detaching" {
					t.Fatal(got)
				}
				l := get(t, "accept", links).Link.(*link)
				io.WriteString(c, "more")
				for end := time.Now().Add(limit); time.Now().Before(end); time.Sleep(time.Millisecond) {
					l.mu.Lock()
					n := l.in.len()
					l.mu.Unlock()
					if n == 4 {
						break
					}
				}
				close(proceed)
				r := get(t, "Detach", results)
				if r.err != nil || r.received != "more" {
					t.Fatalf("received %q, %v", r.received, r.err)
				}
				conn, ok := r.conn.(*net.TCPConn)
				if !ok {
					t.Fatalf("conn is a %T", r.conn)
				}
				defer conn.Close()
				if conn.LocalAddr().String() != c.RemoteAddr().String() || conn.RemoteAddr().String() != c.LocalAddr().String() {
					t.Errorf("conn is %v - %v", conn.LocalAddr(), conn.RemoteAddr())
				}
				io.WriteString(c, "later\n")
				if got := hear(t, conn); got != "later" {
					t.Fatal(got)
				}
				io.WriteString(conn, "answer\n")
				if got := hear(t, c); got != "answer" {
					t.Fatal(got)
				}
				conn.SetReadDeadline(time.Now().Add(time.Millisecond))
				if _, err := conn.Read(make([]byte, 1)); !os.IsTimeout(err) {
					t.Errorf("read with a deadline: %v", err)
				}
				ctx, cancel := context.WithTimeout(t.Context(), limit)
				defer cancel()
				if err := tr.Shutdown(ctx); err != nil {
					t.Errorf("a detached connection still counts: %v", err)
				}
			})
		}
	}
}

func TestClosingNetConnAborts(t *testing.T) {
	tr := newTransport(t, Options{Rings: 1})
	conns := make(chan net.Conn, 1)
	accept, links := acceptLines(func(c *lines, s string) listen.Verdict {
		conns <- c.NetConn()
		c.say("ok\n")
		return listen.Wait
	})
	c := dial(t, serve(t, tr, listen.Options{}, accept))
	ask(t, c, "hello")
	get(t, "NetConn", conns).Close()
	wantEnd(t, c)
	if err := get(t, "Lost", get(t, "accept", links).lost); err != nil {
		t.Fatalf("Lost(%v)", err)
	}
}

func TestAddressesSurviveTheConnection(t *testing.T) {
	tr := newTransport(t, Options{Rings: 1})
	accept, links := acceptLines(func(c *lines, s string) listen.Verdict { return listen.Close })
	addr := serve(t, tr, listen.Options{}, accept)
	c := dial(t, addr)
	fmt.Fprintln(c, "bye")
	wantEnd(t, c)
	c.Close()
	l := get(t, "accept", links)
	get(t, "Lost", l.lost)
	if got := l.RemoteAddr().String(); got != c.LocalAddr().String() {
		t.Errorf("remote address %s, want %s", got, c.LocalAddr())
	}
	if got := l.LocalAddr().String(); got != addr {
		t.Errorf("local address %s, want %s", got, addr)
	}
}

// An address that is asked for once, as the protocol of an http.Handler does,
// costs an idle connection nothing; one that is asked for often is made once.
func TestRemoteAddrIsKeptWhenAskedForTwice(t *testing.T) {
	tr := newTransport(t, Options{Rings: 1})
	accept, links := acceptLines(func(c *lines, s string) listen.Verdict { return listen.Wait })
	c := dial(t, serve(t, tr, listen.Options{}, accept))
	k := get(t, "accept", links).Link.(*link)
	first := k.RemoteAddr()
	if k.names != nil {
		t.Error("the first answer was kept")
	}
	if first.String() != c.LocalAddr().String() || k.RemoteAddr().String() != first.String() {
		t.Errorf("%v, then %v; want %v", first, k.RemoteAddr(), c.LocalAddr())
	}
	if n := testing.AllocsPerRun(10, func() { k.RemoteAddr() }); n != 0 {
		t.Errorf("%v allocations for a later answer", n)
	}
}

func TestUnixSockets(t *testing.T) {
	tr := newTransport(t, Options{Rings: 1})
	accept, _ := acceptLines(func(c *lines, s string) listen.Verdict {
		if _, ok := c.RemoteAddr().(*net.UnixAddr); !ok {
			t.Errorf("remote address is a %T", c.RemoteAddr())
		}
		if s == "detach" {
			conn, _, err := c.Detach()
			if err != nil {
				t.Error(err)
				return listen.Abort
			}
			if _, ok := conn.(*net.UnixConn); !ok {
				t.Errorf("conn is a %T", conn)
			}
			io.WriteString(conn, "detached\n")
			conn.Close()
			return listen.Detached
		}
		c.say(s + "\n")
		return listen.Wait
	})
	path := filepath.Join(t.TempDir(), "s")
	ln, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	serveOn(t, tr, ln, listen.Options{}, accept)
	c, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for _, s := range []string{"one", "two"} {
		if got := ask(t, c, s); got != s {
			t.Fatal(got)
		}
	}
	if got := ask(t, c, "detach"); got != "detached" {
		t.Fatal(got)
	}
}

func TestReadFromSendsFiles(t *testing.T) {
	content := bytes.Repeat([]byte("0123456789abcde\n"), 1<<18) // 4 MiB
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	tr := newTransport(t, Options{Rings: 1})
	accept, _ := acceptLines(func(c *lines, s string) listen.Verdict {
		f, err := os.Open(path)
		if err != nil {
			t.Error(err)
			return listen.Abort
		}
		defer f.Close()
		f.Seek(16, io.SeekStart)
		c.say("head\n")
		rf := c.Link.(io.ReaderFrom)
		if n, err := rf.ReadFrom(strings.NewReader("x")); n != 0 || !errors.Is(err, errors.ErrUnsupported) {
			t.Errorf("from a strings.Reader: %d, %v", n, err)
		}
		switch s {
		case "all":
			if n, err := rf.ReadFrom(f); n != int64(len(content)-16) || err != nil {
				t.Errorf("%d, %v", n, err)
			}
		case "part":
			lr := &io.LimitedReader{R: f, N: 100000}
			if n, err := rf.ReadFrom(lr); n != 100000 || err != nil || lr.N != 0 {
				t.Errorf("%d, %v, %d left", n, err, lr.N)
			}
		}
		return listen.Close
	})
	addr := serve(t, tr, listen.Options{}, accept)
	for s, want := range map[string][]byte{"all": content[16:], "part": content[16:100016]} {
		c := dial(t, addr)
		fmt.Fprintln(c, s)
		time.Sleep(10 * time.Millisecond) // the socket fills up
		got, err := io.ReadAll(c)
		if err != nil || !bytes.Equal(got, append([]byte("head\n"), want...)) {
			t.Fatalf("%s: %d bytes, %v", s, len(got), err)
		}
	}
}

func TestReadDeadlines(t *testing.T) {
	tr := newTransport(t, Options{Rings: 1})
	accept, _ := acceptLines(func(c *lines, s string) listen.Verdict {
		switch s {
		case "read":
			c.SetReadDeadline(time.Now().Add(20 * time.Millisecond))
			if _, err := c.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("read: %v", err)
			}
			c.SetReadDeadline(time.Time{})
			c.say("read timed out\n")
		case "past":
			c.SetReadDeadline(time.Unix(1, 0))
			if _, err := c.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("read: %v", err)
			}
			c.SetReadDeadline(time.Time{})
			c.say("past\n")
		case "moved":
			c.SetReadDeadline(time.Now().Add(10 * time.Millisecond))
			c.SetReadDeadline(time.Now().Add(time.Hour))
			c.say("moved\n")
		case "idle":
			c.SetReadDeadline(time.Now().Add(20 * time.Millisecond))
		}
		return listen.Wait
	})
	c := dial(t, serve(t, tr, listen.Options{}, accept))
	for s, want := range map[string]string{"read": "read timed out", "past": "past", "moved": "moved"} {
		if got := ask(t, c, s); got != want {
			t.Fatal(got)
		}
	}
	if got := ask(t, c, "idle"); got != "expired" {
		t.Fatal(got)
	}
	wantEnd(t, c)
}

func TestReadTakesWhatArrivesDuringACall(t *testing.T) {
	for _, d := range []Dispatch{Adaptive, Inline, Workers} {
		t.Run(fmt.Sprint(d), func(t *testing.T) {
			tr := newTransport(t, Options{Rings: 1, Dispatch: d})
			accept, _ := acceptLines(func(c *lines, s string) listen.Verdict {
				c.say("ready\n")
				var n, sum int
				buf := make([]byte, 3000)
				for n < 1<<20 {
					m, err := c.Read(buf)
					if err != nil {
						t.Error(err)
						return listen.Abort
					}
					for _, b := range buf[:m] {
						sum += int(b)
					}
					n += m
				}
				c.say(fmt.Sprintln(n, sum))
				return listen.Wait
			})
			c := dial(t, serve(t, tr, listen.Options{ReceiveBuffer: 10000}, accept))
			for range 3 {
				if got := ask(t, c, "upload"); got != "ready" {
					t.Fatal(got)
				}
				go c.Write(bytes.Repeat([]byte{3}, 1<<20))
				if got := hear(t, c); got != fmt.Sprint(1<<20, " ", 3<<20) {
					t.Fatal(got)
				}
			}
		})
	}
}

// What a protocol does not take is bounded, and taken later.
func TestReceivingStopsAtTheLimit(t *testing.T) {
	const limitBytes = 50000
	tr := newTransport(t, Options{Rings: 1})
	proceed := make(chan struct{})
	accept, links := acceptLines(func(c *lines, s string) listen.Verdict {
		if s == "stop" {
			<-proceed
			c.say("went on\n")
		}
		return listen.Wait
	})
	c := dial(t, serve(t, tr, listen.Options{ReceiveBuffer: limitBytes}, accept))
	fmt.Fprintln(c, "stop")
	l := get(t, "accept", links).Link.(*link)
	c.SetWriteDeadline(time.Now().Add(500 * time.Millisecond))
	n, err := io.Copy(c, io.LimitReader(zeros{}, 64<<20))
	if !os.IsTimeout(err) {
		t.Fatalf("%d bytes went away, %v", n, err)
	}
	l.mu.Lock()
	held := l.in.len()
	l.mu.Unlock()
	if most := limitBytes + normalSizes.piecewise.most*normalSizes.piecewise.bytes; held > most {
		t.Errorf("%d bytes are held", held)
	}
	close(proceed)
	if got := hear(t, c); got != "went on" {
		t.Fatal(got)
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

func TestCloseWriteLeavesReadingOpen(t *testing.T) {
	tr := newTransport(t, Options{Rings: 1})
	heard := make(chan string, 4)
	accept, _ := acceptLines(func(c *lines, s string) listen.Verdict {
		heard <- s
		if s == "end" {
			c.say("last words\n")
			if err := c.CloseWrite(); err != nil {
				t.Error(err)
			}
			if _, err := c.Write([]byte("x")); err == nil {
				t.Error("wrote after CloseWrite")
			}
		}
		return listen.Wait
	})
	c := dial(t, serve(t, tr, listen.Options{}, accept))
	if got := ask(t, c, "end"); got != "last words" {
		t.Fatal(got)
	}
	wantEnd(t, c)
	get(t, "end", heard)
	fmt.Fprintln(c, "still here")
	if got := get(t, "line", heard); got != "still here" {
		t.Fatal(got)
	}
}

func TestAbortFromAnotherGoroutine(t *testing.T) {
	tr := newTransport(t, Options{Rings: 1})
	accept, links := acceptLines(func(c *lines, s string) listen.Verdict {
		if s == "read" {
			if _, err := c.Read(make([]byte, 1)); !errors.Is(err, net.ErrClosed) {
				t.Errorf("read: %v", err)
			}
			if err := c.Flush(); !errors.Is(err, net.ErrClosed) {
				t.Errorf("flush: %v", err)
			}
			if err := get(t, "Gone", c.gone); !errors.Is(err, net.ErrClosed) {
				t.Errorf("Gone(%v)", err)
			}
		}
		c.say("ok\n")
		return listen.Wait
	})
	addr := serve(t, tr, listen.Options{}, accept)
	for _, s := range []string{"read", "idle"} {
		c := dial(t, addr)
		l := get(t, "accept", links)
		fmt.Fprintln(c, s)
		if s == "idle" {
			hear(t, c)
		}
		l.Abort()
		l.Abort()
		wantReset(t, c)
		if err := get(t, "Lost", l.lost); err != nil {
			t.Errorf("Lost(%v)", err)
		}
		l.Abort() // long gone
	}
}

func TestRefusedConnectionsAreClosed(t *testing.T) {
	tr := newTransport(t, Options{Rings: 1})
	addr := serve(t, tr, listen.Options{}, func(listen.Link) listen.Protocol { return nil })
	wantEnd(t, dial(t, addr))
}

func TestServeReturnsWhenTheListenerIsClosed(t *testing.T) {
	tr := newTransport(t, Options{Rings: 1})
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	accept, _ := acceptLines(func(c *lines, s string) listen.Verdict { c.say(s + "\n"); return listen.Wait })
	done := make(chan error, 1)
	go func() { done <- tr.Serve(ln, listen.Options{}, accept) }()
	c := dial(t, ln.Addr().String())
	ask(t, c, "hello")
	ln.Close()
	if err := get(t, "end of Serve", done); !errors.Is(err, net.ErrClosed) {
		t.Fatal(err)
	}
	if c, err := net.Dial("tcp", ln.Addr().String()); err == nil {
		c.Close()
		t.Fatal("still listening")
	}
	if got := ask(t, c, "still there"); got != "still there" {
		t.Fatal(got)
	}
}

// pipeListener is a listener the ring cannot drive.
type pipeListener struct{ net.Listener }

func TestForeignListenersGoToTheFallback(t *testing.T) {
	fallback := &fakeTransport{}
	tr := newTransport(t, Options{Rings: 1, Fallback: fallback})
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	if err := tr.Serve(pipeListener{ln}, listen.Options{}, nil); err != errFake {
		t.Fatal(err)
	}
	tr.DrainIdle()
	tr.Close()
	if err := tr.Shutdown(t.Context()); err != errFake {
		t.Fatal(err)
	}
	if fallback.drained.Load() != 1 || fallback.closed.Load() != 1 {
		t.Error("DrainIdle or Close was not passed on")
	}
	tr.opt.Fallback = nil

	without := newTransport(t, Options{Rings: 1})
	if err := without.Serve(pipeListener{ln}, listen.Options{}, nil); !errors.Is(err, ErrListener) {
		t.Fatal(err)
	}
}

var errFake = errors.New("fake")

type fakeTransport struct{ drained, closed atomic.Int32 }

func (f *fakeTransport) Serve(net.Listener, listen.Options, listen.Acceptor) error { return errFake }
func (f *fakeTransport) DrainIdle()                                                { f.drained.Add(1) }
func (f *fakeTransport) Shutdown(context.Context) error                            { return errFake }
func (f *fakeTransport) Close() error                                              { f.closed.Add(1); return nil }

func TestDrainIdleTellsWaitingConnectionsOnly(t *testing.T) {
	tr := newTransport(t, Options{Rings: 1})
	busy, proceed := make(chan struct{}), make(chan struct{})
	accept, _ := acceptLines(func(c *lines, s string) listen.Verdict {
		if s == "busy" {
			close(busy)
			<-proceed
		}
		c.say(s + "\n")
		return listen.Wait
	})
	addr := serve(t, tr, listen.Options{}, accept)
	a, b := dial(t, addr), dial(t, addr)
	ask(t, a, "hello")
	fmt.Fprintln(b, "busy")
	get(t, "call", busy)
	tr.DrainIdle()
	wantEnd(t, a)
	close(proceed)
	if got := hear(t, b); got != "busy" {
		t.Fatal(got)
	}
	if got := ask(t, b, "later"); got != "later" {
		t.Fatal(got)
	}
}

func TestShutdownWaitsForBusyConnections(t *testing.T) {
	tr := newTransport(t, Options{Rings: 1})
	busy, proceed := make(chan struct{}), make(chan struct{})
	accept, _ := acceptLines(func(c *lines, s string) listen.Verdict {
		close(busy)
		<-proceed
		c.say("done\n")
		return listen.Wait
	})
	c := dial(t, serve(t, tr, listen.Options{}, accept))
	fmt.Fprintln(c, "busy")
	get(t, "call", busy)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if err := tr.Shutdown(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- tr.Shutdown(context.Background()) }()
	close(proceed)
	if got := hear(t, c); got != "done" {
		t.Fatal(got)
	}
	wantEnd(t, c)
	c.Close()
	if err := get(t, "Shutdown", done); err != nil {
		t.Fatal(err)
	}
	if err := tr.Serve(pipeTCP(t), listen.Options{}, nil); !errors.Is(err, listen.ErrServerClosed) {
		t.Fatalf("Serve after Shutdown: %v", err)
	}
}

func pipeTCP(t *testing.T) net.Listener {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return ln
}

// The last answer must not be lost to a reset because the client was still
// sending when the connection was closed.
func TestLingeringCloseSavesTheAnswer(t *testing.T) {
	tr := newTransport(t, Options{Rings: 1})
	accept, _ := acceptLines(func(c *lines, s string) listen.Verdict {
		c.say("too large\n")
		return listen.Close
	})
	addr := serve(t, tr, listen.Options{}, accept)
	for range 20 {
		c := dial(t, addr)
		fmt.Fprintln(c, "hello")
		c.Write(make([]byte, 1<<20))
		if got := hear(t, c); got != "too large" {
			t.Fatal(got)
		}
		wantEnd(t, c)
		// A client that goes on sending is listened to: a reset now could
		// overtake the answer on its way.
		for range 32 {
			if _, err := c.Write(make([]byte, 64<<10)); err != nil {
				t.Fatalf("the server does not linger: %v", err)
			}
		}
		c.Close()
	}
}

func TestLingerIsBounded(t *testing.T) {
	tr := newTransport(t, Options{Rings: 1})
	accept, links := acceptLines(func(c *lines, s string) listen.Verdict { return listen.Close })
	c := dial(t, serve(t, tr, listen.Options{Linger: 20 * time.Millisecond}, accept))
	fmt.Fprintln(c, "bye")
	get(t, "Lost", get(t, "accept", links).lost) // though the client never closes
}
