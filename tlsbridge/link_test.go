package tlsbridge

import (
	"bytes"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/windhover-server/windhover/listen"
)

// Data and a blocking Read see one stream: what came with the call first, then
// what comes after, in records cut anywhere.
func TestReadGoesOnWhereDataEnds(t *testing.T) {
	ca := newAuthority(t, "root")
	b := newBridge(t, ca, &Config{})
	eachVersion(t, func(t *testing.T, version uint16) {
		const total = 300_000
		s := newScript(func(s *script, p []byte) listen.Verdict {
			got := bytes.NewBuffer(bytes.Clone(p))
			buf := make([]byte, 1000)
			for got.Len() < total {
				n, err := s.link.Read(buf)
				got.Write(buf[:n])
				if err != nil {
					return listen.Abort
				}
			}
			_, err := s.link.Write(got.Bytes())
			if err != nil {
				return listen.Abort
			}
			return listen.Wait
		})
		c := dial(t, b.Wrap(s.accept, nil), clientConfig(ca, version))
		want := make([]byte, total)
		for i := range want {
			want[i] = byte(i * i)
		}
		for range 3 {
			go c.Write(want)
			got := make([]byte, total)
			if _, err := io.ReadFull(c, got); err != nil || !bytes.Equal(got, want) {
				t.Fatalf("echo: %v", err)
			}
		}
	})
}

// What a blocking Read takes ahead from the transport is not lost for the
// Data calls after it: here the next request, which no event announces.
func TestNextRequestReadAhead(t *testing.T) {
	ca := newAuthority(t, "root")
	b := newBridge(t, ca, &Config{})
	var calls []string
	started, done := make(chan struct{}), make(chan struct{})
	s := newScript(func(s *script, p []byte) listen.Verdict {
		calls = append(calls, string(p))
		if len(calls) == 1 {
			close(started)
			buf := make([]byte, 4)
			n, err := s.link.Read(buf)
			calls = append(calls, string(buf[:n]))
			if err != nil {
				return listen.Abort
			}
		} else {
			close(done)
		}
		return listen.Wait
	})
	client, server := memConnPair()
	go serve(server, b.Wrap(s.accept, nil), 32<<10)
	raw := dialRaw(t, client, ca, tls.VersionTLS13)
	client.Write(raw.data("head"))
	<-started
	// Both records are there at once when Read looks.
	client.Write(append(raw.data("body"), raw.data("next")...))
	<-done
	if got := calls; len(got) != 3 || got[0] != "head" || got[1] != "body" || got[2] != "next" {
		t.Fatalf("calls %q", got)
	}
	client.Close()
	<-s.ended
}

func TestReadDeadline(t *testing.T) {
	ca := newAuthority(t, "root")
	eachVersion(t, func(t *testing.T, version uint16) {
		synctest.Test(t, func(t *testing.T) {
			b := newBridge(t, ca, &Config{})
			s := newScript(func(s *script, p []byte) listen.Verdict {
				start := time.Now()
				s.link.SetReadDeadline(start.Add(time.Second))
				if _, err := s.link.Read(make([]byte, 10)); !errors.Is(err, os.ErrDeadlineExceeded) {
					t.Errorf("Read: %v", err)
				}
				if d := time.Since(start); d != time.Second {
					t.Errorf("Read waited %v", d)
				}
				// Reading can go on after a deadline, as on a net.Conn.
				s.link.SetReadDeadline(time.Time{})
				s.link.End(append(s.link.Begin(), "go on"...))
				buf := make([]byte, 10)
				n, err := s.link.Read(buf)
				s.link.End(append(s.link.Begin(), buf[:n]...))
				if err != nil {
					t.Errorf("Read: %v", err)
				}
				return listen.Wait
			})
			c := dial(t, b.Wrap(s.accept, nil), clientConfig(ca, version))
			c.Write([]byte("x"))
			buf := make([]byte, 5)
			if _, err := io.ReadFull(c, buf); err != nil {
				t.Fatal(err)
			}
			wantEcho(t, c, "y")
		})
	})
}

