package thirdparty

import (
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"sync"
	"testing"

	"github.com/windhover-server/windhover"
	"github.com/windhover-server/windhover/ring"
)

// quiet takes what servers log about the failures that the tests provoke.
var quiet = log.New(io.Discard, "", 0)

// onEach serves h over each transport that this host has.
func onEach(t *testing.T, h http.Handler, f func(t *testing.T, url string)) {
	for _, tr := range []windhover.Transport{windhover.Portable, windhover.Ring} {
		t.Run(tr.String(), func(t *testing.T) {
			if tr == windhover.Ring {
				if err := probeRing(); err != nil {
					t.Skipf("no ring on this host: %v", err)
				}
			}
			f(t, serve(t, tr, h))
		})
	}
}

// serve runs h until the test ends, and returns its URL.
func serve(t *testing.T, tr windhover.Transport, h http.Handler) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &windhover.Server{Handler: h, Transport: tr, ErrorLog: quiet}
	done := make(chan error, 1)
	go func() { done <- s.Serve(ln) }()
	t.Cleanup(func() {
		http.DefaultTransport.(*http.Transport).CloseIdleConnections()
		if err := s.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
		if err := <-done; !errors.Is(err, http.ErrServerClosed) {
			t.Errorf("Serve returned %v", err)
		}
	})
	return "http://" + ln.Addr().String()
}

// probeRing reports why this host has no ring transport, or nil.
var probeRing = sync.OnceValue(func() error {
	t, err := ring.New(ring.Options{})
	if err != nil {
		return err
	}
	return t.Close()
})
