//go:build unix

package main_test

import (
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/net/websocket"
)

// deployFile returns a file of docs/deploy with its addresses replaced by those
// of the test. Every replacement must be in it: the test is about that file.
func deployFile(t *testing.T, name string, replace ...string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("..", "..", "docs", "deploy", name))
	if err != nil {
		t.Fatal(err)
	}
	s := string(b)
	for i := 0; i < len(replace); i += 2 {
		if !strings.Contains(s, replace[i]) {
			t.Fatalf("docs/deploy/%s does not hold %q", name, replace[i])
		}
		s = strings.ReplaceAll(s, replace[i], replace[i+1])
	}
	return s
}

// commandOf returns the arguments of the windhover command that a comment of a
// deployment file shows.
func commandOf(t *testing.T, file string) []string {
	t.Helper()
	text := regexp.MustCompile(`\\\n#\s*`).ReplaceAllString(file, "")
	m := regexp.MustCompile(`(?m)^#\s+windhover (.*)$`).FindStringSubmatch(text)
	if m == nil {
		t.Fatal("no windhover command in the file")
	}
	var args []string
	for _, part := range regexp.MustCompile(`"([^"]*)"|(\S+)`).FindAllStringSubmatch(m[1], -1) {
		args = append(args, part[1]+part[2])
	}
	return args
}

// echoBackend tells who asks, and echoes what it gets as a WebSocket. It stands
// behind "windhover proxy" in the tests of front servers.
func echoBackend(t *testing.T) *httptest.Server {
	echo := websocket.Server{Handler: func(ws *websocket.Conn) { _, _ = io.Copy(ws, ws) }}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Upgrade") != "" {
			echo.ServeHTTP(w, r)
			return
		}
		fmt.Fprintf(w, "for=%s proto=%s host=%s", r.Header.Get("X-Forwarded-For"), r.Header.Get("X-Forwarded-Proto"), r.Header.Get("X-Forwarded-Host"))
	}))
	t.Cleanup(s.Close)
	return s
}

func checkWebSocket(t *testing.T, url string) {
	t.Helper()
	ws, err := websocket.Dial("ws"+strings.TrimPrefix(url, "http"), "", url)
	if err != nil {
		t.Fatalf("websocket: %v", err)
	}
	defer ws.Close()
	for _, want := range []string{"hello", strings.Repeat("x", 100_000)} {
		if err := websocket.Message.Send(ws, want); err != nil {
			t.Fatal(err)
		}
		got := make([]byte, len(want))
		if _, err := io.ReadFull(ws, got); err != nil || string(got) != want {
			t.Errorf("websocket: %v", err)
		}
	}
}

