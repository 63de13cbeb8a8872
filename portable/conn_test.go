package portable_test

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"os"
	"sync/atomic"
	"testing"
	"time"

	"github.com/windhover-server/windhover/listen"
)

func TestTLSConnIsServed(t *testing.T) {
	cert, roots := certificate(t)
	plain := listenTCP(t)
	states := make(chan tls.ConnectionState, 10)
	tr, protos := serve(t, tls.NewListener(plain, &tls.Config{Certificates: []tls.Certificate{cert}}), listen.Options{}, func(f *funcs) {
		f.link.SetReadDeadline(time.Now().Add(time.Minute))
		f.link.SetSendRate(240, 5*time.Second)
		f.data = func(p []byte) listen.Verdict {
			states <- f.link.(interface{ ConnectionState() tls.ConnectionState }).ConnectionState()
			f.send(string(p))
			if string(p) == "close" {
				return listen.Close
			}
			return listen.Wait
		}
	})
	connect := func() *client {
		c := tls.Client(dial(t, plain), &tls.Config{RootCAs: roots, ServerName: "localhost"})
		return &client{c, t}
	}
	c := connect()
	for _, text := range []string{"one", "two", "close"} {
		c.say(text)
		c.hear(text)
		if st := <-states; !st.HandshakeComplete || st.ServerName != "localhost" {
			t.Errorf("ConnectionState: %+v", st)
		}
	}
	c.hearEnd() // not io.ErrUnexpectedEOF: the alert came first
	c.Close()
	f := <-protos
	if _, ok := f.link.NetConn().(*tls.Conn); !ok {
		t.Errorf("NetConn is a %T", f.link.NetConn())
	}
	if err := <-f.lost; err != nil {
		t.Errorf("Lost(%v)", err)
	}

	idle := connect()
	idle.say("x")
	idle.hear("x")
	tr.DrainIdle()
	if n, err := idle.Read(make([]byte, 1)); n != 0 || err == nil {
		t.Errorf("read %d, %v after a drain", n, err)
	}
}

func TestPlainConnHasNoConnectionState(t *testing.T) {
	ln := listenTCP(t)
	_, protos := serve(t, ln, listen.Options{}, nil)
	dial(t, ln)
	if _, ok := (<-protos).link.(interface{ ConnectionState() tls.ConnectionState }); ok {
		t.Error("a link without TLS claims to have some")
	}
}

// pipes is a listener of net.Pipe conns, which have neither buffers nor
// CloseWrite.
type pipes struct{ conns chan net.Conn }

func (p pipes) Accept() (net.Conn, error) {
	c, ok := <-p.conns
	if !ok {
		return nil, net.ErrClosed
	}
	return c, nil
}
func (p pipes) Close() error   { close(p.conns); return nil }
func (p pipes) Addr() net.Addr { return &net.UnixAddr{Name: "pipe"} }
func (p pipes) Dial() (net.Conn, error) {
	a, b := net.Pipe()
	p.conns <- b
	return a, nil
}

func TestNetPipeIsServed(t *testing.T) {
	ln := pipes{make(chan net.Conn)}
	_, protos := serve(t, ln, listen.Options{}, func(f *funcs) {
		f.link.SetReadDeadline(time.Now().Add(time.Minute))
		f.data = func(p []byte) listen.Verdict {
			f.link.Watch()
			f.send(string(p))
			if string(p) == "close" {
				return listen.Close
			}
			return listen.Wait
		}
	})
	c := dial(t, ln)
	for _, text := range []string{"one", "two", "close"} {
		c.say(text)
		c.hear(text)
	}
	c.hearEnd()
	if err := <-(<-protos).lost; err != nil {
		t.Errorf("Lost(%v)", err)
	}
}

// counted counts the writes of the conns it accepts.
type counted struct {
	net.Listener
	writes atomic.Int32
}

type countedConn struct {
	net.Conn
	ln *counted
}

func (c *counted) Accept() (net.Conn, error) {
	conn, err := c.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return countedConn{conn, c}, nil
}

