package e2e

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/windhover-server/windhover"
	"github.com/windhover-server/windhover/listen/listentest"
	"github.com/windhover-server/windhover/proto"
	"github.com/windhover-server/windhover/ring"
)

// A mode is one way to serve and to reach a server.
type mode struct {
	transport string // portable, ring, memory
	socket    string // tcp, unix; memory has its own
	tls       bool
	native    bool
}

func (m mode) String() string {
	scheme, kind := "plain", "handler"
	if m.tls {
		scheme = "tls"
	}
	if m.native {
		kind = "native"
	}
	return strings.Join([]string{m.transport, m.socket, scheme, kind}, "-")
}

// windhover is the mode's transport as a server's setting. The memory transport
// is the portable one on a listener without sockets.
func (m mode) windhover() windhover.Transport {
	if m.transport == "ring" {
		return windhover.Ring
	}
	return windhover.Portable
}

// modes are all of them.
func modes() (all []mode) {
	for _, place := range [][2]string{{"memory", "pipe"}, {"portable", "tcp"}, {"portable", "unix"}, {"ring", "tcp"}, {"ring", "unix"}} {
		for _, tls := range []bool{false, true} {
			for _, native := range []bool{false, true} {
				all = append(all, mode{place[0], place[1], tls, native})
			}
		}
	}
	return all
}

// An app is a handler in both forms. Where a form is missing, so is what it
// would test.
type app struct {
	handler http.HandlerFunc
	native  proto.HandlerFunc
}

// run runs f once for every mode.
func run(t *testing.T, f func(t *testing.T, m mode)) {
	t.Helper()
	for _, m := range modes() {
		t.Run(m.String(), func(t *testing.T) {
			t.Parallel()
			needTransport(t, m.transport)
			f(t, m)
		})
	}
}

// serve serves the app until the test ends. configure, if given, changes the
// server's configuration.
func (m mode) serve(t *testing.T, a app, configure ...func(*windhover.Server)) *served {
	t.Helper()
	return start(t, m, m.server(t, a, configure...))
}

// server makes the server that serves the app in this mode.
func (m mode) server(t *testing.T, a app, configure ...func(*windhover.Server)) *windhover.Server {
	t.Helper()
	s := &windhover.Server{Transport: m.windhover(), ErrorLog: log.New(io.Discard, "", 0), DisableHTTP2: true}
	switch {
	case m.native && a.native != nil:
		s.Native = a.native
	case !m.native && a.handler != nil:
		s.Handler = a.handler
	default:
		t.Skip("this handler has no such form")
	}
	if m.tls {
		s.TLSConfig = &tls.Config{Certificates: []tls.Certificate{certificate(t)}}
	}
	for _, f := range configure {
		f(s)
	}
	return s
}

// needTransport skips the test, with the reason, where there is no such
// transport.
func needTransport(t *testing.T, name string) {
	t.Helper()
	if name != "ring" {
		return
	}
	if err := probeRing(); err != nil {
		t.Skipf("no ring on this host: %v", err)
	}
}

// served is a running server.
type served struct {
	mode
	t        *testing.T
	dialNet  func() (net.Conn, error)
	shutdown func(context.Context) error
	close    func() error
	done     chan error // what Serve returned
}

// start serves s in mode m until the test ends.
func start(t *testing.T, m mode, s *windhover.Server) *served {
	t.Helper()
	var ln net.Listener
	r := &served{mode: m, t: t, shutdown: s.Shutdown, close: s.Close, done: make(chan error, 1)}
	if m.transport == "memory" {
		mem := listentest.NewMemory(0)
		ln, r.dialNet = mem, mem.Dial
	} else {
		network, addr := "tcp", "127.0.0.1:0"
		if m.socket == "unix" {
			network, addr = "unix", filepath.Join(t.TempDir(), "s")
		}
		var err error
		if ln, err = net.Listen(network, addr); err != nil {
			t.Fatal(err)
		}
		r.dialNet = func() (net.Conn, error) { return net.Dial(network, ln.Addr().String()) }
	}
	go func() {
		if m.tls {
			r.done <- s.ServeTLS(ln, "", "")
		} else {
			r.done <- s.Serve(ln)
		}
	}()
	t.Cleanup(r.stop)
	return r
}

// stop ends the server, if the test has not, and waits until Serve has
// returned.
func (s *served) stop() {
	if err := s.close(); err != nil {
		s.t.Errorf("Close: %v", err)
	}
	if err := await(s.t, "Serve to return", s.done); !errors.Is(err, http.ErrServerClosed) {
		s.t.Errorf("Serve returned %v", err)
	}
	s.done <- http.ErrServerClosed
}

// dial connects, and shakes hands if the mode has TLS.
func (s *served) dial() net.Conn {
	s.t.Helper()
	conn, err := s.dialNet()
	if err != nil {
		s.t.Fatal(err)
	}
	if !s.tls {
		return conn
	}
	c := tls.Client(conn, clientTLS(s.t))
	if err := c.Handshake(); err != nil {
		s.t.Fatal(err)
	}
	return c
}

// raw connects a client that counts bytes.
func (s *served) raw(t testing.TB) *rawClient { return newRawClient(t, s.dial()) }

// client is net/http's, for tests that are about content.
func (s *served) client() *http.Client {
	tr := &http.Transport{
		DialContext:     func(context.Context, string, string) (net.Conn, error) { return s.dialNet() },
		TLSClientConfig: clientTLS(s.t),
	}
	s.t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr}
}

// url is the server's for client.
func (s *served) url(path string) string {
	scheme := "http"
	if s.tls {
		scheme = "https"
	}
	return fmt.Sprintf("%s://a.test%s", scheme, path)
}

// probeRing reports why this host has no ring transport, or nil.
var probeRing = sync.OnceValue(func() error {
	t, err := ring.New(ring.Options{})
	if err != nil {
		return err
	}
	return t.Close()
})
