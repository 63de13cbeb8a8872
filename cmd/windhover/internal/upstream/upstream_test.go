package upstream_test

import (
	"bufio"
	"context"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/windhover-server/windhover"
	"github.com/windhover-server/windhover/cmd/windhover/internal/upstream"
)

func TestParse(t *testing.T) {
	for _, c := range []struct{ in, url, socket string }{
		{"http://localhost:3000", "http://localhost:3000", ""},
		{"HTTPS://Example.com/base", "https://Example.com/base", ""},
		{"http://[::1]:80/", "http://[::1]:80/", ""},
		{"unix:/run/app.sock", "http://localhost", "/run/app.sock"},
		{"http://unix:/run/app.sock", "http://localhost", "/run/app.sock"},
		{"https://unix:/run/app.sock:/base", "https://localhost/base", "/run/app.sock"},
	} {
		got, err := upstream.Parse(c.in)
		if err != nil || got.URL.String() != c.url || got.Socket != c.socket {
			t.Errorf("%s: %v %q %v", c.in, got.URL, got.Socket, err)
		}
	}
	for _, in := range []string{"", "localhost:3000", "ftp://x", "http://", "http://user@host", "http://host?q", "http://host#f", "http://a b", "://x", "http://host:port"} {
		if _, err := upstream.Parse(in); err == nil || !strings.Contains(err.Error(), fmt.Sprintf("%q", in)) {
			t.Errorf("%q: %v", in, err)
		}
	}
}

// front starts a server of the proxy for address.
func front(t *testing.T, address string, opt upstream.Options) *httptest.Server {
	t.Helper()
	target, err := upstream.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	p, err := upstream.New(target, opt)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	s := httptest.NewServer(p)
	t.Cleanup(s.Close)
	return s
}

func get(t *testing.T, url string, header ...string) (int, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, string(body)
}

// echo answers with what it was asked.
var echo = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
	fmt.Fprintf(w, "%s %s host=%s for=%s proto=%s fhost=%s forwarded=%s", r.Method, r.RequestURI, r.Host,
		r.Header.Get("X-Forwarded-For"), r.Header.Get("X-Forwarded-Proto"), r.Header.Get("X-Forwarded-Host"), r.Header.Get("Forwarded"))
})

func TestRequestsReachTheUpstream(t *testing.T) {
	back := httptest.NewServer(echo)
	defer back.Close()
	f := front(t, back.URL+"/base", upstream.Options{})
	status, body := get(t, f.URL+"/a%2Fb?q=1;x", "X-Forwarded-For", "6.6.6.6", "Forwarded", "for=6.6.6.6")
	want := fmt.Sprintf("GET /base/a%%2Fb?q=1;x host=%s for=127.0.0.1 proto=http fhost=%s forwarded=", host(back.URL), host(f.URL))
	if status != http.StatusOK || body != want {
		t.Errorf("%d %s\nwant %s", status, body, want)
	}
	f = front(t, back.URL, upstream.Options{PreserveHost: true})
	if _, body := get(t, f.URL+"/"); !strings.Contains(body, "host="+host(f.URL)) {
		t.Errorf("preserved: %s", body)
	}
}

func host(s string) string {
	u, err := url.Parse(s)
	if err != nil {
		panic(err)
	}
	return u.Host
}

