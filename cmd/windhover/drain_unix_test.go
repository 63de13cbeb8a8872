//go:build unix

package main_test

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

func isRefused(err error) bool { return errors.Is(err, syscall.ECONNREFUSED) }

// slowBackend is an upstream whose answers wait until they are released, so
// that requests to the program in front of it take as long as a test wants.
type slowBackend struct {
	*httptest.Server
	came    chan struct{}
	release chan struct{}
}

func newSlowBackend(t *testing.T) *slowBackend {
	b := &slowBackend{came: make(chan struct{}, 100), release: make(chan struct{})}
	b.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/slow" {
			b.came <- struct{}{}
			select {
			case <-b.release:
			case <-r.Context().Done():
				return
			}
		}
		fmt.Fprint(w, "answer")
	}))
	t.Cleanup(b.Close)
	return b
}

// slowRequest asks for /slow on a connection of its own and returns where the
// raw response will be, and what closes the connection.
func slowRequest(t *testing.T, url string) (*bufio.Reader, func()) {
	t.Helper()
	c, err := net.Dial("tcp", strings.TrimPrefix(url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	fmt.Fprint(c, "GET /slow HTTP/1.1\r\nHost: x\r\n\r\n")
	return bufio.NewReader(c), func() { c.Close() }
}

func TestDrainFinishesWhatIsUnderWay(t *testing.T) { onEachTransport(t, drainFinishesWhatIsUnderWay) }

func drainFinishesWhatIsUnderWay(t *testing.T, transport string) {
	b := newSlowBackend(t)
	p := windhover(t, "proxy", b.URL, transport, "--urls", any4, "--admin-url", any4)
	br, hangUp := slowRequest(t, p.url())
	<-b.came
	p.signal(syscall.SIGTERM)
	if !p.stdout.await("Application is shutting down...\n", 1) {
		t.Fatal("no word of the shutdown")
	}
	awaitRefused(t, p.url())
	close(b.release)
	res, err := http.ReadResponse(br, nil)
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(res.Body)
	if err != nil || string(body) != "answer" || !res.Close {
		t.Errorf("%q %v, Connection: close is %v", body, err, res.Close)
	}
	hangUp() // as clients do that are told to close; else the server lingers
	if status := p.wait(); status != 0 {
		t.Errorf("exit status %d", status)
	}
}

// awaitRefused dials until nobody listens any more.
func awaitRefused(t *testing.T, url string) {
	t.Helper()
	if !eventually(func() bool {
		c, err := net.Dial("tcp", strings.TrimPrefix(url, "http://"))
		if err == nil {
			c.Close()
		}
		return err != nil
	}) {
		t.Fatal("the address is still served")
	}
}

func TestDrainUnderLoadLosesNothing(t *testing.T) { onEachTransport(t, drainUnderLoadLosesNothing) }

func drainUnderLoadLosesNothing(t *testing.T, transport string) {
	t.Run("kept connections", func(t *testing.T) {
		p := windhover(t, "hello", transport, "--urls", any4, "--access-log=false")
		l := startLoad(t, http.MethodPost, p.url(), 16, 0)
		l.awaitMore(500)
		p.signal(syscall.SIGTERM)
		// The clients end when nobody listens any more. Told that their
		// connections close, they have opened others, which may be too late.
		lost, reset := l.wait()
		t.Logf("%d connections reset that were never accepted", len(reset))
		l.report(t, lost)
		if status := p.wait(); status != 0 {
			t.Errorf("exit status %d", status)
		}
	})
	// Connections that no process has accepted when a socket is closed are
	// reset by the kernel. Whoever opens new ones must be told before, which is
	// what the delay is for.
	t.Run("clients that look at readyz", func(t *testing.T) {
		p := windhover(t, "hello", transport, "--urls", any4, "--access-log=false", "--admin-url", any4, "--shutdown-delay", "200ms")
		app, admin := p.url(), p.admin()
		l := startLoad(t, http.MethodPost, app, 8, 8)
		l.awaitMore(500)
		p.signal(syscall.SIGTERM)
		c := client(t)
		if !eventually(func() bool { status, _ := fetch(t, c, admin+"/readyz"); return status == http.StatusServiceUnavailable }) {
			t.Fatal("readyz does not turn false")
		}
		l.report(t, l.end())
		if status := p.wait(); status != 0 {
			t.Errorf("exit status %d", status)
		}
	})
}

func (l *load) report(t *testing.T, lost []string) {
	t.Helper()
	for _, err := range lost {
		t.Errorf("lost: %s", err)
	}
	t.Logf("%d answers, %d lost", l.answers.Load(), len(lost))
}

func TestDrainLimitAborts(t *testing.T) { onEachTransport(t, drainLimitAborts) }

func drainLimitAborts(t *testing.T, transport string) {
	b := newSlowBackend(t)
	p := windhover(t, "proxy", b.URL, transport, "--urls", any4, "--shutdown-timeout", "100ms")
	br, _ := slowRequest(t, p.url())
	<-b.came
	p.signal(syscall.SIGINT)
	if status := p.wait(); status != 0 {
		t.Errorf("exit status %d", status)
	}
	if _, err := br.ReadByte(); err == nil {
		t.Error("an answer")
	}
	if !strings.Contains(p.stderr.String(), "drain limit reached") {
		t.Error(p.stderr)
	}
}

func TestSecondSignalAborts(t *testing.T) { onEachTransport(t, secondSignalAborts) }

func secondSignalAborts(t *testing.T, transport string) {
	b := newSlowBackend(t)
	p := windhover(t, "proxy", b.URL, transport, "--urls", any4, "--shutdown-timeout", "unlimited")
	slowRequest(t, p.url())
	<-b.came
	p.signal(syscall.SIGTERM)
	if !p.stdout.await("Application is shutting down...\n", 1) {
		t.Fatal("no word of the shutdown")
	}
	p.signal(syscall.SIGTERM)
	if status := p.wait(); status != 1 {
		t.Errorf("exit status %d", status)
	}
	if !strings.Contains(p.stderr.String(), "windhover: stopped at once by a second signal") {
		t.Error(p.stderr)
	}
}

func TestReadinessTurnsFalseBeforeTheListenersClose(t *testing.T) {
	p := windhover(t, "hello", "--urls", any4, "--admin-url", any4, "--shutdown-delay", "1h")
	app, admin := p.url(), p.admin()
	c := client(t)
	if status, _ := fetch(t, c, admin+"/readyz"); status != http.StatusOK {
		t.Errorf("readyz: %d", status)
	}
	p.signal(syscall.SIGTERM)
	if !p.stdout.await("Application is shutting down...\n", 1) {
		t.Fatal("no word of the shutdown")
	}
	if !eventually(func() bool { // the state follows the line at once, not before it
		status, body := fetch(t, c, admin+"/readyz")
		return status == http.StatusServiceUnavailable && body == "draining\n"
	}) {
		t.Error("readyz does not turn false")
	}
	if status, _ := fetch(t, c, admin+"/livez"); status != http.StatusOK {
		t.Errorf("livez: %d", status)
	}
	if status, body := fetch(t, c, app); status != http.StatusOK {
		t.Errorf("a request during the delay: %d %s", status, body)
	}
	p.signal(syscall.SIGTERM)
	p.wait()
}

func TestUpgradeLosesNoRequest(t *testing.T) { onEachTransport(t, upgradeLosesNoRequest) }

func upgradeLosesNoRequest(t *testing.T, transport string) {
	for _, network := range []string{"tcp", "unix"} {
		t.Run(network, func(t *testing.T) {
			dir := t.TempDir()
			pidFile := filepath.Join(dir, "pid")
			url := any4
			if network == "unix" {
				url = "http://unix:" + filepath.Join(dir, "sock")
			}
			front := windhover(t, "hello", transport, "--urls", url, "--access-log=false", "--pid-file", pidFile, "--admin-url", any4)
			target := front.url()
			if network == "unix" { // the load speaks TCP
				target = windhover(t, "proxy", target, transport, "--urls", any4, "--access-log=false").url()
			}
			l := startLoad(t, http.MethodPost, target, 8, 8)
			for range 3 {
				l.awaitMore(300)
				old := pidOf(t, pidFile)
				status, stdout, stderr := once(t, nil, "upgrade", "--pid-file", pidFile)
				if status != 0 || !strings.Contains(stdout, "has taken over from "+strconv.Itoa(old)) {
					t.Fatalf("exit status %d\n%s%s", status, stdout, stderr)
				}
				pid := pidOf(t, pidFile)
				t.Cleanup(func() { _ = syscall.Kill(pid, syscall.SIGKILL) })
				l.awaitMore(300)
			}
			l.report(t, l.end())
			if status := front.wait(); status != 0 {
				t.Errorf("first process: exit status %d", status)
			}
			if err := syscall.Kill(pidOf(t, pidFile), syscall.SIGTERM); err != nil {
				t.Error(err)
			}
			if network == "unix" {
				awaitGone(t, filepath.Join(dir, "sock"))
			}
			awaitGone(t, pidFile)
		})
	}
}

// Every kind of socket goes to the successor, at the same address.
func TestUpgradeKeepsEveryAddress(t *testing.T) {
	cert, dir := devCert(t), t.TempDir()
	pidFile := filepath.Join(dir, "pid")
	p := windhover(t, "hello", "--pid-file", pidFile, "--admin-url", any4,
		"--urls", any4+";"+any4+";http://localhost:"+freePort(t)+";https://127.0.0.1:0;http://unix:"+filepath.Join(dir, "sock"),
		"--tls-certificate", filepath.Join(cert, "localhost.pem"), "--tls-key", filepath.Join(cert, "localhost.key"))
	before := append(p.addresses(), p.admin())
	if status, _, stderr := once(t, nil, "upgrade", "--pid-file", pidFile); status != 0 {
		t.Fatal(stderr)
	}
	pid := pidOf(t, pidFile)
	defer func() { _ = syscall.Kill(pid, syscall.SIGKILL) }()
	p.wait()
	printed := p.stdout.String()
	_, second, _ := strings.Cut(printed, startedLine)
	for _, address := range before {
		if !strings.Contains(second, ": "+address+"\n") {
			t.Errorf("the successor does not report %s", address)
		}
		args := []string{"--cacert", filepath.Join(cert, "localhost.pem"), address}
		if path, isUnix := strings.CutPrefix(address, "http://unix:"); isUnix {
			args = []string{"--unix-socket", path, "http://localhost/"}
		} else if address == p.admin() {
			args = []string{address + "/readyz"}
		}
		if got := curl(t, args...); got != "Hello World!" && got != "ok\n" {
			t.Errorf("%s: %q", address, got)
		}
	}
}

func pidOf(t *testing.T, path string) int {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(b)))
	if err != nil {
		t.Fatal(err)
	}
	return pid
}

