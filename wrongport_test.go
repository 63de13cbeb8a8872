package windhover_test

import (
	"bytes"
	"crypto/tls"
	"io"
	"log/slog"
	"net"
	"strings"
	"sync"
	"testing"

	"github.com/windhover-server/windhover"
)

// lockedBuffer is a bytes.Buffer that a server may log into.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// Who speaks TLS to a port for HTTP, or HTTP to one for TLS, is told so in HTTP,
// and the operator in the log.
func TestWrongProtocolForThePort(t *testing.T) {
	eachTransport(t, func(t *testing.T, s *windhover.Server) {
		var log lockedBuffer
		s.Logger = slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
		cert := devCert(t)
		s.TLSConfig = &tls.Config{Certificates: []tls.Certificate{cert.TLS()}}
		s.URLs = []string{"http://127.0.0.1:0", "https://127.0.0.1:0"}
		ended := serve(t, s)

		if c, err := tls.Dial("tcp", s.Addrs()[0].String(), &tls.Config{RootCAs: cert.Pool()}); err == nil {
			c.Close()
			t.Error("a handshake with a port for HTTP succeeded")
		}
		const recordOfHello = "\x16\x03\x01\x00\x05\x01\x00\x00\x01\x00"
		if got := talk(t, s.Addrs()[0], recordOfHello); !strings.HasPrefix(got, "HTTP/1.1 400 Bad Request\r\n") ||
			!strings.HasSuffix(got, "TLS handshake on a plain HTTP connection") {
			t.Errorf("TLS to a port for HTTP got %q", got)
		}
		if got := talk(t, s.Addrs()[1], "GET / HTTP/1.1\r\nHost: a\r\n\r\n"); got != "HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTP request to an HTTPS server.\n" {
			t.Errorf("HTTP to a port for TLS got %q", got)
		}
		if err := s.Shutdown(t.Context()); err != nil {
			t.Error(err)
		}
		<-ended
		for _, want := range []string{"level=INFO msg=ConnectionBadRequest error=\"wire: TLS handshake on a plain HTTP connection", "client sent an HTTP request to an HTTPS server"} {
			if !strings.Contains(log.String(), want) {
				t.Errorf("the log has no %q:\n%s", want, log.String())
			}
		}
	})
}

// talk sends text and returns what comes until the end.
func talk(t *testing.T, addr net.Addr, text string) string {
	t.Helper()
	c, err := net.Dial(addr.Network(), addr.String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := io.WriteString(c, text); err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(c)
	if err != nil {
		t.Error(err)
	}
	return string(got)
}
