//go:build unix

package main_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/windhover-server/windhover/tlsbridge"
)

// curl runs curl and returns the body.
func curl(t *testing.T, args ...string) string {
	t.Helper()
	cmd := exec.Command(need(t, "curl"), append([]string{"-sS", "--fail", "--max-time", "20"}, args...)...)
	out, err := cmd.Output()
	if err != nil {
		t.Errorf("curl %v: %v %s", args, err, errOutput(err))
	}
	return string(out)
}

func errOutput(err error) string {
	if exit, ok := err.(*exec.ExitError); ok { //nolint:errorlint // Output does not wrap it
		return string(exit.Stderr)
	}
	return ""
}

// devCert makes a certificate for localhost and returns its directory.
func devCert(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if status, _, stderr := once(t, nil, "dev-cert", "--dir", dir, "--pfx-password", "secret"); status != 0 {
		t.Fatal(stderr)
	}
	return dir
}

func TestCurlOnEveryKindOfEndpoint(t *testing.T) { onEachTransport(t, curlOnEveryKindOfEndpoint) }

func curlOnEveryKindOfEndpoint(t *testing.T, transport string) {
	need(t, "curl")
	cert, files := devCert(t), write(t, map[string]string{"hello.txt": strings.Repeat("hello ", 1000), "index.html": "<p>home"})
	sockets := t.TempDir()
	port := freePort(t)
	plain, secure := "http://unix:"+filepath.Join(sockets, "plain"), "https://unix:"+filepath.Join(sockets, "secure")
	urls := []string{
		"http://127.0.0.1:0", "http://[::1]:0", "http://*:0", "http://0.0.0.0:0", "http://localhost:" + port,
		"https://127.0.0.1:0", "https://[::]:0", plain, secure,
	}
	p := windhover(t, files, transport, "--urls", strings.Join(urls, ";"), "--unix-mode", "0600",
		"--tls-certificate", filepath.Join(cert, "localhost.pem"), "--tls-key", filepath.Join(cert, "localhost.key"))
	addresses := p.addresses()
	if len(addresses) != len(urls) {
		t.Fatalf("%d addresses for %d prefixes: %q", len(addresses), len(urls), addresses)
	}
	if addresses[4] != "http://localhost:"+port || addresses[7] != plain || addresses[8] != secure {
		t.Errorf("reported: %q", addresses)
	}
	for i, address := range addresses {
		args := []string{"--cacert", filepath.Join(cert, "localhost.pem")}
		scheme, rest, _ := strings.Cut(address, "://")
		if path, isUnix := strings.CutPrefix(rest, "unix:"); isUnix {
			args = append(args, "--unix-socket", path)
			rest = "localhost"
		}
		rest = strings.NewReplacer("[::]", "localhost", "0.0.0.0", "127.0.0.1").Replace(rest)
		url := scheme + "://" + rest
		if got := curl(t, append(args, url+"/")...); got != "<p>home" {
			t.Errorf("%s (%s): %q", urls[i], url, got)
		}
		if got := curl(t, append(args, "--http1.1", "-r", "6-10", url+"/hello.txt")...); got != "hello" {
			t.Errorf("%s: range %q", urls[i], got)
		}
		if got := curl(t, append(args, "--compressed", "-o", "/dev/null", "-w", "%{http_code} %{size_download}", url+"/hello.txt")...); !strings.HasPrefix(got, "200 ") || len(got) > len("200 999") {
			t.Errorf("%s: compressed: %s", urls[i], got)
		}
		if scheme == "https" {
			if got := curl(t, append(args, "-o", "/dev/null", "-w", "%{http_version}", url+"/")...); got != "2" {
				t.Errorf("%s: HTTP version %s", urls[i], got)
			}
		}
	}
	for _, name := range []string{"plain", "secure"} {
		if info, err := os.Stat(filepath.Join(sockets, name)); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v %v", name, info, err)
		}
	}
	p.stop()
	if left, err := os.ReadDir(sockets); err != nil || len(left) != 0 {
		t.Errorf("sockets are left: %v %v", left, err)
	}
}