// What is queued goes out before a Read waits.
func TestQueuedResponseBeforeRead(t *testing.T) {
	ca := newAuthority(t, "root")
	b := newBridge(t, ca, &Config{})
	s := newScript(func(s *script, p []byte) listen.Verdict {
		s.link.End(append(s.link.Begin(), "continue"...))
		n, err := s.link.Read(make([]byte, 10))
		if n != 3 || err != nil {
			return listen.Abort
		}
		return listen.Close
	})
	c := dial(t, b.Wrap(s.accept, nil), clientConfig(ca, 0))
	c.Write([]byte("x"))
	buf := make([]byte, 8)
	if _, err := io.ReadFull(c, buf); err != nil {
		t.Fatal(err)
	}
	c.Write([]byte("abc"))
	if _, err := c.Read(buf); err != io.EOF {
		t.Fatalf("%v, want io.EOF from close_notify", err)
	}
}

// A Read that has returned io.EOF stands for EOF.
func TestEndSeenByRead(t *testing.T) {
	ca := newAuthority(t, "root")
	b := newBridge(t, ca, &Config{})
	eachVersion(t, func(t *testing.T, version uint16) {
		for _, notify := range []bool{true, false} {
			got := make(chan error, 2)
			s := newScript(func(s *script, p []byte) listen.Verdict {
				for range 2 {
					_, err := s.link.Read(make([]byte, 10))
					got <- err
				}
				s.link.End(append(s.link.Begin(), "seen"...))
				return listen.Wait
			})
			end := serveMem(t, b.Wrap(s.accept, nil))
			c := tls.Client(end, clientConfig(ca, version))
			c.Write([]byte("x"))
			if notify {
				c.CloseWrite()
			}
			end.CloseWrite()
			for range 2 {
				if err := <-got; err != io.EOF {
					t.Fatalf("Read: %v, want io.EOF", err)
				}
			}
			buf := make([]byte, 4)
			if _, err := io.ReadFull(c, buf); err != nil || string(buf) != "seen" {
				t.Fatalf("half-closed client got %q, %v", buf, err)
			}
			end.Close()
			<-s.ended
			if s.eofs != 0 {
				t.Fatal("EOF after Read had returned io.EOF")
			}
		}
	})
}

// CloseWrite ends our direction alone.
func TestCloseWrite(t *testing.T) {
	ca := newAuthority(t, "root")
	b := newBridge(t, ca, &Config{})
	eachVersion(t, func(t *testing.T, version uint16) {
		s := newScript(func(s *script, p []byte) listen.Verdict {
			s.link.End(append(s.link.Begin(), "last"...))
			if err := s.link.CloseWrite(); err != nil {
				t.Error(err)
			}
			if _, err := s.link.Write([]byte("more")); err == nil {
				t.Error("Write after CloseWrite succeeded")
			}
			buf := make([]byte, 10)
			n, err := s.link.Read(buf)
			if string(buf[:n]) != "after" || err != nil {
				t.Errorf("Read after CloseWrite: %q, %v", buf[:n], err)
			}
			return listen.Close
		})
		c := dial(t, b.Wrap(s.accept, nil), clientConfig(ca, version))
		c.Write([]byte("x"))
		if got, err := io.ReadAll(c); err != nil || string(got) != "last" {
			t.Fatalf("got %q, %v", got, err)
		}
		c.Write([]byte("after"))
		c.Close()
		<-s.ended
	})
}

