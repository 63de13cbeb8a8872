//go:build unix

package main_test

import (
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/websocket"
)

// A limit of 0 allows nothing, as in Kestrel, however it is given.
func TestZeroLimitsAllowNothing(t *testing.T) {
	args := []string{"proxy", echoBackend(t).URL, "--urls", any4}
	file := filepath.Join(write(t, map[string]string{
		"w.yaml": "limits: {max-request-body-size: 0, max-concurrent-upgraded-connections: 0}",
	}), "w.yaml")
	byVariables := exec.Command(binary, args...)
	byVariables.Env = append(os.Environ(), "WINDHOVER_MAX_REQUEST_BODY_SIZE=0", "WINDHOVER_MAX_CONCURRENT_UPGRADED_CONNECTIONS=0")
	for name, cmd := range map[string]*exec.Cmd{
		"flags":     exec.Command(binary, append(slices.Clone(args), "--max-request-body-size", "0", "--max-concurrent-upgraded-connections", "0")...),
		"file":      exec.Command(binary, append(slices.Clone(args), "--config", file)...),
		"variables": byVariables,
	} {
		t.Run(name, func(t *testing.T) {
			p := spawn(t, cmd)
			p.awaitStart()
			for body, want := range map[string]int{"": http.StatusOK, "x": http.StatusRequestEntityTooLarge} {
				res, err := client(t).Post(p.url(), "text/plain", strings.NewReader(body))
				if err != nil {
					t.Fatal(err)
				}
				res.Body.Close()
				if res.StatusCode != want {
					t.Errorf("a body of %d bytes: status %d, want %d", len(body), res.StatusCode, want)
				}
			}
			// The request to upgrade is answered as if it were none.
			ws, err := websocket.Dial("ws"+strings.TrimPrefix(p.url(), "http"), "", p.url())
			if err == nil {
				ws.Close()
				t.Error("the connection was upgraded")
			}
			p.stop()
		})
	}
}

// Every limit that is seen on the wire is seen when it is given to the program.
func TestEveryLimitHolds(t *testing.T) { onEachTransport(t, everyLimitHolds) }

func everyLimitHolds(t *testing.T, transport string) {
	backend := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, err := io.Copy(io.Discard, r.Body); err != nil {
			return
		}
		part := make([]byte, 1<<20)
		for range 64 {
			if r.URL.Path != "/big" {
				break
			}
			if _, err := w.Write(part); err != nil {
				return
			}
		}
	}))
	defer backend.Close()
	cert := devCert(t)
	p := windhover(t, "proxy", backend.URL, transport, "--urls", any4+";https://127.0.0.1:0", "--admin-url", any4,
		"--tls-certificate", filepath.Join(cert, "localhost.pem"), "--tls-key", filepath.Join(cert, "localhost.key"),
		"--max-request-body-size", "10", "--max-request-line-size", "100", "--max-request-headers-total-size", "200",
		"--max-request-header-count", "5", "--keep-alive-timeout", "100ms", "--request-headers-timeout", "100ms",
		"--min-request-body-data-rate", "1000", "--min-request-body-data-rate-grace-period", "1001ms",
		"--min-response-data-rate", "1e9", "--min-response-data-rate-grace-period", "1001ms",
		"--max-response-buffer-size", "16 KiB", "--tls-handshake-timeout", "100ms")
	const head = "Host: a\r\n"
	for _, c := range []struct{ name, request, want string }{
		{"max-request-line-size", "GET /" + strings.Repeat("x", 100) + " HTTP/1.1\r\n" + head + "\r\n", "HTTP/1.1 414 "},
		{"max-request-headers-total-size", "GET / HTTP/1.1\r\n" + head + "X: " + strings.Repeat("x", 200) + "\r\n\r\n", "HTTP/1.1 431 "},
		{"max-request-header-count", "GET / HTTP/1.1\r\n" + head + strings.Repeat("X: x\r\n", 5) + "\r\n", "HTTP/1.1 431 "},
		{"max-request-body-size", "POST / HTTP/1.1\r\n" + head + "Content-Length: 11\r\n\r\n01234567890", "HTTP/1.1 413 "},
		{"keep-alive-timeout", "GET / HTTP/1.1\r\n" + head + "\r\n", "HTTP/1.1 200 "},
		{"request-headers-timeout", "GET / HTTP/1.1\r\n", "HTTP/1.1 408 "},
		{"min-request-body-data-rate", "POST / HTTP/1.1\r\n" + head + "Content-Length: 10\r\n\r\n0", "HTTP/1.1 408 "},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := untilEnd(t, p.url(), c.request) // which comes by itself
			if !strings.HasPrefix(got, c.want) || strings.Count(got, "HTTP/1.1 ") != 1 {
				t.Errorf("%q", got)
			}
		})
	}
	t.Run("tls-handshake-timeout", func(t *testing.T) {
		if got := untilEnd(t, strings.Replace(p.addresses()[1], "https", "http", 1), ""); got != "" {
			t.Errorf("%q", got)
		}
	})
	t.Run("min-response-data-rate", func(t *testing.T) {
		c, err := net.Dial("tcp", strings.TrimPrefix(p.url(), "http://"))
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		before := metric(t, p.admin(), "windhover_timeouts_total")
		if _, err := io.WriteString(c, "GET /big HTTP/1.1\r\n"+head+"\r\n"); err != nil { // and nothing is read
			t.Fatal(err)
		}
		if !eventually(func() bool { return metric(t, p.admin(), "windhover_timeouts_total") > before }) {
			t.Error("a client that does not read keeps its connection")
		}
	})
	p.stop()
}

// untilEnd sends a request and returns what comes until the server closes.
func untilEnd(t *testing.T, url, request string) string {
	t.Helper()
	c, err := net.Dial("tcp", strings.TrimPrefix(url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(c, request); err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(c)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		t.Error("the connection stays")
	}
	return string(got)
}
