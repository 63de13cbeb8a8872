package e2e

import (
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/windhover-server/windhover"
	"github.com/windhover-server/windhover/listen/listentest"
)

// A bubble is a running server and its clients under the clock of
// testing/synctest: time stands still until everybody waits, and durations are
// exact.
type bubble struct {
	*testing.T
	ln  *listentest.Memory
	srv *windhover.Server
}

// inBubble runs f with a server of its own, in both forms that the app has.
// When f returns the server is closed; whatever goroutine is left then fails
// the test.
func inBubble(t *testing.T, a app, configure func(*windhover.Server), f func(b *bubble)) {
	t.Helper()
	for _, native := range []bool{false, true} {
		if native && a.native == nil || !native && a.handler == nil {
			continue
		}
		name := mode{"memory", "pipe", false, native}.String()
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &windhover.Server{Transport: windhover.Portable, ErrorLog: log.New(io.Discard, "", 0)}
				if native {
					s.Native = a.native
				} else {
					s.Handler = a.handler
				}
				if configure != nil {
					configure(s)
				}
				b := &bubble{T: t, ln: listentest.NewMemory(bubbleBuffer), srv: s}
				done := make(chan error, 1)
				go func() { done <- s.Serve(b.ln) }()
				f(b)
				if err := s.Close(); err != nil {
					t.Errorf("Close: %v", err)
				}
				if err := <-done; !errors.Is(err, http.ErrServerClosed) {
					t.Errorf("Serve returned %v", err)
				}
			})
		})
	}
}

// bubbleBuffer is how many bytes a connection holds in each direction: few, so
// that a client that does not read is noticed soon.
const bubbleBuffer = 512

// connect returns a client that reads all it is sent.
func (b *bubble) connect() *rawClient { return newRawClient(b.T, b.dial()) }

// dial returns a connection that nobody reads yet.
func (b *bubble) dial() net.Conn {
	conn, err := b.ln.Dial()
	if err != nil {
		b.Fatal(err)
	}
	return conn
}

// endsAfter waits for the end of the connection, however long it takes, and
// returns how long it took from start.
func (c *rawClient) endsAfter(start time.Time) time.Duration {
	<-c.done
	return time.Since(start)
}
