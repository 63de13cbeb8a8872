//go:build !linux || noring

package windhover_test

import (
	"bytes"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/windhover-server/windhover"
	"github.com/windhover-server/windhover/ring"
)

// A build without the ring serves with Auto, says why in one line, and refuses
// Ring.
func TestSelectionInABuildWithoutTheRing(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	s := &windhover.Server{
		Logger:  slog.New(slog.NewTextHandler(&log, nil)),
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "served") }),
	}
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(ln) }()
	res, err := http.Get("http://" + ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	b, _ := io.ReadAll(res.Body)
	res.Body.Close()
	s.Close()
	if <-ended; string(b) != "served" {
		t.Errorf("answer %q", b)
	}
	if got := log.String(); strings.Count(got, "io_uring cannot be used here") != 1 || !strings.Contains(got, "io_uring is "+ring.NotBuilt.String()) {
		t.Errorf("log:\n%s", got)
	}

	explicit := &windhover.Server{Transport: windhover.Ring, Handler: s.Handler}
	ln, err = net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	err = explicit.Serve(ln)
	var u *ring.UnavailableError
	if !errors.Is(err, ring.ErrUnsupported) || !errors.As(err, &u) || u.Cause != ring.NotBuilt {
		t.Errorf("Serve with Ring: %v", err)
	}
}
