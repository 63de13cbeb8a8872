package e2e

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/windhover-server/windhover"
	"github.com/windhover-server/windhover/proto"
)

// gated is an app whose handler for the path says on entered that it runs, and
// answers when leave is closed. Other paths are answered at once.
func gated(path string) (a app, entered chan struct{}, leave chan struct{}) {
	entered, leave = make(chan struct{}, 100), make(chan struct{})
	return app{
		handler: func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == path {
				entered <- struct{}{}
				<-leave
			}
			io.WriteString(w, "finished")
		},
		native: func(x *proto.Exchange) {
			if string(x.Path()) != path {
				x.WriteString("finished")
				return
			}
			x.Go(func(x *proto.Exchange) {
				entered <- struct{}{}
				<-leave
				x.WriteString("finished")
			})
		},
	}, entered, leave
}

// Shutdown closes idle connections at once, lets a request that is under way
// finish, and says to its client that the connection ends.
func TestShutdownLetsRequestsFinish(t *testing.T) {
	run(t, func(t *testing.T, m mode) {
		a, entered, leave := gated("/gated")
		s := m.serve(t, a)
		idle, busy := s.raw(t), s.raw(t)
		idle.send(get("/"))
		idle.until("finished", 1)
		busy.send(get("/gated"))
		await(t, "the handler to run", entered)
		down := make(chan error, 1)
		go func() { down <- s.shutdown(t.Context()) }()
		if got := idle.ended(); strings.Count(got, "HTTP/1.1") != 1 {
			t.Errorf("the idle connection got %q", got)
		}
		select {
		case err := <-down:
			t.Fatalf("Shutdown returned (%v) before the request had finished", err)
		default:
		}
		close(leave)
		if got := busy.ended(); !strings.HasSuffix(got, "finished") || !strings.Contains(got, "Connection: close\r\n") {
			t.Errorf("the busy connection got %q", got)
		}
		if err := await(t, "Shutdown to return", down); err != nil {
			t.Errorf("Shutdown: %v", err)
		}
		if conn, err := s.dialNet(); err == nil {
			conn.Close()
			t.Error("the server still accepts")
		}
	})
}

// A context that ends ends Shutdown, and what is under way goes on until Close.
func TestShutdownGivesUpWithItsContext(t *testing.T) {
	run(t, func(t *testing.T, m mode) {
		a, entered, leave := gated("/gated")
		s := m.serve(t, a)
		busy := s.raw(t)
		busy.send(get("/gated"))
		await(t, "the handler to run", entered)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := s.shutdown(ctx); !errors.Is(err, context.Canceled) {
			t.Errorf("Shutdown: %v", err)
		}
		if err := s.close(); err != nil {
			t.Errorf("Close: %v", err)
		}
		if got := busy.ended(); got != "" {
			t.Errorf("after Close, the client got %q", got)
		}
		close(leave)
	})
}

func TestClientThatLeavesCancelsTheContext(t *testing.T) {
	run(t, func(t *testing.T, m mode) {
		cancelled := make(chan error, 1)
		s := m.serve(t, app{
			handler: func(_ http.ResponseWriter, r *http.Request) {
				<-r.Context().Done()
				cancelled <- r.Context().Err()
			},
			native: func(x *proto.Exchange) {
				x.Go(func(x *proto.Exchange) {
					ctx := x.Context()
					<-ctx.Done()
					cancelled <- ctx.Err()
				})
			},
		})
		conn := s.dial()
		io.WriteString(conn, get("/"))
		conn.Close()
		if err := await(t, "the context to end", cancelled); !errors.Is(err, context.Canceled) {
			t.Errorf("the context ended with %v", err)
		}
	})
}

func TestPanicEndsItsConnectionOnly(t *testing.T) {
	a := app{
		handler: func(_ http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/panic" {
				panic("asked for")
			}
		},
		native: func(x *proto.Exchange) {
			if string(x.Path()) == "/panic" {
				panic("asked for")
			}
		},
	}
	run(t, func(t *testing.T, m mode) {
		s := m.serve(t, a)
		other := s.raw(t)
		other.send(get("/"))
		other.until("HTTP/1.1 200 OK\r\n", 1)
		c := s.raw(t)
		c.send(get("/panic") + get("/"))
		if got := c.ended(); strings.Contains(got, " 200 OK") {
			t.Errorf("after a panic: %q", got)
		}
		other.send(get("/", "Connection: close"))
		if got := other.ended(); strings.Count(got, "HTTP/1.1 200 OK\r\n") != 2 {
			t.Errorf("the other connection got %q", got)
		}
	})
}

// A full house closes further connections without a byte, and a guest who
// leaves makes room.
func TestConnectionLimit(t *testing.T) {
	run(t, func(t *testing.T, m mode) {
		closed := make(chan struct{}, 10)
		s := m.serve(t, hello, func(s *windhover.Server) {
			s.Limits.MaxConcurrentConnections = 1
			s.ConnState = func(_ net.Conn, state http.ConnState) {
				if state == http.StateClosed {
					closed <- struct{}{}
				}
			}
		})
		first := s.raw(t)
		first.send(get("/"))
		first.until("hello", 1)
		conn, err := s.dialNet()
		if err != nil {
			t.Fatal(err)
		}
		second := newRawClient(t, conn)
		if got := second.ended(); got != "" {
			t.Errorf("a connection too many got %q", got)
		}
		first.conn.Close()
		await(t, "the connection to end", closed)
		third := s.raw(t)
		third.send(get("/", "Connection: close"))
		if got := third.ended(); !strings.HasSuffix(got, "hello") {
			t.Errorf("after one had left, the next got %q", got)
		}
	})
}

// A connection goes through net/http's states, as one and the same value.
func TestConnStates(t *testing.T) {
	run(t, func(t *testing.T, m mode) {
		type change struct {
			conn  net.Conn
			state http.ConnState
		}
		changes := make(chan change, 20)
		s := m.serve(t, hello, func(s *windhover.Server) {
			s.ConnState = func(c net.Conn, state http.ConnState) { changes <- change{c, state} }
		})
		c := s.raw(t)
		c.send(get("/"))
		c.until("hello", 1)
		c.send(get("/", "Connection: close"))
		c.ended()
		var conn net.Conn
		for _, want := range []http.ConnState{http.StateNew, http.StateActive, http.StateIdle, http.StateActive, http.StateClosed} {
			got := await(t, "state "+want.String(), changes)
			if got.state != want {
				t.Errorf("state %v, want %v", got.state, want)
			}
			if conn == nil {
				conn = got.conn
			}
			if got.conn != conn {
				t.Errorf("in state %v the connection is another value", got.state)
			}
		}
	})
}