// metric returns a value without labels from an admin endpoint.
func metric(t *testing.T, admin, name string) float64 {
	t.Helper()
	_, text := fetch(t, client(t), admin+"/metrics")
	m := regexp.MustCompile(`(?m)^` + name + ` (\S+)$`).FindStringSubmatch(text)
	if m == nil {
		t.Fatalf("no metric %s", name)
	}
	v, err := strconv.ParseFloat(m[1], 64)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func TestDrainLetsWebSocketsGoOn(t *testing.T) { onEachTransport(t, drainLetsWebSocketsGoOn) }

func drainLetsWebSocketsGoOn(t *testing.T, transport string) {
	p := windhover(t, "proxy", echoBackend(t).URL, transport, "--urls", any4)
	ws, err := websocket.Dial("ws"+strings.TrimPrefix(p.url(), "http"), "", p.url())
	if err != nil {
		t.Fatal(err)
	}
	defer ws.Close()
	p.signal(syscall.SIGTERM)
	awaitRefused(t, p.url())
	if err := websocket.Message.Send(ws, "hello"); err != nil {
		t.Fatal(err)
	}
	got := make([]byte, 5)
	if _, err := io.ReadFull(ws, got); err != nil || string(got) != "hello" {
		t.Errorf("%q %v", got, err)
	}
	ws.Close()
	if status := p.wait(); status != 0 || strings.Contains(p.stderr.String(), "drain limit") {
		t.Errorf("exit status %d", status)
	}
}

func TestDrainLimitEndsWebSockets(t *testing.T) { onEachTransport(t, drainLimitEndsWebSockets) }

func drainLimitEndsWebSockets(t *testing.T, transport string) {
	p := windhover(t, "proxy", echoBackend(t).URL, transport, "--urls", any4, "--shutdown-timeout", "100ms")
	ws, err := websocket.Dial("ws"+strings.TrimPrefix(p.url(), "http"), "", p.url())
	if err != nil {
		t.Fatal(err)
	}
	defer ws.Close()
	p.signal(syscall.SIGTERM)
	if status := p.wait(); status != 0 || !strings.Contains(p.stderr.String(), "drain limit") {
		t.Errorf("exit status %d", status)
	}
	if _, err := ws.Read(make([]byte, 1)); err == nil {
		t.Error("the connection is still there")
	}
}

func TestBehindNginx(t *testing.T) { onEachTransport(t, behindNginx) }

func behindNginx(t *testing.T, transport string) {
	nginx := need(t, "nginx")
	dir, port, socket := t.TempDir(), freePort(t), filepath.Join(t.TempDir(), "w.sock")
	conf := deployFile(t, "nginx.conf",
		"/run/windhover/windhover.sock", socket, "listen 80;", "listen 127.0.0.1:"+port+";", "/run/nginx.pid", filepath.Join(dir, "pid"))
	args := append([]string{"proxy", echoBackend(t).URL, transport}, commandOf(t, conf)[1:]...)
	for i, a := range args {
		if a == ":www-data" { // the group that this machine has
			args[i] = fmt.Sprintf(":%d", os.Getgid())
		}
	}
	p := windhover(t, append(args, "--admin-url", any4)...)
	if info, err := os.Stat(socket); err != nil || info.Mode().Perm() != 0o660 {
		t.Errorf("socket: %v %v", info, err)
	}
	if os.Getuid() == 0 { // nginx's workers are somebody else
		conf = strings.Replace(conf, "worker_processes auto;", "worker_processes auto;\nuser root;", 1)
	}
	confFile := filepath.Join(dir, "nginx.conf")
	if err := os.WriteFile(confFile, []byte(conf), 0o644); err != nil {
		t.Fatal(err)
	}
	n := spawn(t, exec.Command(nginx, "-p", dir, "-c", confFile, "-e", "stderr", "-g", "daemon off;"))
	front := "http://127.0.0.1:" + port
	awaitAnswer(t, n, front)

	_, body := fetch(t, client(t), front+"/")
	if want := "for=127.0.0.1 proto=http host=127.0.0.1:" + port; body != want {
		t.Errorf("%s\nwant %s", body, want)
	}
	checkWebSocket(t, front)

	c := client(t)
	for range 50 {
		fetch(t, c, front+"/")
	}
	if kept := metric(t, p.admin(), "kestrel_active_connections"); kept < 1 {
		t.Errorf("nginx keeps %v connections", kept)
	}
	l := startLoad(t, http.MethodPost, front, 8, 8)
	l.awaitMore(500)
	l.report(t, l.end())
	p.stop()
}

// awaitAnswer waits until a front server passes requests on.
func awaitAnswer(t *testing.T, p *process, url string) {
	t.Helper()
	c := client(t)
	if !eventually(func() bool { return ask(c, url) == nil }) {
		t.Fatalf("%s does not answer", p.Path)
	}
}

func TestBehindHAProxy(t *testing.T) { onEachTransport(t, behindHAProxy) }

func behindHAProxy(t *testing.T, transport string) {
	haproxy := need(t, "haproxy")
	dir := t.TempDir()
	_, _, _ = once(t, nil, "dev-cert", "--dir", dir) // its files are checked by their use
	ports := map[string]string{}
	for _, name := range []string{"http", "https", "app", "tls", "admin"} {
		ports[name] = freePort(t)
	}
	cfg := deployFile(t, "haproxy.cfg", "bind *:80", "bind 127.0.0.1:"+ports["http"], "bind *:443", "bind 127.0.0.1:"+ports["https"],
		"127.0.0.1:5000", "127.0.0.1:"+ports["app"], "127.0.0.1:5001", "127.0.0.1:"+ports["tls"],
		"check port 9090", "check port "+ports["admin"], "127.0.0.1:9090", "127.0.0.1:"+ports["admin"],
		"cert.pem", filepath.Join(dir, "localhost.pem"), "key.pem", filepath.Join(dir, "localhost.key"))
	args := append([]string{"proxy", echoBackend(t).URL, transport}, commandOf(t, cfg)[1:]...)
	access := filepath.Join(dir, "access.log")
	p := windhover(t, append(args, "--access-log-file", access)...)
	cfgFile := filepath.Join(dir, "haproxy.cfg")
	if err := os.WriteFile(cfgFile, []byte(cfg), 0o644); err != nil {
		t.Fatal(err)
	}
	h := spawn(t, exec.Command(haproxy, "-db", "-f", cfgFile))
	front := "http://127.0.0.1:" + ports["http"]
	awaitAnswer(t, h, front)

	// The client is 127.0.0.2, which only the PROXY header can tell.
	from := &net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 2)}}
	tr := &http.Transport{DialContext: from.DialContext, TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}
	defer tr.CloseIdleConnections()
	c := &http.Client{Transport: tr, Timeout: patience}
	for _, url := range []string{front, "https://127.0.0.1:" + ports["https"]} {
		if !eventually(func() bool { return ask(c, url) == nil }) { // the check of this backend may be later
			t.Fatalf("%s does not answer", url)
		}
		if _, body := fetch(t, c, url); !strings.HasPrefix(body, "for=127.0.0.2 proto="+url[:strings.Index(url, ":")]) {
			t.Errorf("%s: %s", url, body)
		}
	}
	awaitContent(t, access, "remote=127.0.0.2")
	checkWebSocket(t, front)

	if status, _ := fetch(t, client(t), "http://127.0.0.1:"+ports["admin"]+"/readyz"); status != http.StatusOK {
		t.Errorf("readyz: %d", status)
	}
	direct(t, "127.0.0.1:"+ports["app"])

	// The delay lets HAProxy see that Windhover is not ready before it stops.
	l := startLoad(t, http.MethodPost, front, 8, 8)
	l.awaitMore(300)
	l.report(t, l.end())
	p.signal(syscall.SIGTERM)
	if !eventually(func() bool { status, _ := fetch(t, client(t), front); return status == http.StatusServiceUnavailable }) {
		t.Error("HAProxy still sends requests")
	}
	select {
	case <-p.exited:
		t.Error("Windhover stopped before HAProxy took it out")
	default:
	}
	p.signal(syscall.SIGTERM)
	p.wait()
}

// direct checks that a request without a PROXY header gets nothing.
func direct(t *testing.T, address string) {
	t.Helper()
	c, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	fmt.Fprint(c, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
	if b, _ := io.ReadAll(c); len(b) != 0 { // how the connection ends does not matter
		t.Errorf("an answer without a PROXY header: %q", b)
	}
}
