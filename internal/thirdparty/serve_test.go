package thirdparty

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/windhover-server/windhover"
	"github.com/windhover-server/windhover/ring"
	"github.com/windhover-server/windhover/tlsbridge"
)

// quiet takes what servers log about the failures that the tests provoke.
var quiet = log.New(io.Discard, "", 0)

// onEach serves h over each transport that this host has.
func onEach(t *testing.T, h http.Handler, f func(t *testing.T, url string)) {
	onEachNetwork(t, h, []string{"tcp"}, func(t *testing.T, p peer) { f(t, p.url) })
}

// onEachNetwork serves h over each transport that this host has, and each of
// the networks: tcp, unix and tls.
func onEachNetwork(t *testing.T, h http.Handler, networks []string, f func(t *testing.T, p peer)) {
	for _, tr := range []windhover.Transport{windhover.Portable, windhover.Ring} {
		for _, network := range networks {
			t.Run(tr.String()+"/"+network, func(t *testing.T) {
				if tr == windhover.Ring {
					if err := probeRing(); err != nil {
						t.Skipf("no ring on this host: %v", err)
					}
				}
				f(t, serve(t, tr, network, h))
			})
		}
	}
}

// peer is a server as its clients see it.
type peer struct {
	url  string
	addr net.Addr
	tls  *tls.Config // how to trust it, nil without TLS
}

// dial connects, whatever host a client's URL has.
func (p peer) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	var d net.Dialer
	return d.DialContext(ctx, p.addr.Network(), p.addr.String())
}

// httpClient is a client of the peer until the test ends.
func (p peer) httpClient(t *testing.T) *http.Client {
	tr := &http.Transport{DialContext: p.dial, TLSClientConfig: p.tls}
	t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr}
}

// serve runs h until the test ends.
func serve(t *testing.T, tr windhover.Transport, network string, h http.Handler) peer {
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
	s := &windhover.Server{Handler: h, Transport: tr, ErrorLog: quiet}
	p := peer{url: "http://" + ln.Addr().String(), addr: ln.Addr()}
	switch network {
	case "unix":
		p.url = "http://localhost"
	case "tls":
		cert, err := tlsbridge.NewDevCert(time.Now())
		if err != nil {
			t.Fatal(err)
		}
		pair := cert.TLS()
		s.TLS = &tlsbridge.Config{Certificates: []tlsbridge.Certificate{{TLS: &pair}}}
		p.url = "https://" + ln.Addr().String()
		p.tls = &tls.Config{RootCAs: cert.Pool()}
	}
	done := make(chan error, 1)
	go func() {
		if network == "tls" {
			done <- s.ServeTLS(ln, "", "")
		} else {
			done <- s.Serve(ln)
		}
	}()
	t.Cleanup(func() {
		http.DefaultTransport.(*http.Transport).CloseIdleConnections()
		if err := s.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
		if err := <-done; !errors.Is(err, http.ErrServerClosed) {
			t.Errorf("Serve returned %v", err)
		}
	})
	return p
}

// probeRing reports why this host has no ring transport, or nil.
var probeRing = sync.OnceValue(func() error {
	t, err := ring.New(ring.Options{})
	if err != nil {
		return err
	}
	return t.Close()
})
