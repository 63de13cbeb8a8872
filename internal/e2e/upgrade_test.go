package e2e

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/windhover-server/windhover"
	"github.com/windhover-server/windhover/proto"
)

// echoProtocol is an app that leaves HTTP for a protocol which sends back what
// comes.
var echoProtocol = app{
	handler: func(w http.ResponseWriter, r *http.Request) {
		conn, err := proto.Upgrade(w, r, "echo")
		if err != nil {
			http.Error(w, err.Error(), http.StatusUpgradeRequired)
			return
		}
		defer conn.Close()
		io.Copy(conn, conn)
	},
	native: func(x *proto.Exchange) {
		x.Go(func(x *proto.Exchange) {
			conn, err := x.Upgrade("echo")
			if err != nil {
				x.SetStatus(http.StatusUpgradeRequired)
				x.SetHeader("Connection", "close")
				return
			}
			defer conn.Close()
			io.Copy(conn, conn)
		})
	},
}

var upgradeRequest = get("/", "Connection: Upgrade", "Upgrade: echo")

const switching = "HTTP/1.1 101 Switching Protocols\r\n"

func TestUpgradedConnectionCarriesBytesBothWays(t *testing.T) {
	run(t, func(t *testing.T, m mode) {
		s := m.serve(t, echoProtocol)
		c := s.raw(t)
		c.send(upgradeRequest + "sent along ")
		c.until("sent along ", 1)
		long := strings.Repeat("0123456789abcdef", 20_000)
		c.send(long)
		c.send("the end")
		c.until("the end", 1)
		c.halfClose()
		head, body, _ := strings.Cut(c.ended(), "\r\n\r\n")
		if !strings.HasPrefix(head, switching) || !strings.Contains(head, "Upgrade: echo") {
			t.Errorf("the answer was %q", head)
		}
		if body != "sent along "+long+"the end" {
			t.Errorf("%d bytes came back", len(body))
		}
	})
}

// ways are the three to leave HTTP. Each echoes, and answers with the error if
// it cannot leave.
var ways = map[string]app{
	"Upgrade": {
		handler: func(w http.ResponseWriter, r *http.Request) {
			conn, err := proto.Upgrade(w, r, "echo")
			if err != nil {
				fmt.Fprintf(w, "stayed, %t", errors.Is(err, proto.ErrUpgradeLimit))
				return
			}
			defer conn.Close()
			io.Copy(conn, conn)
		},
		native: func(x *proto.Exchange) {
			x.Go(func(x *proto.Exchange) {
				conn, err := x.Upgrade("echo")
				if err != nil {
					fmt.Fprintf(x, "stayed, %t", errors.Is(err, proto.ErrUpgradeLimit))
					return
				}
				defer conn.Close()
				io.Copy(conn, conn)
			})
		},
	},
	"Hijack": {
		handler: func(w http.ResponseWriter, r *http.Request) {
			conn, rw, err := http.NewResponseController(w).Hijack()
			if err != nil {
				fmt.Fprintf(w, "stayed, %t", errors.Is(err, proto.ErrUpgradeLimit))
				return
			}
			defer conn.Close()
			io.WriteString(conn, switching+"Connection: Upgrade\r\nUpgrade: echo\r\n\r\n")
			io.Copy(conn, rw)
		},
	},
}

// inEachWay runs f in every mode for every way to leave HTTP.
func inEachWay(t *testing.T, f func(t *testing.T, m mode, a app)) {
	for name, a := range ways {
		t.Run(name, func(t *testing.T) {
			run(t, func(t *testing.T, m mode) { f(t, m, a) })
		})
	}
}

// Upgraded connections are counted apart: they leave room for others, up to a
// limit of their own. Over it the application may still answer, on a
// connection that goes on, and who leaves makes room.
func TestUpgradedConnectionLimit(t *testing.T) {
	inEachWay(t, func(t *testing.T, m mode, a app) {
		var srv *windhover.Server
		s := m.serve(t, a, func(s *windhover.Server) {
			srv = s
			s.Limits.MaxConcurrentConnections = 1
			s.Limits.MaxConcurrentUpgradedConnections = 1
		})
		first := s.raw(t)
		first.send(upgradeRequest + "x")
		first.until("\r\n\r\nx", 1)
		second := s.raw(t)
		for n := 1; n <= 2; n++ {
			second.send(upgradeRequest)
			second.until("stayed, true", n)
		}
		if got := second.transcript(); strings.Count(got, "HTTP/1.1 200 OK\r\n") != 2 {
			t.Errorf("an upgrade too many got %q", got)
		}
		if st := srv.Stats(); st.Connections != 1 || st.UpgradedConnections != 1 {
			t.Errorf("%d connections, %d upgraded; want one each", st.Connections, st.UpgradedConnections)
		}
		first.send("still here")
		first.until("still here", 1)
		first.halfClose()
		first.ended()
		for deadline := time.Now().Add(patience); srv.Stats().UpgradedConnections > 0; {
			if time.Now().After(deadline) {
				t.Fatal("the first one still has its place")
			}
			runtime.Gosched()
		}
		second.send(upgradeRequest + "y")
		second.until("\r\n\r\ny", 1)
	})
}