func TestForwardedHeadersOfATrustedProxyArePassedOn(t *testing.T) {
	back := httptest.NewServer(echo)
	defer back.Close()
	target, err := upstream.Parse(back.URL)
	if err != nil {
		t.Fatal(err)
	}
	p, err := upstream.New(target, upstream.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	f := httptest.NewServer(&windhover.ForwardedHeaders{Handler: p, Fields: windhover.ForwardedFor | windhover.ForwardedProto | windhover.ForwardedHost})
	defer f.Close()
	_, body := get(t, f.URL+"/", "X-Forwarded-For", "1.2.3.4", "X-Forwarded-Proto", "https", "X-Forwarded-Host", "public.test")
	if !strings.Contains(body, "for=1.2.3.4 proto=https fhost=public.test") {
		t.Error(body)
	}
}

func TestUnixUpstream(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	ln, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	s := &httptest.Server{Listener: ln, Config: &http.Server{Handler: echo}}
	s.Start()
	defer s.Close()
	if status, body := get(t, front(t, "unix:"+path, upstream.Options{}).URL+"/x"); status != http.StatusOK || !strings.HasPrefix(body, "GET /x host=localhost ") {
		t.Errorf("%d %s", status, body)
	}
}

func TestTLSUpstreamIsChecked(t *testing.T) {
	back := httptest.NewUnstartedServer(echo)
	back.Config.ErrorLog = log.New(io.Discard, "", 0) // one client refuses it
	back.StartTLS()
	defer back.Close()
	ca := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, pemOf(back), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name string
		opt  upstream.Options
		want int
	}{
		{"unknown authority", upstream.Options{}, http.StatusBadGateway},
		{"its authority", upstream.Options{CA: ca}, http.StatusOK},
		{"unchecked", upstream.Options{Insecure: true}, http.StatusOK},
	} {
		t.Run(c.name, func(t *testing.T) {
			if status, body := get(t, front(t, back.URL, c.opt).URL+"/"); status != c.want {
				t.Errorf("%d %s", status, body)
			}
		})
	}
	target, err := upstream.Parse(back.URL)
	if err != nil {
		t.Fatal(err)
	}
	for _, bad := range []string{"/nonexistent.pem", os.Args[0]} {
		if _, err := upstream.New(target, upstream.Options{CA: bad}); err == nil || !strings.Contains(err.Error(), bad) {
			t.Errorf("CA %s: %v", bad, err)
		}
	}
}

func TestUpstreamThatFails(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	gone := ln.Addr().String()
	ln.Close()
	if status, _ := get(t, front(t, "http://"+gone, upstream.Options{}).URL+"/"); status != http.StatusBadGateway {
		t.Errorf("nobody there: %d", status)
	}
	release := make(chan struct{})
	slow := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-release }))
	defer slow.Close()
	defer close(release)
	if status, _ := get(t, front(t, slow.URL, upstream.Options{ResponseTimeout: 20 * time.Millisecond}).URL+"/"); status != http.StatusGatewayTimeout {
		t.Errorf("no answer: %d", status)
	}
}

func TestBodyOverTheLimitIsTheClientsFault(t *testing.T) {
	back := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { _, _ = io.Copy(io.Discard, r.Body) }))
	defer back.Close()
	target, err := upstream.Parse(back.URL)
	if err != nil {
		t.Fatal(err)
	}
	p, err := upstream.New(target, upstream.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	f := httptest.NewServer(http.MaxBytesHandler(p, 10))
	defer f.Close()
	res, err := http.Post(f.URL, "text/plain", io.MultiReader(strings.NewReader(strings.Repeat("x", 5000))))
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusRequestEntityTooLarge {
		t.Error(res.StatusCode)
	}
}

func TestUpgradePassesThrough(t *testing.T) {
	back := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c, rw, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer c.Close()
		fmt.Fprintf(rw, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: %s\r\n\r\n", r.Header.Get("Upgrade"))
		rw.Flush()
		line, err := rw.ReadString('\n')
		if err != nil {
			t.Error(err)
			return
		}
		fmt.Fprint(rw, "echo "+line)
		rw.Flush()
	}))
	defer back.Close()
	f := front(t, back.URL, upstream.Options{})
	c, err := net.Dial("tcp", host(f.URL))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	fmt.Fprint(c, "GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: test\r\n\r\n")
	br := bufio.NewReader(c)
	res, err := http.ReadResponse(br, nil)
	if err != nil || res.StatusCode != http.StatusSwitchingProtocols || res.Header.Get("Upgrade") != "test" {
		t.Fatalf("%v %v", res, err)
	}
	fmt.Fprint(c, "hello\n")
	if line, err := br.ReadString('\n'); err != nil || line != "echo hello\n" {
		t.Errorf("%q %v", line, err)
	}
}

func TestClientThatLeavesEndsTheUpstreamRequest(t *testing.T) {
	came, left := make(chan struct{}), make(chan struct{})
	back := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		close(came)
		<-r.Context().Done()
		close(left)
	}))
	defer back.Close()
	f := front(t, back.URL, upstream.Options{})
	ctx, cancel := context.WithCancel(t.Context())
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, f.URL, nil)
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		if res, err := http.DefaultClient.Do(r); err == nil {
			res.Body.Close()
		}
	}()
	<-came
	cancel()
	<-left
}

func pemOf(s *httptest.Server) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw})
}