// A detached connection is a working *tls.Conn over the real connection, the
// value of NetConn, with what was received and not read in it.
func TestDetach(t *testing.T) {
	ca := newAuthority(t, "root")
	b := newBridge(t, ca, &Config{})
	eachVersion(t, func(t *testing.T, version uint16) {
		detached := make(chan net.Conn, 1)
		s := newScript(func(s *script, p []byte) listen.Verdict {
			before := s.link.NetConn()
			s.link.End(append(s.link.Begin(), "switching"...))
			c, received, err := s.link.Detach()
			if err != nil || len(received) > 0 || c != before {
				t.Errorf("Detach: %v, %q, %v; NetConn %v", c, received, err, before)
			}
			detached <- c
			return listen.Detached
		})
		client, server := memConnPair()
		go serve(server, b.Wrap(s.accept, nil), 32<<10)
		raw := dialRaw(t, client, ca, version)
		// The tail of the second record comes after the connection is detached.
		in := raw.data("upgrade")
		tail := raw.data("late")
		client.Write(append(in, tail[:9]...))
		raw.want("switching")
		c := <-detached
		if _, ok := c.(*tls.Conn); !ok {
			t.Fatalf("Detach returned a %T", c)
		}
		client.Write(tail[9:])
		buf := make([]byte, 4)
		if _, err := io.ReadFull(c, buf); err != nil || string(buf) != "late" {
			t.Fatalf("%q, %v", buf, err)
		}
		c.SetDeadline(time.Now().Add(time.Minute))
		c.Write([]byte("pong"))
		raw.want("pong")
		if nc := c.(*tls.Conn).NetConn().(interface{ NetConn() net.Conn }).NetConn(); nc != net.Conn(server) {
			t.Errorf("NetConn leads to %v", nc)
		}
		c.Close()
		raw.wantAlert(0)
		<-s.ended
	})
}

// Closing the NetConn aborts, from any goroutine, at any time.
func TestClosingNetConnAborts(t *testing.T) {
	ca := newAuthority(t, "root")
	b := newBridge(t, ca, &Config{})
	t.Run("waiting", func(t *testing.T) {
		s := newScript(echo)
		c := dial(t, b.Wrap(s.accept, nil), clientConfig(ca, 0))
		wantEcho(t, c, "x")
		s.link.NetConn().Close()
		if got, _ := io.ReadAll(c); len(got) > 0 {
			t.Fatalf("got %q", got)
		}
		<-s.ended
	})
	t.Run("before the handshake", func(t *testing.T) {
		s := newScript(echo)
		accepted := make(chan listen.Link, 1)
		c := serveMem(t, b.Wrap(func(l listen.Link) listen.Protocol { accepted <- l; return s.accept(l) }, nil))
		(<-accepted).NetConn().Close()
		io.ReadAll(c)
		<-s.ended
	})
	t.Run("while it reads", func(t *testing.T) {
		read := make(chan error, 1)
		started := make(chan struct{})
		s := newScript(func(s *script, p []byte) listen.Verdict {
			close(started)
			_, err := s.link.Read(make([]byte, 1))
			read <- err
			return listen.Wait
		})
		c := dial(t, b.Wrap(s.accept, nil), clientConfig(ca, 0))
		c.Write([]byte("x"))
		<-started
		s.link.NetConn().Close()
		if err := <-read; err == nil {
			t.Fatal("Read went on")
		}
		<-s.ended
	})
}

// stuckLink is a link whose Flush waits until it is told not to.
type stuckLink struct {
	*memLink
	stuck   chan struct{}
	release chan struct{}
}

func (l *stuckLink) Flush() error {
	l.stuck <- struct{}{}
	<-l.release
	return nil
}

