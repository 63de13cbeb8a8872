package e2e

import (
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

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

// Upgraded connections are counted apart: they leave room for others, up to a
// limit of their own.
func TestUpgradedConnectionLimit(t *testing.T) {
	run(t, func(t *testing.T, m mode) {
		s := m.serve(t, echoProtocol, func(s *windhover.Server) {
			s.Limits.MaxConcurrentConnections = 1
			s.Limits.MaxConcurrentUpgradedConnections = 1
		})
		first := s.raw(t)
		first.send(upgradeRequest + "x")
		first.until("\r\n\r\nx", 1)
		second := s.raw(t)
		second.send(get("/", "Connection: Upgrade, close", "Upgrade: echo"))
		if got := second.ended(); !strings.HasPrefix(got, "HTTP/1.1 426 ") {
			t.Errorf("an upgrade too many got %q", got)
		}
		first.send("still here")
		first.until("still here", 1)
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
