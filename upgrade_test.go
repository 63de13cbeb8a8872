package windhover_test

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"golang.org/x/net/nettest"

	"github.com/windhover-server/windhover"
	"github.com/windhover-server/windhover/proto"
	"github.com/windhover-server/windhover/ring"
)

// tunnels hands the server's side of upgraded connections to the test.
type tunnels struct {
	conns chan net.Conn
}

// heldConn lets the handler return when the test closes the connection.
type heldConn struct {
	net.Conn
	once sync.Once
	done chan struct{}
}

func (c *heldConn) Close() error {
	err := c.Conn.Close()
	c.once.Do(func() { close(c.done) })
	return err
}

func (s *tunnels) hold(c net.Conn) {
	h := &heldConn{Conn: c, done: make(chan struct{})}
	s.conns <- h
	<-h.done
}

func (s *tunnels) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c, err := proto.Upgrade(w, r, "echo")
	if err != nil {
		http.Error(w, err.Error(), http.StatusUpgradeRequired)
		return
	}
	s.hold(c)
}

func (s *tunnels) ServeExchange(x *proto.Exchange) {
	x.Go(func(x *proto.Exchange) {
		c, err := x.Upgrade("echo")
		if err != nil {
			x.Respond(http.StatusUpgradeRequired, "text/plain", []byte(err.Error()))
			return
		}
		s.hold(c)
	})
}

type hijacker struct{ tunnels *tunnels }

func (h hijacker) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c, rw, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return
	}
	io.WriteString(rw, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")
	rw.Flush()
	h.tunnels.conns <- c
}

// dialTunnel upgrades a connection and returns the client's side.
func dialTunnel(dial func() (net.Conn, error)) (net.Conn, error) {
	c, err := dial()
	if err != nil {
		return nil, err
	}
	io.WriteString(c, "GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n")
	br := bufio.NewReaderSize(oneByOne{c}, 16)
	for {
		line, err := br.ReadString('\n')
		if err != nil {
			c.Close()
			return nil, err
		}
		if strings.HasPrefix(line, "HTTP/") && !strings.Contains(line, " 101 ") {
			c.Close()
			return nil, errors.New(line)
		}
		if line == "\r\n" {
			return c, nil
		}
	}
}

// oneByOne keeps a bufio.Reader from reading ahead.
type oneByOne struct{ r io.Reader }

func (o oneByOne) Read(p []byte) (int, error) { return o.r.Read(p[:1]) }

// TestUpgradedConn pins that what Upgrade and Hijack return is a net.Conn in
// every respect that nettest looks at. Not over TLS: a tls.Conn is of no use
// after a Write has timed out, as package tls says, and nettest asks for that.
func TestUpgradedConn(t *testing.T) {
	for _, transport := range []windhover.Transport{windhover.Portable, windhover.Ring} {
		for _, network := range []string{"tcp", "unix"} {
			for _, kind := range []string{"upgrade", "native", "hijack"} {
				t.Run(transport.String()+"/"+network+"/"+kind, func(t *testing.T) {
					if transport == windhover.Ring {
						if err := ring.Probe().Err; err != nil {
							t.Skip(err)
						}
					}
					testUpgradedConn(t, transport, network, kind)
				})
			}
		}
	}
}

func testUpgradedConn(t *testing.T, transport windhover.Transport, network, kind string) {
	s := &tunnels{conns: make(chan net.Conn)}
	srv := &windhover.Server{Transport: transport}
	switch kind {
	case "upgrade":
		srv.Handler = s
	case "native":
		srv.Native = s
	case "hijack":
		srv.Handler = hijacker{s}
	}
	addr, ln := listenOn(t, network)
	done := make(chan error, 1)
	dial := func() (net.Conn, error) { return net.Dial(ln.Addr().Network(), addr) }
	go func() { done <- srv.Serve(ln) }()
	nettest.TestConn(t, func() (c1, c2 net.Conn, stop func(), err error) {
		if c1, err = dialTunnel(dial); err != nil {
			return nil, nil, nil, err
		}
		c2 = <-s.conns
		return c1, c2, func() { c1.Close(); c2.Close() }, nil
	})
	if err := srv.Shutdown(context.Background()); err != nil {
		t.Error(err)
	}
	if err := <-done; err != http.ErrServerClosed {
		t.Errorf("Serve returned %v", err)
	}
}

func listenOn(t *testing.T, network string) (string, net.Listener) {
	t.Helper()
	var ln net.Listener
	var err error
	if network == "unix" {
		ln, err = net.Listen("unix", filepath.Join(t.TempDir(), "s"))
	} else {
		ln, err = net.Listen("tcp", "127.0.0.1:0")
	}
	if err != nil {
		t.Fatal(err)
	}
	return ln.Addr().String(), ln
}
