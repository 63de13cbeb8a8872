package tlsbridge_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/windhover-server/windhover/listen"
	"github.com/windhover-server/windhover/portable"
	"github.com/windhover-server/windhover/ring"
	"github.com/windhover-server/windhover/tlsbridge"
)

// fixture is a TLS server on a real transport.
type fixture struct {
	transport listen.Transport
	bridge    *tlsbridge.Bridge
	client    *tls.Config
	addr      net.Addr
	served    chan error
}

// transports runs f on every transport of this machine, over TCP and over a
// Unix socket.
func transports(t *testing.T, f func(t *testing.T, tr listen.Transport, network string)) {
	for _, network := range []string{"tcp", "unix"} {
		t.Run("portable/"+network, func(t *testing.T) { f(t, &portable.Transport{}, network) })
		t.Run("ring/"+network, func(t *testing.T) {
			tr, err := ring.New(ring.Options{})
			if err != nil {
				t.Skipf("no io_uring here: %v", err)
			}
			t.Cleanup(func() { tr.Close() })
			f(t, tr, network)
		})
	}
}

var devCert = sync.OnceValues(func() (*tlsbridge.DevCert, error) { return tlsbridge.NewDevCert(time.Now()) })

// start serves accept, wrapped, until the test ends.
func start(t testing.TB, tr listen.Transport, network string, cfg *tlsbridge.Config, accept listen.Acceptor) *fixture {
	t.Helper()
	cert, err := devCert()
	if err != nil {
		t.Fatal(err)
	}
	pair := cert.TLS()
	cfg.Certificates = []tlsbridge.Certificate{{TLS: &pair}}
	b, err := tlsbridge.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	address := "127.0.0.1:0"
	if network == "unix" {
		address = filepath.Join(t.TempDir(), "s")
	}
	ln, err := net.Listen(network, address)
	if err != nil {
		t.Fatal(err)
	}
	f := &fixture{transport: tr, bridge: b, addr: ln.Addr(), served: make(chan error, 1)}
	f.client = &tls.Config{RootCAs: cert.Pool(), ServerName: "localhost"}
	go func() { f.served <- tr.Serve(ln, listen.Options{}, b.Wrap(accept, nil)) }()
	t.Cleanup(func() {
		tr.Close()
		if err := <-f.served; !errors.Is(err, listen.ErrServerClosed) {
			t.Errorf("Serve: %v", err)
		}
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := tr.Shutdown(ctx); err != nil {
			t.Errorf("connections are left: %v", err)
		}
	})
	return f
}

// dialRaw connects without TLS.
func (f *fixture) dialRaw(t testing.TB) net.Conn {
	t.Helper()
	c, err := net.Dial(f.addr.Network(), f.addr.String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(30 * time.Second))
	return c
}

func (f *fixture) dial(t testing.TB, version uint16) *tls.Conn {
	t.Helper()
	cfg := f.client.Clone()
	cfg.MaxVersion = version
	c := tls.Client(f.dialRaw(t), cfg)
	if err := c.Handshake(); err != nil {
		t.Fatalf("handshake: %v", err)
	}
	return c
}

// peer is an inner protocol. Its functions may be nil.
type peer struct {
	link listen.Link
	data func(p *peer, b []byte) listen.Verdict
	eof  func(p *peer) listen.Verdict
	gone chan error
	lost chan error
}

// accept returns an acceptor of peers with these functions and the channel of
// the peers accepted.
func accept(data func(*peer, []byte) listen.Verdict, eof func(*peer) listen.Verdict) (listen.Acceptor, chan *peer) {
	made := make(chan *peer, 1000)
	return func(l listen.Link) listen.Protocol {
		p := &peer{link: l, data: data, eof: eof, gone: make(chan error, 100), lost: make(chan error, 1)}
		made <- p
		return p
	}, made
}

