//go:build linux && !noring

package ring

import (
	"errors"
	"net"
	"testing"

	"github.com/windhover-server/windhover/listen"
)

// Release lets the Serve calls, the connections and the calls of protocols that
// there are go on, and nothing new begin.
func TestReleaseWaitsForWhatThereIs(t *testing.T) {
	tr := newTransport(t, Options{Rings: 2})
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	hold := make(chan struct{})
	accept, accepted := acceptLines(func(c *lines, s string) listen.Verdict {
		c.say(s + "\n")
		if s == "hold" {
			c.Flush()
			<-hold
		}
		return listen.Wait
	})
	ended := make(chan error, 1)
	go func() { ended <- tr.Serve(ln, listen.Options{}, accept) }()
	before := dial(t, ln.Addr().String())
	wantAnswer(t, before, "one")
	get(t, "accept", accepted)

	gone := tr.Release()
	stays := func(why string) {
		t.Helper()
		select {
		case <-gone:
			t.Fatalf("the rings are gone, in spite of %s", why)
		default:
		}
	}
	stays("a Serve call")
	late, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if err := tr.Serve(late, listen.Options{}, accept); !errors.Is(err, listen.ErrServerClosed) {
		t.Errorf("a later Serve returned %v", err)
	}
	if _, err := late.Accept(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("… and left its listener open: %v", err)
	}
	after := dial(t, ln.Addr().String())
	wantAnswer(t, after, "two")
	ln.Close()
	if err := get(t, "the end of Serve", ended); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Serve returned %v", err)
	}
	get(t, "accept", accepted)
	wantAnswer(t, before, "three")
	before.Close()
	stays("a connection")
	wantAnswer(t, after, "hold")
	after.Close()
	stays("a call")
	close(hold)
	get(t, "the end of the rings", gone)
	if tr.Release() != gone {
		t.Error("Release made another channel")
	}
}

func wantAnswer(t *testing.T, c net.Conn, line string) {
	t.Helper()
	if got := ask(t, c, line); got != line {
		t.Fatalf("%q", got)
	}
}
