package listentest

import (
	"errors"
	"io"
	"net"
	"os"
	"testing"
	"time"

	"github.com/windhover-server/windhover/listen"
)

var closeCases = []testCase{
	{"CloseSendsTheRest", testCloseSendsTheRest},
	{"CloseIsNotAReset", testCloseIsNotAReset},
	{"FinishSendsTheRest", testFinishSendsTheRest},
	{"LingerEnds", testLingerEnds},
	{"CloseWithoutOutput", testCloseWithoutOutput},
	{"AbortVerdict", testAbortVerdict},
	{"AbortWhileWaiting", testAbortWhileWaiting},
	{"AbortWhileReading", testAbortWhileReading},
	{"AbortWhileWriting", testAbortWhileWriting},
	{"AbortTwice", testAbortTwice},
	{"ClosingNetConnAborts", testClosingNetConnAborts},
	{"NothingIsSentAfterClosingNetConn", testNothingIsSentAfterClosingNetConn},
	{"Refused", testRefused},
	{"Goexit", testGoexit},
}

var detachCases = []testCase{
	{"Detach", testDetach},
	{"DetachAfterWatch", testDetachAfterWatch},
	{"DetachClearsDeadlines", testDetachClearsDeadlines},
	{"DetachedIsNotDrained", testDetachedIsNotDrained},
	{"NetConnIdentity", testNetConnIdentity},
}

func testCloseSendsTheRest(t *testing.T, e env)  { testSendsTheRest(t, e, listen.Close) }
func testFinishSendsTheRest(t *testing.T, e env) { testSendsTheRest(t, e, listen.Finish) }

func testSendsTheRest(t *testing.T, e env, v listen.Verdict) {
	b := noise(3 << 20)
	r := serve(t, e, listen.Options{}, func(s *script) {
		s.data = func([]byte) listen.Verdict {
			s.link.End(append(s.link.Begin(), b...))
			return v
		}
	})
	c, s := r.connect()
	say(t, c, "go")
	hear(t, c, string(b))
	hearEnd(t, c, false)
	c.Close()
	if err := s.lost(); err != nil {
		t.Errorf("Lost(%v)", err)
	}
}

// The client is still sending when the answer comes: it must arrive all the
// same, and the end in order.
func testCloseIsNotAReset(t *testing.T, e env) {
	b := noise(DefaultMemoryBuffer - 1)
	r := serve(t, e, listen.Options{}, func(s *script) {
		s.data = func([]byte) listen.Verdict {
			s.link.End(append(s.link.Begin(), b...))
			return listen.Close
		}
	})
	c, s := r.connect()
	if _, err := c.Write(make([]byte, 6<<20)); err != nil {
		t.Fatalf("the server does not discard: %v", err)
	}
	got, err := io.ReadAll(c)
	if string(got) != string(b) || err != nil {
		t.Errorf("got %d bytes, %v", len(got), err)
	}
	c.Close()
	if err := s.lost(); err != nil {
		t.Errorf("Lost(%v)", err)
	}
}

// A client that neither closes nor stops sending is not waited for.
func testLingerEnds(t *testing.T, e env) {
	r := serve(t, e, listen.Options{Linger: 2 * short}, func(s *script) {
		s.data = func([]byte) listen.Verdict { s.send("answer"); return listen.Close }
	})
	c, s := r.connect()
	say(t, c, "go")
	hear(t, c, "answer")
	hearEnd(t, c, false)
	if err := s.lost(); err != nil {
		t.Errorf("Lost(%v)", err)
	}
}

// With nothing to protect there is no lingering.
func testCloseWithoutOutput(t *testing.T, e env) {
	r := serve(t, e, listen.Options{Linger: time.Hour}, func(s *script) {
		s.data = func([]byte) listen.Verdict { return listen.Close }
	})
	c, s := r.connect()
	say(t, c, "go")
	hearEnd(t, c, false)
	if err := s.lost(); err != nil {
		t.Errorf("Lost(%v)", err)
	}
}

func testAbortVerdict(t *testing.T, e env) {
	r := serve(t, e, listen.Options{}, func(s *script) {
		s.data = func([]byte) listen.Verdict { s.send("never sent"); return listen.Abort }
	})
	c, s := r.connect()
	say(t, c, "go")
	hearEnd(t, c, true)
	if err := s.lost(); err != nil {
		t.Errorf("Lost(%v)", err)
	}
}