func (p *peer) Data(b []byte) listen.Verdict { return p.data(p, b) }
func (p *peer) EOF() listen.Verdict {
	if p.eof != nil {
		return p.eof(p)
	}
	return listen.Close
}
func (p *peer) Expired() listen.Verdict { return listen.Abort }
func (p *peer) Drain() listen.Verdict   { return listen.Close }
func (p *peer) Lost(err error)          { p.lost <- err }
func (p *peer) Gone(err error) {
	select {
	case p.gone <- err:
	default:
	}
}

func echo(p *peer, b []byte) listen.Verdict {
	p.link.End(append(p.link.Begin(), b...))
	return listen.Wait
}

func wantEcho(t testing.TB, c net.Conn, s string) {
	t.Helper()
	if _, err := io.WriteString(c, s); err != nil {
		t.Fatal(err)
	}
	got := make([]byte, len(s))
	if _, err := io.ReadFull(c, got); err != nil || string(got) != s {
		t.Fatalf("echo %.40q, %v, want %.40q", got, err, s)
	}
}

func TestEchoOnTransports(t *testing.T) {
	transports(t, func(t *testing.T, tr listen.Transport, network string) {
		a, _ := accept(echo, nil)
		f := start(t, tr, network, &tlsbridge.Config{}, a)
		for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
			c := f.dial(t, version)
			for _, n := range []int{1, 300, 16384, 20000} {
				wantEcho(t, c, strings.Repeat("x", n))
			}
			c.Close()
		}
	})
}

func TestManyConnectionsAtOnce(t *testing.T) {
	transports(t, func(t *testing.T, tr listen.Transport, network string) {
		a, made := accept(echo, nil)
		f := start(t, tr, network, &tlsbridge.Config{}, a)
		var wg sync.WaitGroup
		for i := range 60 {
			wg.Go(func() {
				c := f.dial(t, 0)
				for j := range 20 {
					wantEcho(t, c, fmt.Sprintf("connection %d message %d", i, j))
				}
				c.Close()
			})
		}
		wg.Wait()
		for range 60 {
			if err := <-(<-made).lost; err != nil {
				t.Errorf("Lost(%v)", err)
			}
		}
		if st := f.bridge.Stats(); st.Succeeded != 60 || st.Failed != 0 || st.Active != 0 {
			t.Errorf("stats %+v", st)
		}
	})
}

// A large download and a large upload, read by blocking calls.
func TestBulkOnTransports(t *testing.T) {
	const size = 2 << 20
	want := make([]byte, size)
	for i := range want {
		want[i] = byte(i >> 3)
	}
	transports(t, func(t *testing.T, tr listen.Transport, network string) {
		a, _ := accept(func(p *peer, b []byte) listen.Verdict {
			got := bytes.NewBuffer(bytes.Clone(b))
			buf := make([]byte, 32<<10)
			for got.Len() < size {
				n, err := p.link.Read(buf)
				got.Write(buf[:n])
				if err != nil {
					return listen.Abort
				}
			}
			if _, err := p.link.Write(got.Bytes()); err != nil {
				return listen.Abort
			}
			return listen.Close
		}, nil)
		f := start(t, tr, network, &tlsbridge.Config{}, a)
		for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
			c := f.dial(t, version)
			go c.Write(want)
			got, err := io.ReadAll(c)
			if err != nil || !bytes.Equal(got, want) {
				t.Fatalf("%d bytes, %v", len(got), err)
			}
		}
	})
}

// A client that half-closes gets its answer; close_notify comes before the FIN.
func TestHalfCloseOnTransports(t *testing.T) {
	transports(t, func(t *testing.T, tr listen.Transport, network string) {
		a, made := accept(
			func(*peer, []byte) listen.Verdict { return listen.Wait },
			func(p *peer) listen.Verdict {
				p.link.End(append(p.link.Begin(), "answer"...))
				return listen.Close
			})
		f := start(t, tr, network, &tlsbridge.Config{}, a)
		c := f.dial(t, 0)
		io.WriteString(c, "question")
		c.CloseWrite()
		if got, err := io.ReadAll(c); err != nil || string(got) != "answer" {
			t.Fatalf("%q, %v", got, err)
		}
		c.NetConn().Close()
		if err := <-(<-made).lost; err != nil {
			t.Fatalf("Lost(%v)", err)
		}
	})
}

