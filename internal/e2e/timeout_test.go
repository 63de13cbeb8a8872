package e2e

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/windhover-server/windhover"
	"github.com/windhover-server/windhover/proto"
)

// sleeper answers after as long as its query says, and says at once when it
// begins to.
var sleeper = app{
	handler: func(w http.ResponseWriter, r *http.Request) {
		if d, err := time.ParseDuration(r.URL.RawQuery); err == nil {
			time.Sleep(d)
		}
		io.WriteString(w, "hello")
	},
	native: func(x *proto.Exchange) {
		d, err := time.ParseDuration(string(x.Query()))
		if err != nil {
			x.WriteString("hello")
			return
		}
		x.Go(func(x *proto.Exchange) {
			time.Sleep(d)
			x.WriteString("hello")
		})
	},
}

// within fails unless got is want, or a little more: transports may round up.
func within(t testing.TB, what string, got, want time.Duration) {
	t.Helper()
	if got < want || got > want+50*time.Millisecond {
		t.Errorf("%s: %v, want %v", what, got, want)
	}
}

func TestKeepAliveTimeout(t *testing.T) {
	inBubble(t, func(b *bubble) {
		b.serve(sleeper)
		start := time.Now()
		silent := b.connect()
		within(b, "a connection that never sends", silent.endsAfter(start), 130*time.Second)

		used := b.connect()
		used.send(get("/?300s")) // no timeout while a request is served
		time.Sleep(300 * time.Second)
		synctest.Wait()
		start = time.Now()
		within(b, "an idle connection", used.endsAfter(start), 130*time.Second)
		if !strings.HasSuffix(string(used.got), "hello") {
			b.Errorf("got %q", used.got)
		}
	})
}

func TestKeepAliveTimeoutStartsAnewWithEachRequest(t *testing.T) {
	inBubble(t, func(b *bubble) {
		b.serve(sleeper)
		c := b.connect()
		for range 5 {
			c.send(get("/"))
			time.Sleep(129 * time.Second)
		}
		start := time.Now()
		within(b, "after the last request", c.endsAfter(start), time.Second)
		if n := strings.Count(string(c.got), "hello"); n != 5 {
			b.Errorf("%d answers, want 5", n)
		}
	})
}

// The timeout for a request head counts from its first byte, and bytes that
// trickle in do not extend it.
func TestRequestHeadersTimeout(t *testing.T) {
	inBubble(t, func(b *bubble) {
		b.serve(sleeper)
		c := b.connect()
		time.Sleep(100 * time.Second) // idle does not count
		start := time.Now()
		go func() {
			for _, ch := range get("/", "X: "+strings.Repeat("x", 100)) {
				c.send(string(ch))
				select {
				case <-time.After(time.Second):
				case <-c.done:
					return
				}
			}
		}()
		within(b, "a head that trickles in", c.endsAfter(start), 30*time.Second)
		if !strings.HasPrefix(string(c.got), "HTTP/1.1 408 Request Timeout\r\n") {
			b.Errorf("got %q", c.got)
		}
	})
}

// bodyReader reads the body and notes how that ended.
func bodyReader(ended chan<- error) app {
	return app{
		handler: func(w http.ResponseWriter, r *http.Request) {
			_, err := io.Copy(io.Discard, r.Body)
			ended <- err
			if err != nil {
				w.WriteHeader(http.StatusRequestTimeout)
			}
		},
		native: func(x *proto.Exchange) {
			_, err := io.Copy(io.Discard, struct{ io.Reader }{x})
			ended <- err
			if err != nil {
				x.SetStatus(http.StatusRequestTimeout)
			}
		},
	}
}