func testAbortWhileWaiting(t *testing.T, e env) {
	r := serve(t, e, listen.Options{}, echo)
	c, s := r.connect()
	say(t, c, "x")
	hear(t, c, "x")
	s.link.Abort()
	hearEnd(t, c, true)
	s.lost()
}

func testAbortWhileReading(t *testing.T, e env) {
	inside := make(chan struct{})
	r := serve(t, e, listen.Options{}, func(s *script) {
		s.data = func([]byte) listen.Verdict {
			close(inside)
			for range 2 {
				if n, err := s.link.Read(make([]byte, 1)); n != 0 || !errors.Is(err, net.ErrClosed) {
					t.Errorf("Read: %d, %v", n, err)
				}
			}
			return listen.Wait
		}
	})
	c, s := r.connect()
	say(t, c, "x")
	wait(t, inside, "Data was not called")
	s.link.Abort()
	hearEnd(t, c, true)
	s.lost()
	wait(t, s.goneOnce, "Gone was not called")
}

func testAbortWhileWriting(t *testing.T, e env) {
	inside := make(chan struct{})
	r := serve(t, e, listen.Options{}, func(s *script) {
		s.data = func([]byte) listen.Verdict {
			close(inside)
			for range 2 {
				if _, err := s.link.Write(make([]byte, huge)); !errors.Is(err, net.ErrClosed) {
					t.Errorf("Write: %v", err)
				}
			}
			return listen.Close
		}
	})
	c, s := r.connect()
	say(t, c, "x")
	wait(t, inside, "Data was not called")
	s.link.Abort()
	s.lost()
}

func testAbortTwice(t *testing.T, e env) {
	r := serve(t, e, listen.Options{}, func(s *script) {
		s.data = func([]byte) listen.Verdict {
			s.link.Abort()
			s.link.Abort()
			s.send("not sent")
			return listen.Wait
		}
	})
	c, s := r.connect()
	say(t, c, "x")
	hearEnd(t, c, true)
	if err := s.lost(); err != nil {
		t.Errorf("Lost(%v) after the protocol's own Abort", err)
	}
	s.link.Abort() // harmless
}

func testClosingNetConnAborts(t *testing.T, e env) {
	r := serve(t, e, listen.Options{}, echo)
	c, s := r.connect()
	say(t, c, "x")
	hear(t, c, "x")
	s.link.NetConn().Close()
	hearEnd(t, c, true)
	s.lost()
}

func testNothingIsSentAfterClosingNetConn(t *testing.T, e env) {
	r := serve(t, e, listen.Options{}, func(s *script) {
		s.data = func([]byte) listen.Verdict {
			s.link.NetConn().Close()
			s.link.End(append(s.link.Begin(), "late"...))
			return listen.Wait
		}
	})
	for range 10 {
		c, s := r.connect()
		say(t, c, "x")
		hearEnd(t, c, true)
		s.lost()
	}
}

func testRefused(t *testing.T, e env) {
	r := serve(t, e, listen.Options{}, func(s *script) { s.refuse = true })
	for range 3 {
		hearEnd(t, r.dial(), true)
	}
}

// detach makes the script detach and hand out what it got.
type detached struct {
	conn     net.Conn
	received string
	link     listen.Link
}

func detach(t testing.TB, s *script, before func()) <-chan detached {
	out := make(chan detached, 1)
	s.data = func(p []byte) listen.Verdict {
		if before != nil {
			before()
		}
		conn, received, err := s.link.Detach()
		if err != nil {
			t.Errorf("Detach: %v", err)
			return listen.Abort
		}
		out <- detached{conn, string(received), s.link}
		return listen.Detached
	}
	return out
}