func TestStaleSocketIsReplacedAndALiveOneIsNot(t *testing.T) {
	path := filepath.Join(t.TempDir(), "sock")
	url := "http://unix:" + path
	p := windhover(t, "hello", "--urls", url)
	status, _, stderr := once(t, nil, "hello", "--urls", url)
	if status != 1 || !strings.Contains(stderr, path) || !strings.Contains(stderr, "in use") {
		t.Errorf("exit status %d, %s", status, stderr)
	}
	p.signal(syscall.SIGKILL)
	p.wait()
	if _, err := os.Stat(path); err != nil {
		t.Fatal("the crash has left no socket: ", err)
	}
	windhover(t, "hello", "--urls", url).stop()
}

func TestLocalhostListensOnBothLoopbacks(t *testing.T) {
	port := freePort(t)
	p := windhover(t, "hello", "--urls", "http://localhost:"+port)
	if a := p.addresses(); len(a) != 1 || a[0] != "http://localhost:"+port {
		t.Errorf("%q", a)
	}
	for _, host := range []string{"127.0.0.1", "[::1]"} {
		if host == "[::1]" && !hasIPv6() {
			continue
		}
		if status, _ := fetch(t, client(t), "http://"+host+":"+port); status != http.StatusOK {
			t.Errorf("%s: %d", host, status)
		}
	}
	p.stop()
}

func hasIPv6() bool {
	ln, err := net.Listen("tcp", "[::1]:0")
	if err == nil {
		ln.Close()
	}
	return err == nil
}

func TestDevelopmentCertificateIsUsedByItself(t *testing.T) {
	config := t.TempDir()
	env := []string{"XDG_CONFIG_HOME=" + config}
	if status, _, stderr := once(t, env, "dev-cert"); status != 0 {
		t.Fatal(stderr)
	}
	cmd := exec.Command(binary, "hello", "--urls", "https://127.0.0.1:0")
	cmd.Env = cleanEnv(env...)
	p := spawn(t, cmd)
	p.awaitStart()
	pemFile := filepath.Join(config, "windhover", "dev-cert", "localhost.pem")
	if got := serial(t, p.url(), pemFile); got == "" {
		t.Error("no certificate")
	}
	p.stop()
}

// serial returns the serial number of the certificate that url shows, which
// must be trusted by those in pemFile.
func serial(t *testing.T, url, pemFile string) string {
	t.Helper()
	b, err := os.ReadFile(pemFile)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(b)
	c, err := tls.Dial("tcp", strings.TrimPrefix(url, "https://"), &tls.Config{RootCAs: pool})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	return c.ConnectionState().PeerCertificates[0].SerialNumber.String()
}

func TestSIGHUPReloadsCertificatesWithoutDroppingConnections(t *testing.T) {
	dir := devCert(t)
	pemFile := filepath.Join(dir, "localhost.pem")
	p := windhover(t, "hello", "--urls", "https://127.0.0.1:0", "--tls-reload", "1h",
		"--tls-certificate", pemFile, "--tls-key", filepath.Join(dir, "localhost.key"))
	b, err := os.ReadFile(pemFile)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(b)
	dials := 0
	tr := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}}
	defer tr.CloseIdleConnections()
	var d net.Dialer
	tr.DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
		dials++
		return d.DialContext(ctx, network, addr)
	}
	kept := &http.Client{Transport: tr, Timeout: patience}
	fetch(t, kept, p.url())

	first := serial(t, p.url(), pemFile)
	if status, _, stderr := once(t, nil, "dev-cert", "--dir", dir, "--renew"); status != 0 {
		t.Fatal(stderr)
	}
	p.signal(syscall.SIGHUP)
	if !p.stderr.await("msg=reloaded", 1) {
		t.Fatal("no word of the reload")
	}
	if second := serial(t, p.url(), pemFile); second == first {
		t.Error("the old certificate is still shown")
	}
	if fetch(t, kept, p.url()); dials != 1 {
		t.Errorf("the old connection is gone: %d dials", dials)
	}
	if err := os.WriteFile(pemFile, []byte("broken"), 0o600); err != nil {
		t.Fatal(err)
	}
	p.signal(syscall.SIGHUP)
	if !p.stderr.await("reload failed", 1) {
		t.Fatal("no word of the failure")
	}
	if status, _ := fetch(t, kept, p.url()); status != http.StatusOK {
		t.Error(status)
	}
	p.stop()
}