// A handler that is busy learns that the client has gone.
func TestGoneOnTransports(t *testing.T) {
	transports(t, func(t *testing.T, tr listen.Transport, network string) {
		started := make(chan struct{})
		a, made := accept(func(p *peer, _ []byte) listen.Verdict {
			p.link.Watch()
			p.link.Leave()
			close(started)
			<-p.gone
			return listen.Abort
		}, nil)
		f := start(t, tr, network, &tlsbridge.Config{}, a)
		c := f.dial(t, 0)
		io.WriteString(c, "x")
		<-started
		c.Close()
		<-(<-made).lost
	})
}

// Abort and the client's reset end the connection whatever it is doing.
func TestAbortOnTransports(t *testing.T) {
	transports(t, func(t *testing.T, tr listen.Transport, network string) {
		a, made := accept(func(p *peer, _ []byte) listen.Verdict {
			time.AfterFunc(time.Millisecond, p.link.Abort)
			_, err := p.link.Read(make([]byte, 10))
			if err == nil {
				t.Error("Read after Abort succeeded")
			}
			return listen.Wait
		}, nil)
		f := start(t, tr, network, &tlsbridge.Config{}, a)
		c := f.dial(t, 0)
		io.WriteString(c, "x")
		if _, err := c.Read(make([]byte, 1)); err == nil {
			t.Error("data from an aborted connection")
		}
		<-(<-made).lost

		raw := f.dialRaw(t)
		p := <-made
		raw.Write([]byte{22, 3, 1})
		if tc, ok := raw.(*net.TCPConn); ok {
			tc.SetLinger(0)
		}
		raw.Close()
		<-p.lost
	})
}

// A response that is finished is not held up by the next request's handler.
func TestResponseIsNotHeldUpByTheNext(t *testing.T) {
	transports(t, func(t *testing.T, tr listen.Transport, network string) {
		release := make(chan struct{})
		a, _ := accept(func(p *peer, b []byte) listen.Verdict {
			for _, x := range b {
				if x == '2' {
					p.link.Leave()
					<-release
				}
				p.link.End(append(p.link.Begin(), x))
			}
			return listen.Wait
		}, nil)
		f := start(t, tr, network, &tlsbridge.Config{}, a)
		c := f.dial(t, 0)
		io.WriteString(c, "12")
		got := make([]byte, 1)
		if _, err := io.ReadFull(c, got); err != nil || got[0] != '1' {
			t.Fatalf("%q, %v", got, err)
		}
		close(release)
		if _, err := io.ReadFull(c, got); err != nil || got[0] != '2' {
			t.Fatalf("%q, %v", got, err)
		}
	})
}

// A detached connection goes on as a *tls.Conn over the real socket.
func TestDetachOnTransports(t *testing.T) {
	transports(t, func(t *testing.T, tr listen.Transport, network string) {
		conns := make(chan net.Conn, 1)
		a, _ := accept(func(p *peer, _ []byte) listen.Verdict {
			p.link.End(append(p.link.Begin(), "ok"...))
			want := p.link.NetConn()
			c, received, err := p.link.Detach()
			if err != nil || len(received) > 0 || c != want {
				t.Errorf("Detach: %v, %q, %v", c, received, err)
			}
			conns <- c
			return listen.Detached
		}, nil)
		f := start(t, tr, network, &tlsbridge.Config{}, a)
		for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
			c := f.dial(t, version)
			io.WriteString(c, "upgrade")
			got := make([]byte, 2)
			if _, err := io.ReadFull(c, got); err != nil {
				t.Fatal(err)
			}
			s := <-conns
			s.SetDeadline(time.Now().Add(30 * time.Second))
			go func() {
				io.Copy(s, s)
				s.Close()
			}()
			wantEcho(t, c, strings.Repeat("y", 100_000))
			if _, ok := s.(*tls.Conn).NetConn().(interface{ NetConn() net.Conn }).NetConn().(interface {
				SetReadBuffer(int) error
			}); !ok {
				t.Error("NetConn does not lead to the socket")
			}
			if err := c.CloseWrite(); err != nil {
				t.Fatal(err)
			}
			if _, err := c.Read(got); err != io.EOF {
				t.Fatalf("after the end: %v", err)
			}
		}
	})
}