func testDetach(t *testing.T, e env) {
	outs := make(chan (<-chan detached), 1)
	r := serve(t, e, listen.Options{}, func(s *script) {
		outs <- detach(t, s, func() { s.send("101 ") })
	})
	c, s := r.connect()
	say(t, c, "upgrade")
	hear(t, c, "101 ")
	d := receive(t, receive(t, outs, ""), "Data did not detach")
	defer d.conn.Close()
	if d.received != "" {
		t.Errorf("received %q", d.received)
	}
	switch e.network.Name {
	case "tcp":
		if _, ok := d.conn.(*net.TCPConn); !ok {
			t.Errorf("Detach gave a %T", d.conn)
		}
	case "unix":
		if _, ok := d.conn.(*net.UnixConn); !ok {
			t.Errorf("Detach gave a %T", d.conn)
		}
	}
	if err := s.lost(); err != nil {
		t.Errorf("Lost(%v)", err)
	}
	d.link.Abort() // no longer the link's
	if _, err := io.WriteString(d.conn, "hello"); err != nil {
		t.Fatal(err)
	}
	hear(t, c, "hello")
	say(t, c, "hi")
	hear(t, d.conn, "hi")
	_ = d.conn.SetReadDeadline(time.Now().Add(short))
	if _, err := d.conn.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("read: %v", err)
	}
	_ = d.conn.SetReadDeadline(time.Time{})
	halfClose(t, c)
	hearEnd(t, d.conn, false)
	if d.link.RemoteAddr() == nil || d.link.LocalAddr() == nil {
		t.Error("the link has forgotten its addresses")
	}
}

// No byte is lost whether it was read ahead or not.
func testDetachAfterWatch(t *testing.T, e env) {
	for _, delay := range []time.Duration{0, 3 * time.Millisecond} {
		outs := make(chan (<-chan detached), 1)
		r := serve(t, e, listen.Options{}, func(s *script) {
			outs <- detach(t, s, func() {
				s.link.Watch()
				pause(delay)
				s.send("ready")
				if err := s.link.Flush(); err != nil {
					t.Errorf("Flush: %v", err)
				}
				pause(delay)
			})
		})
		c, _ := r.connect()
		say(t, c, "upgrade")
		hear(t, c, "ready")
		const text = "these bytes may be read ahead"
		say(t, c, text)
		d := receive(t, receive(t, outs, ""), "Data did not detach")
		defer d.conn.Close()
		hear(t, d.conn, text[len(d.received):])
		if d.received != text[:len(d.received)] {
			t.Errorf("received %q", d.received)
		}
		say(t, d.conn, "fine")
		hear(t, c, "fine")
	}
}

func testDetachClearsDeadlines(t *testing.T, e env) {
	outs := make(chan (<-chan detached), 1)
	r := serve(t, e, listen.Options{}, func(s *script) {
		s.link.SetSendRate(1e9, short)
		s.link.SetReadDeadline(time.Now().Add(4 * short))
		outs <- detach(t, s, func() {
			s.link.SetWriteDeadline(time.Now().Add(4 * short))
			_, _ = s.link.Write(make([]byte, 100000))
		})
	})
	c, _ := r.connect()
	say(t, c, "go")
	hear(t, c, string(make([]byte, 100000)))
	d := receive(t, receive(t, outs, ""), "Data did not detach")
	defer d.conn.Close()
	pause(5 * short)
	say(t, d.conn, "hello")
	hear(t, c, "hello")
	say(t, c, "hello")
	hear(t, d.conn, "hello")
}

func testDetachedIsNotDrained(t *testing.T, e env) {
	outs := make(chan (<-chan detached), 1)
	r := serve(t, e, listen.Options{}, func(s *script) { outs <- detach(t, s, nil) })
	c, _ := r.connect()
	say(t, c, "go")
	d := receive(t, receive(t, outs, ""), "Data did not detach")
	defer d.conn.Close()
	if err := r.tr.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := r.tr.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
		t.Fatal(err)
	}
	say(t, c, "still here")
	hear(t, d.conn, "still here")
}

func testNetConnIdentity(t *testing.T, e env) {
	outs := make(chan (<-chan detached), 1)
	var first net.Conn
	r := serve(t, e, listen.Options{}, func(s *script) {
		first = s.link.NetConn()
		outs <- detach(t, s, nil)
	})
	c, s := r.connect()
	if s.link.NetConn() != first {
		t.Error("NetConn has changed")
	}
	say(t, c, "go")
	d := receive(t, receive(t, outs, ""), "Data did not detach")
	defer d.conn.Close()
	if d.conn != first {
		t.Error("Detach gave another conn than NetConn")
	}
}