func TestMinRequestBodyDataRate(t *testing.T) {
	for _, tt := range []struct {
		name    string
		perSec  int           // what the client sends
		seconds int           // for how long
		failsAt time.Duration // 0: never
	}{
		{"nothing after the head", 0, 0, 5 * time.Second},
		{"enough", 250, 60, 0},
		{"more than enough", 10_000, 60, 0},
		// 200 bytes a second allow the reader 200/240 of a second each: after
		// n seconds n*200/240; past the grace period that is too late at once.
		{"too little", 200, 60, 5 * time.Second},
	} {
		t.Run(tt.name, func(t *testing.T) {
			inBubble(t, func(b *bubble) {
				ended := make(chan error, 1)
				b.serve(bodyReader(ended))
				start := time.Now()
				c := b.connect()
				c.send("POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n")
				stop := make(chan struct{})
				go func() {
					defer close(stop)
					for range tt.seconds {
						c.send(hex(tt.perSec) + "\r\n" + strings.Repeat("x", tt.perSec) + "\r\n")
						time.Sleep(time.Second)
					}
					if tt.seconds > 0 {
						c.send("0\r\n\r\n")
					}
				}()
				err := <-ended
				took := time.Since(start)
				var bodyErr *proto.BodyError
				switch {
				case tt.failsAt == 0 && err != nil:
					b.Errorf("after %v: %v", took, err)
				case tt.failsAt != 0 && (!errors.As(err, &bodyErr) || bodyErr.Status != http.StatusRequestTimeout):
					b.Errorf("after %v: %v, want a BodyError of status 408", took, err)
				case tt.failsAt != 0 && (took < tt.failsAt || took > tt.failsAt+2*time.Second):
					b.Errorf("gave up after %v, want %v", took, tt.failsAt)
				}
				<-c.done
				<-stop
			})
		})
	}
}

// A client that does not take the response is dropped when it has had the
// grace period and the time that its bytes allow.
func TestMinResponseDataRate(t *testing.T) {
	const size = 2400 // ten seconds' worth
	a := app{
		handler: func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, strings.Repeat("x", size)) },
		native:  func(x *proto.Exchange) { x.WriteString(strings.Repeat("x", size)) },
	}
	inBubble(t, func(b *bubble) {
		b.serve(a)
		conn := b.dial()
		defer conn.Close()
		start := time.Now()
		if _, err := io.WriteString(conn, get("/")); err != nil {
			b.Fatal(err)
		}
		time.Sleep(14 * time.Second)
		one := make([]byte, 1)
		if _, err := conn.Read(one); err != nil {
			b.Errorf("after %v: %v", time.Since(start), err)
		}
		time.Sleep(4 * time.Second) // more than grace and rate allow, the one byte included
		if _, err := io.ReadAll(conn); err == nil {
			rest := time.Since(start)
			if rest > 20*time.Second {
				b.Errorf("the connection was still open after %v", rest)
			}
		}
	})
}

// What a handler leaves of a body is waited for, but not for long.
func TestDrainTimeout(t *testing.T) {
	inBubble(t, func(b *bubble) {
		b.serve(sleeper)
		c := b.connect()
		start := time.Now()
		c.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\nsome")
		within(b, "a body that never comes", c.endsAfter(start), 5*time.Second)
		if !strings.HasSuffix(string(c.got), "hello") {
			b.Errorf("got %q", c.got)
		}

		c = b.connect()
		c.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 8\r\n\r\nsome")
		time.Sleep(4 * time.Second)
		c.send("more" + get("/", "Connection: close"))
		<-c.done
		if n := strings.Count(string(c.got), "hello"); n != 2 {
			b.Errorf("%d answers, want 2: a body that comes in time is skipped", n)
		}
	})
}