// While a write is under way, what the reading side answers is held back, and
// goes out after it; nobody waits for the other.
func TestAnswersWhileAWriteIsStuck(t *testing.T) {
	ca := newAuthority(t, "root")
	b := newBridge(t, ca, &Config{})
	client, server := memConnPair()
	link := &stuckLink{&memLink{conn: server}, make(chan struct{}), make(chan struct{})}
	s := newScript(nil)
	p := b.Wrap(s.accept, nil)(link)
	done := make(chan listen.Verdict)
	go func() {
		buf := make([]byte, 32<<10)
		n, _ := server.Read(buf)
		p.Data(buf[:n])
		link.memLink.Flush()
		done <- 0
	}()
	raw := dialRaw(t, client, ca, tls.VersionTLS13)
	<-done
	s.data = func(s *script, _ []byte) listen.Verdict {
		var wg sync.WaitGroup
		wg.Go(func() {
			if _, err := s.link.Write([]byte("slow")); err != nil {
				t.Error(err)
			}
		})
		<-link.stuck
		// The key update is answered while the write is stuck.
		buf := make([]byte, 10)
		n, err := s.link.Read(buf)
		if string(buf[:n]) != "after" || err != nil {
			t.Errorf("Read: %q, %v", buf[:n], err)
		}
		if len(link.queue) > 0 {
			t.Error("the answer was queued under the write")
		}
		close(link.release)
		wg.Wait()
		return listen.Wait
	}
	first := raw.data("first")
	in := append(raw.keyUpdate(true), raw.data("after")...)
	client.Write(in)
	if v := p.Data(first); v != listen.Wait {
		t.Fatalf("verdict %d", v)
	}
	link.memLink.Flush()
	raw.want("slow")
	s.data = echo
	p.Data(raw.data("x"))
	link.memLink.Flush()
	raw.want("x") // under the new key
	p.Lost(nil)
}

// A peer that provokes answers and does not read them is cut off.
func TestHeldAnswersAreBounded(t *testing.T) {
	_, server := memConnPair()
	m := &memConn{outer: &memLink{conn: server}}
	m.enter()
	m.seize()
	var err error
	n := 0
	for ; err == nil; n++ {
		_, err = m.Write(make([]byte, 27))
	}
	if n*27 > maxHeld+100 || !errors.Is(err, errHeldFull) {
		t.Fatalf("%d answers of 27 bytes held, %v", n, err)
	}
}

// Large writes leave in few pieces, whole and in order.
func TestLargeWrite(t *testing.T) {
	ca := newAuthority(t, "root")
	b := newBridge(t, ca, &Config{})
	eachVersion(t, func(t *testing.T, version uint16) {
		want := make([]byte, 3<<20)
		for i := range want {
			want[i] = byte(i >> 7)
		}
		s := newScript(func(s *script, p []byte) listen.Verdict {
			s.link.End(append(s.link.Begin(), "head"...))
			if n, err := s.link.Write(want); n != len(want) || err != nil {
				t.Errorf("Write: %d, %v", n, err)
			}
			return listen.Close
		})
		c := dial(t, b.Wrap(s.accept, nil), clientConfig(ca, version))
		c.Write([]byte("x"))
		got, err := io.ReadAll(c)
		if err != nil || !bytes.Equal(got, append([]byte("head"), want...)) {
			t.Fatalf("%d bytes, %v", len(got), err)
		}
	})
}

func TestGoneAndDrainAreHandedOn(t *testing.T) {
	ca := newAuthority(t, "root")
	b := newBridge(t, ca, &Config{})
	h := newHand(t, ca, b, tls.VersionTLS13, newScript(echo))
	h.p.Gone(io.EOF)
	if v := h.p.Drain(); v != listen.Close {
		t.Fatalf("verdict %d", v)
	}
	h.link.Flush()
	h.raw.wantAlert(0)
	if h.script.drain != 1 || len(h.script.gone) != 1 {
		t.Fatalf("Drain %d times, Gone %v", h.script.drain, h.script.gone)
	}
}

// The handshake announces that it computes and waits.
func TestHandshakeLeavesTheLoop(t *testing.T) {
	ca := newAuthority(t, "root")
	b := newBridge(t, ca, &Config{})
	h := newHand(t, ca, b, tls.VersionTLS13, newScript(echo))
	if h.link.leaves != 1 {
		t.Fatalf("Leave %d times, want 1", h.link.leaves)
	}
	h.feed(h.raw.data("x"))
	if h.link.leaves != 1 {
		t.Fatal("Leave in a call that neither waits nor computes for long")
	}
}