// A slow handshake is cut off, with its alert or without.
func TestHandshakeTimeoutOnTransports(t *testing.T) {
	transports(t, func(t *testing.T, tr listen.Transport, network string) {
		failed := make(chan error, 10)
		a, made := accept(echo, nil)
		f := start(t, tr, network, &tlsbridge.Config{
			HandshakeTimeout: 100 * time.Millisecond,
			OnHandshakeError: func(_ net.Addr, err error) { failed <- err },
		}, a)
		hello := bytes.Repeat([]byte{22, 3, 1, 2, 0}, 1)
		for _, input := range [][]byte{nil, hello} {
			c := f.dialRaw(t)
			c.Write(input)
			io.Copy(io.Discard, c)
			if err := <-failed; !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("after %x: %v", input, err)
			}
			<-(<-made).lost
		}
	})
}

func TestPlainHTTPOnTransports(t *testing.T) {
	transports(t, func(t *testing.T, tr listen.Transport, network string) {
		a, _ := accept(echo, nil)
		f := start(t, tr, network, &tlsbridge.Config{}, a)
		c := f.dialRaw(t)
		io.WriteString(c, "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
		got, err := io.ReadAll(c)
		if err != nil || !strings.HasPrefix(string(got), "HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTP request") {
			t.Fatalf("%q, %v", got, err)
		}
	})
}

// Shutdown lets a call under way finish, and ends connections that wait.
func TestShutdownOnTransports(t *testing.T) {
	transports(t, func(t *testing.T, tr listen.Transport, network string) {
		started, release := make(chan struct{}), make(chan struct{})
		a, made := accept(func(p *peer, b []byte) listen.Verdict {
			if string(b) == "slow" {
				p.link.Leave()
				close(started)
				<-release
			}
			return echo(p, b)
		}, nil)
		f := start(t, tr, network, &tlsbridge.Config{}, a)
		idle, busy := f.dial(t, 0), f.dial(t, 0)
		wantEcho(t, idle, "x")
		io.WriteString(busy, "slow")
		<-started
		done := make(chan error, 1)
		go func() { done <- tr.Shutdown(t.Context()) }()
		if _, err := idle.Read(make([]byte, 1)); err != io.EOF {
			t.Errorf("waiting connection: %v, want close_notify", err)
		}
		idle.Close()
		close(release)
		if got, err := io.ReadAll(busy); err != nil || string(got) != "slow" {
			t.Errorf("busy connection: %q, %v", got, err)
		}
		busy.Close()
		if err := <-done; err != nil {
			t.Error(err)
		}
		for range 2 {
			<-(<-made).lost
		}
	})
}

// After the handshake a waiting connection has no goroutine on the ring.
func TestWaitingConnectionHasNoGoroutine(t *testing.T) {
	tr, err := ring.New(ring.Options{})
	if err != nil {
		t.Skipf("no io_uring here: %v", err)
	}
	a, _ := accept(echo, nil)
	f := start(t, tr, "tcp", &tlsbridge.Config{}, a)
	const n = 200
	first := f.dial(t, 0)
	wantEcho(t, first, "x")
	before := runtime.NumGoroutine()
	for range n {
		c := f.dial(t, 0)
		wantEcho(t, c, "x")
	}
	// Handshakes make goroutines that the ring keeps for a while; what counts
	// is that most connections have none.
	if after := runtime.NumGoroutine(); after-before > n/4 {
		t.Errorf("%d goroutines more for %d waiting connections", after-before, n)
	}
}