func (c countedConn) Write(p []byte) (int, error) {
	c.ln.writes.Add(1)
	return c.Conn.Write(p)
}

// The wrapper's own methods are used, not those of the *net.TCPConn inside.
func TestOneWritePerCall(t *testing.T) {
	ln := &counted{Listener: listenTCP(t)}
	serve(t, ln, listen.Options{}, func(f *funcs) {
		f.data = func([]byte) listen.Verdict {
			for range 16 {
				f.send("response ")
			}
			return listen.Wait
		}
	})
	c := dial(t, ln)
	for i := range 3 {
		c.say("go")
		for range 16 {
			c.hear("response ")
		}
		if n := ln.writes.Load(); int(n) != i+1 {
			t.Fatalf("%d writes for %d calls", n, i+1)
		}
	}
}

// http.Server's users set deadlines on the net.Conn that a hook has given
// them. Those hold, though the link does not know of them.
func TestDeadlineSetOnNetConn(t *testing.T) {
	ln := listenTCP(t)
	errs := make(chan error, 1)
	serve(t, ln, listen.Options{}, func(f *funcs) {
		f.link.SetSendRate(240, time.Minute)
		f.data = func([]byte) listen.Verdict {
			f.link.NetConn().SetWriteDeadline(time.Now().Add(-time.Second))
			_, err := f.link.Write(make([]byte, 100))
			errs <- err
			return listen.Abort
		}
	})
	dial(t, ln).say("go")
	if err := <-errs; !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("Write: %v", err)
	}
}

func TestGreet(t *testing.T) {
	broken := errors.New("no use")
	for _, tt := range []struct {
		name  string
		taken bool
		err   error
		hears string
		lost  error
	}{
		{"left to the protocol", false, nil, "greeting x", nil},
		{"served there", true, nil, "greeting ", nil},
		{"of no use", false, broken, "greeting ", broken},
	} {
		t.Run(tt.name, func(t *testing.T) {
			ln := listenTCP(t)
			_, protos := serve(t, ln, listen.Options{Greet: func(c net.Conn) (bool, error) {
				c.SetDeadline(time.Now().Add(-time.Second)) // what Greet does with deadlines is its own affair
				c.SetDeadline(time.Now().Add(time.Minute))
				io.WriteString(c, "greeting ")
				io.ReadFull(c, make([]byte, 5))
				c.SetReadDeadline(time.Now().Add(-time.Second))
				return tt.taken, tt.err
			}}, func(f *funcs) {
				f.link.SetReadDeadline(time.Now().Add(time.Minute))
				f.expired = func() listen.Verdict { t.Error("Expired"); return listen.Close }
				f.data = func(p []byte) listen.Verdict { f.send(string(p)); return listen.Close }
			})
			c := dial(t, ln)
			c.say("hello")
			if tt.hears == "greeting x" {
				c.say("x")
			}
			c.hear(tt.hears)
			c.hearEnd()
			c.Close()
			if err := <-(<-protos).lost; err != tt.lost {
				t.Errorf("Lost(%v)", err)
			}
		})
	}
}

// The same connection is served over and over without a word to the allocator.
func TestEchoAllocatesNothing(t *testing.T) {
	if raceEnabled {
		t.Skip("under the race detector sync.Pool forgets at random")
	}
	ln := listenTCP(t)
	serve(t, ln, listen.Options{}, func(f *funcs) {
		f.link.SetSendRate(240, 5*time.Second)
		reply := []byte("reply")
		f.data = func([]byte) listen.Verdict {
			f.link.SetReadDeadline(time.Now().Add(130 * time.Second))
			f.link.End(append(f.link.Begin(), reply...))
			return listen.Wait
		}
	})
	c := dial(t, ln)
	p := make([]byte, 5)
	turn := func() {
		if _, err := c.Conn.Write(p); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(c.Conn, p); err != nil {
			t.Fatal(err)
		}
	}
	for range 100 {
		turn()
	}
	if n := testing.AllocsPerRun(1000, turn); n != 0 {
		t.Errorf("%v allocations per round trip", n)
	}
}