func awaitGone(t *testing.T, path string) {
	t.Helper()
	if !eventually(func() bool { _, err := os.Stat(path); return errors.Is(err, os.ErrNotExist) }) {
		t.Errorf("%s is still there", path)
	}
}

func TestUpgradeToAProgramThatFailsKeepsServing(t *testing.T) {
	dir := write(t, map[string]string{"c.yaml": "urls: " + any4 + "\naccess-log: x\n"})
	config := filepath.Join(dir, "c.yaml")
	if err := os.WriteFile(config, []byte("urls: "+any4+"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	p := windhover(t, "hello", "--config", config)
	if err := os.WriteFile(config, []byte("nonsense: 1\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	p.signal(syscall.SIGUSR2)
	if !p.stderr.await("upgrade failed", 1) {
		t.Fatal("no word of the failure")
	}
	if status, _ := fetch(t, client(t), p.url()); status != http.StatusOK {
		t.Error(status)
	}
	p.stop()
}

func TestReloadReopensLogs(t *testing.T) {
	dir := t.TempDir()
	access := filepath.Join(dir, "access.log")
	p := windhover(t, "hello", "--urls", any4, "--access-log-file", access, "--access-log-format", "json", "--log-level", "info")
	c := client(t)
	fetch(t, c, p.url()+"/one")
	awaitContent(t, access, "/one")
	if err := os.Rename(access, access+".1"); err != nil {
		t.Fatal(err)
	}
	p.signal(syscall.SIGHUP)
	if !p.stderr.await("msg=reloaded", 1) {
		t.Fatal("no word of the reload")
	}
	fetch(t, c, p.url()+"/two")
	awaitContent(t, access, `"uri":"/two"`)
	p.stop()
	if b, err := os.ReadFile(access); err != nil || strings.Contains(string(b), "/one") {
		t.Errorf("%s %v", b, err)
	}
}

func awaitContent(t *testing.T, path, want string) {
	t.Helper()
	if !eventually(func() bool { b, err := os.ReadFile(path); return err == nil && strings.Contains(string(b), want) }) {
		t.Errorf("%s does not hold %s", path, want)
	}
}