func TestPFXAndSNIFromAFile(t *testing.T) {
	dir, other := devCert(t), t.TempDir()
	cert, err := tlsbridge.LoadDevCert(devCert(t))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := cert.Write(other); err != nil {
		t.Fatal(err)
	}
	files := write(t, map[string]string{"c.yaml": fmt.Sprintf(`
endpoints:
  public:
    url: https://127.0.0.1:0
    certificate: {path: %q, password: secret}
    protocols: [http1]
tls:
  sni:
    "*.localhost": {path: %q, key-path: %q}
`, filepath.Join(dir, "localhost.pfx"), filepath.Join(other, "localhost.pem"), filepath.Join(other, "localhost.key"))})
	p := windhover(t, "hello", "--config", filepath.Join(files, "c.yaml"))
	for name, pemFile := range map[string]string{"localhost": filepath.Join(dir, "localhost.pem"), "a.localhost": filepath.Join(other, "localhost.pem")} {
		b, err := os.ReadFile(pemFile)
		if err != nil {
			t.Fatal(err)
		}
		block, _ := pem.Decode(b)
		c, err := tls.Dial("tcp", strings.TrimPrefix(p.url(), "https://"), &tls.Config{ServerName: name, InsecureSkipVerify: true, NextProtos: []string{"h2", "http/1.1"}})
		if err != nil {
			t.Fatal(err)
		}
		state := c.ConnectionState()
		if string(state.PeerCertificates[0].Raw) != string(block.Bytes) {
			t.Errorf("%s: another certificate", name)
		}
		if state.NegotiatedProtocol != "http/1.1" {
			t.Errorf("%s: protocol %q", name, state.NegotiatedProtocol)
		}
		c.Close()
	}
	p.stop()
}

func TestHostFilterAndForwardedHeadersInTheProgram(t *testing.T) {
	backend := echoBackend(t)
	p := windhover(t, "proxy", backend.URL, "--urls", any4, "--allowed-hosts", "example.com;*.example.com",
		"--forwarded-headers", "for,proto,host", "--access-log-format", "combined")
	c := client(t)
	for host, want := range map[string]int{"example.com": 200, "a.example.com:80": 200, "evil.com": 400} {
		r, err := http.NewRequest(http.MethodGet, p.url(), nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Host = host
		r.Header.Set("X-Forwarded-For", "192.0.2.9")
		res, err := c.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		if res.StatusCode != want {
			t.Errorf("%s: %d", host, res.StatusCode)
		}
	}
	if !p.stdout.await("192.0.2.9 - - [", 3) { // also of the refused one
		t.Error("the access log does not show the forwarded client")
	}
	p.stop()
}

func TestLimitsReachTheServer(t *testing.T) {
	p := windhover(t, "hello", "--urls", any4, "--max-request-line-size", "100", "--max-concurrent-connections", "1", "--admin-url", any4)
	if status, _ := fetch(t, client(t), p.url()+"/"+strings.Repeat("x", 100)); status != http.StatusRequestURITooLong {
		t.Errorf("long line: %d", status)
	}
	holder := client(t)
	if !eventually(func() bool { return ask(holder, p.url()) == nil }) { // the first connection closes in its own time
		t.Fatal("no answer")
	}
	if err := ask(client(t), p.url()); err == nil {
		t.Error("a second connection is served")
	}
	if n := metric(t, p.admin(), "kestrel_rejected_connections_total"); n < 1 {
		t.Errorf("rejected: %v", n)
	}
	p.stop()
}