// http.Server's timeouts mean what they mean there.
func TestTimeoutsOfHTTPServer(t *testing.T) {
	t.Run("IdleTimeout", func(t *testing.T) {
		inBubble(t, func(b *bubble) {
			b.serve(sleeper, func(s *windhover.Server) { s.IdleTimeout = 7 * time.Second })
			c := b.connect()
			c.send(get("/"))
			synctest.Wait()
			start := time.Now()
			within(b, "idle", c.endsAfter(start), 7*time.Second)
		})
	})
	t.Run("ReadHeaderTimeout", func(t *testing.T) {
		inBubble(t, func(b *bubble) {
			b.serve(sleeper, func(s *windhover.Server) { s.ReadHeaderTimeout = 7 * time.Second })
			start := time.Now()
			c := b.connect()
			c.send("GET / HTTP/1.1\r\n")
			within(b, "an unfinished head", c.endsAfter(start), 7*time.Second)
			if len(c.got) > 0 {
				b.Errorf("got %q; http.Server closes without an answer", c.got)
			}
		})
	})
	t.Run("ReadTimeout", func(t *testing.T) {
		inBubble(t, func(b *bubble) {
			ended := make(chan error, 1)
			b.serve(bodyReader(ended), func(s *windhover.Server) { s.ReadTimeout = 3 * time.Second })
			start := time.Now()
			c := b.connect()
			c.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\nsome")
			if err := <-ended; err == nil {
				b.Error("the body was read to its end")
			}
			within(b, "a body", time.Since(start), 3*time.Second)
			<-c.done
		})
	})
	t.Run("WriteTimeout", func(t *testing.T) {
		inBubble(t, func(b *bubble) {
			b.serve(sleeper, func(s *windhover.Server) { s.WriteTimeout = 3 * time.Second })
			c := b.connect()
			c.send(get("/?4s"))
			<-c.done
			if len(c.got) > 0 {
				b.Errorf("got %q after the write timeout", c.got)
			}
			c = b.connect()
			c.send(get("/?2s") + get("/?2s", "Connection: close"))
			<-c.done
			if n := strings.Count(string(c.got), "hello"); n != 2 {
				b.Errorf("%d answers, want 2: the timeout is each request's own", n)
			}
		})
	})
}

// Limits below zero are off.
func TestTimeoutsCanBeSwitchedOff(t *testing.T) {
	off := func(s *windhover.Server) {
		s.Limits = proto.Limits{
			KeepAliveTimeout: -1, RequestHeadersTimeout: -1, DrainTimeout: -1,
			MinRequestBodyDataRate:   proto.DataRate{BytesPerSecond: -1},
			MinResponseDataRate:      proto.DataRate{BytesPerSecond: -1},
			MaxRequestBodySize:       -1,
			MaxRequestHeaderCount:    -1,
			MaxRequestLineSize:       -1,
			MaxResponseBufferSize:    -1,
			MaxRequestBufferSize:     -1,
			MaxConcurrentConnections: -1,
		}
	}
	inBubble(t, func(b *bubble) {
		b.serve(sleeper, off)
		c := b.connect()
		time.Sleep(time.Hour)
		c.send("GET / HT")
		time.Sleep(time.Hour)
		c.send("TP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n")
		time.Sleep(time.Hour)
		c.send("ab" + get("/"+strings.Repeat("x", 100_000), "Connection: close"))
		<-c.done
		if n := strings.Count(string(c.got), "hello"); n != 2 {
			b.Errorf("%d answers, want 2; got %.100q", n, c.got)
		}
	})
}

// A connection that has left HTTP has no timeout of HTTP's.
func TestUpgradedConnectionHasNoTimeouts(t *testing.T) {
	inBubble(t, func(b *bubble) {
		b.serve(echoProtocol)
		c := b.connect()
		c.send(upgradeRequest)
		time.Sleep(time.Hour)
		c.send("still there?")
		synctest.Wait()
		if !strings.HasSuffix(string(c.got), "still there?") {
			b.Errorf("got %q", c.got)
		}
		c.conn.Close()
	})
}

// The Date field follows the clock, and no goroutine keeps it.
func TestDateFollowsTheClock(t *testing.T) {
	inBubble(t, func(b *bubble) {
		b.serve(sleeper)
		for range 3 {
			c := b.connect()
			c.send(get("/", "Connection: close"))
			<-c.done
			if want := "Date: " + time.Now().UTC().Format(http.TimeFormat) + "\r\n"; !strings.Contains(string(c.got), want) {
				b.Errorf("got %q, want in it %q", c.got, want)
			}
			time.Sleep(90 * time.Second)
		}
	})
}

// Shutdown waits for the first request of a connection that has just been
// made, but not for long.
func TestShutdownWaitsForNewConnectionsBriefly(t *testing.T) {
	inBubble(t, func(b *bubble) {
		b.serve(sleeper)
		c := b.connect()
		synctest.Wait()
		start := time.Now()
		if err := b.srv.Shutdown(context.Background()); err != nil {
			b.Errorf("Shutdown: %v", err)
		}
		within(b, "Shutdown", time.Since(start), 5*time.Second)
		<-c.done
	})
}
