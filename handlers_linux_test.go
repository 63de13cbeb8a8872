//go:build linux && !noring

package windhover_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/windhover-server/windhover"
	"github.com/windhover-server/windhover/ring"
)

// Handlers run on the loop that serves all other connections. Whatever one of
// them does, the others' requests must be answered, also while it goes on. One
// ring, so that all connections share the loop.
func TestHandlersHarmNoOtherConnection(t *testing.T) {
	if err := ring.Probe().Err; err != nil {
		t.Skip("no io_uring here:", err)
	}
	type outcome uint8
	const (
		answered outcome = iota // as if nothing were
		held                    // answered, but only after release
		dropped                 // the connection ends without an answer
	)
	var sink atomic.Uint64
	for _, c := range []struct {
		name string
		at   int // how many at a time
		want outcome
		bad  func(release <-chan struct{})
	}{
		{"sleeps 2 s", 20, held, func(release <-chan struct{}) {
			for ok := true; ok; ok = !closed(release) {
				time.Sleep(2 * time.Second)
			}
		}},
		{"never returns", 20, held, func(release <-chan struct{}) { <-release }},
		{"burns CPU", 2, held, func(release <-chan struct{}) {
			for !closed(release) {
				for i := range uint64(1000) {
					sink.Add(i)
				}
			}
		}},
		{"locks its thread", 5, answered, func(<-chan struct{}) { runtime.LockOSThread() }},
		{"locks its thread and blocks", 5, held, func(release <-chan struct{}) {
			runtime.LockOSThread()
			<-release
		}},
		{"panics", 5, dropped, func(<-chan struct{}) { panic("as the test wants") }},
		{"aborts", 5, dropped, func(<-chan struct{}) { panic(http.ErrAbortHandler) }},
		{"ends its goroutine", 5, dropped, func(<-chan struct{}) { runtime.Goexit() }},
		{"ends its thread", 5, dropped, func(<-chan struct{}) { runtime.LockOSThread(); runtime.Goexit() }},
	} {
		t.Run(c.name, func(t *testing.T) {
			entered := make(chan struct{}, c.at)
			release := make(chan struct{})
			var returned atomic.Int32
			s := &windhover.Server{
				Transport: windhover.Ring,
				Rings:     1,
				Logger:    slog.New(slog.DiscardHandler),
				Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					if r.URL.Path == "/bad" {
						entered <- struct{}{}
						c.bad(release)
						returned.Add(1)
					}
					io.WriteString(w, "ok")
				}),
			}
			ln, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			url := "http://" + ln.Addr().String()
			ended := make(chan error, 1)
			go func() { ended <- s.Serve(ln) }()

			var wg sync.WaitGroup
			errs := make(chan error, c.at+5)
			freed := sync.OnceFunc(func() { close(release) })
			defer freed()
			for range c.at {
				wg.Go(func() {
					err := ask(url + "/bad")
					if (err != nil) != (c.want == dropped) {
						errs <- fmt.Errorf("bad request: %v", err)
					}
				})
			}
			if c.want == held {
				for range c.at { // also those that come when others are held already
					<-entered
				}
			}
			var light sync.WaitGroup
			for range 5 {
				light.Go(func() {
					for range 40 { // each on a connection of its own
						if err := ask(url + "/light"); err != nil {
							errs <- fmt.Errorf("light request: %w", err)
							return
						}
					}
				})
			}
			light.Wait()
			if n := returned.Load(); c.want == held && n > 0 {
				t.Errorf("%d handlers have returned before they were released", n)
			}
			freed()
			wg.Wait()
			close(errs)
			for err := range errs {
				t.Error(err)
			}
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			if err := s.Shutdown(ctx); err != nil {
				t.Errorf("Shutdown: %v", err)
			}
			<-ended
		})
	}
}

// patience is how long a test waits for what must happen.
const patience = time.Minute

func closed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// ask makes a request on a connection of its own.
func ask(url string) error {
	tr := &http.Transport{DisableKeepAlives: true}
	defer tr.CloseIdleConnections()
	res, err := (&http.Client{Transport: tr, Timeout: patience}).Get(url)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if b, err := io.ReadAll(res.Body); err != nil || string(b) != "ok" {
		return fmt.Errorf("answer %q, %w", b, err)
	}
	return nil
}
