package e2e

import (
	"errors"
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
	mode mode
	ln   *listentest.Memory
	srv  *windhover.Server
}

// inBubble runs f in a bubble, once for each form of handler. When f returns
// the servers are closed; whatever goroutine is left then fails the test.
func inBubble(t *testing.T, f func(b *bubble)) {
	t.Helper()
	for _, native := range []bool{false, true} {
		m := mode{"memory", "pipe", false, native}
		t.Run(m.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { f(&bubble{T: t, mode: m}) })
		})
	}
}

// serve serves the app until the bubble ends.
func (b *bubble) serve(a app, configure ...func(*windhover.Server)) {
	b.Helper()
	b.srv = b.mode.server(b.T, a, configure...)
	b.ln = listentest.NewMemory(bubbleBuffer)
	done := make(chan error, 1)
	go func() { done <- b.srv.Serve(b.ln) }()
	b.Cleanup(func() {
		if err := b.srv.Close(); err != nil {
			b.Errorf("Close: %v", err)
		}
		if err := <-done; !errors.Is(err, http.ErrServerClosed) {
			b.Errorf("Serve returned %v", err)
		}
	})
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