// A limit of None lets nobody leave. (Kestrel's 0.)
func TestNoUpgradedConnectionIsAllowed(t *testing.T) {
	inEachWay(t, func(t *testing.T, m mode, a app) {
		s := m.serve(t, a, func(s *windhover.Server) { s.Limits.MaxConcurrentUpgradedConnections = proto.None })
		c := s.raw(t)
		c.send(get("/", "Connection: Upgrade, close", "Upgrade: echo"))
		if got := c.ended(); !strings.HasSuffix(got, "stayed, true") {
			t.Errorf("got %q", got)
		}
	})
}

// A server that shuts down tells those who have left HTTP by Upgrade, and waits
// until they have taken leave in their own way.
func TestUpgradedConnectionIsToldOfShutdown(t *testing.T) {
	goodbye := func(conn net.Conn) {
		defer conn.Close()
		draining := conn.(*proto.Upgraded).Draining()
		select {
		case <-draining:
			io.WriteString(conn, "too early")
		default:
			io.WriteString(conn, "hello")
		}
		<-draining
		io.WriteString(conn, "goodbye")
	}
	run(t, func(t *testing.T, m mode) {
		s := m.serve(t, app{
			handler: func(w http.ResponseWriter, r *http.Request) {
				if conn, err := proto.Upgrade(w, r, "echo"); err == nil {
					goodbye(conn)
				}
			},
			native: func(x *proto.Exchange) {
				x.Go(func(x *proto.Exchange) {
					if conn, err := x.Upgrade("echo"); err == nil {
						goodbye(conn)
					}
				})
			},
		})
		c := s.raw(t)
		c.send(upgradeRequest)
		c.until("hello", 1)
		down := make(chan error, 1)
		go func() { down <- s.shutdown(t.Context()) }()
		if got := c.ended(); !strings.HasSuffix(got, "hellogoodbye") {
			t.Errorf("got %q", got)
		}
		if err := await(t, "Shutdown to return", down); err != nil {
			t.Errorf("Shutdown: %v", err)
		}
	})
}

// One that does not care goes on until the drain limit, and then is closed.
func TestUpgradedConnectionEndsAtTheDrainLimit(t *testing.T) {
	run(t, func(t *testing.T, m mode) {
		s := m.serve(t, ways["Upgrade"])
		c := s.raw(t)
		c.send(upgradeRequest)
		c.until(switching, 1)
		limit, cancel := context.WithCancel(t.Context())
		down := make(chan error, 1)
		go func() { down <- s.shutdown(limit) }()
		c.send("still here")
		c.until("still here", 1)
		cancel()
		if err := await(t, "Shutdown to return", down); !errors.Is(err, context.Canceled) {
			t.Errorf("Shutdown: %v", err)
		}
		c.send("and still")
		c.until("and still", 1)
		if err := s.close(); err != nil {
			t.Errorf("Close: %v", err)
		}
		c.ended() // and the goroutine of the handler, which TestMain looks for
	})
}

// Hijack hands over the connection itself: for TCP a *net.TCPConn, for TLS a
// *tls.Conn, with what has been received in the reader.
func TestHijackHandsOverTheConnection(t *testing.T) {
	run(t, func(t *testing.T, m mode) {
		kind := make(chan net.Conn, 1)
		s := m.serve(t, app{handler: func(w http.ResponseWriter, _ *http.Request) {
			conn, rw, err := http.NewResponseController(w).Hijack()
			if err != nil {
				t.Error(err)
				return
			}
			defer conn.Close()
			kind <- conn
			line, err := rw.ReadString('\n')
			if err != nil {
				t.Error(err)
			}
			rw.WriteString("raw: " + line)
			rw.Flush()
		}})
		c := s.raw(t)
		c.send(get("/") + "left over\n")
		if got := c.ended(); got != "raw: left over\n" {
			t.Errorf("got %q", got)
		}
		conn := await(t, "the handler to hijack", kind)
		if _, isTCP := conn.(*net.TCPConn); isTCP != (m.socket == "tcp" && !m.tls) {
			t.Errorf("the connection is a %T", conn)
		}
		if _, isUnix := conn.(*net.UnixConn); isUnix != (m.socket == "unix" && !m.tls) {
			t.Errorf("the connection is a %T", conn)
		}
	})
}
