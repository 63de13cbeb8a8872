//go:build unix

package main_test

import (
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
)

// systemd stands for the service manager: it holds the socket and hears the
// notifications.
type systemd struct {
	ln     *net.TCPListener
	notify *net.UnixConn
	path   string
}

func newSystemd(t *testing.T) *systemd {
	t.Helper()
	ln, err := net.ListenTCP("tcp", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	path := filepath.Join(t.TempDir(), "notify")
	notify, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { notify.Close() })
	return &systemd{ln, notify, path}
}

// exec starts the program as systemd would: LISTEN_PID is its own process id,
// and descriptor 3 the socket, named as windhover.socket names it.
func (s *systemd) exec(t *testing.T, args ...string) *process {
	t.Helper()
	f, err := s.ln.File()
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	name := regexp.MustCompile(`(?m)^FileDescriptorName=(.*)$`).FindStringSubmatch(deployFile(t, "windhover.socket"))[1]
	cmd := exec.Command("/bin/sh", append([]string{"-c", `LISTEN_PID=$$ exec "$0" "$@"`, binary}, args...)...)
	cmd.Env = cleanEnv("LISTEN_FDS=1", "LISTEN_FDNAMES="+name, "NOTIFY_SOCKET="+s.path)
	cmd.ExtraFiles = []*os.File{f}
	return spawn(t, cmd)
}

// await reads notifications until one holds want.
func (s *systemd) await(t *testing.T, want string) string {
	t.Helper()
	if err := s.notify.SetReadDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	for b := make([]byte, 4096); ; {
		n, _, err := s.notify.ReadFrom(b)
		if err != nil {
			t.Fatalf("no %s: %v", want, err)
		}
		if strings.Contains(string(b[:n]), want) {
			return string(b[:n])
		}
	}
}

func TestSystemdSocketActivationAndNotification(t *testing.T) {
	s := newSystemd(t)
	dir := t.TempDir()
	config := filepath.Join(dir, "windhover.yaml")
	content := deployFile(t, "windhover.yaml", "http://*:80", "http://"+s.ln.Addr().String(), "/srv/www", dir, "/var/log/windhover/windhover.log", filepath.Join(dir, "w.log"),
		"/var/log/windhover/access.log", filepath.Join(dir, "a.log"), "http://localhost:9090", any4)
	if err := os.WriteFile(config, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
	start := regexp.MustCompile(`(?m)^ExecStart=\S+/windhover (.*)$`).FindStringSubmatch(deployFile(t, "windhover.service"))[1]
	args := strings.Fields(strings.Replace(start, "/etc/windhover/windhover.yaml", config, 1))

	p := s.exec(t, args...)
	s.await(t, "READY=1")
	p.awaitStart()
	url := "http://" + s.ln.Addr().String()
	c := client(t)
	if status, _ := fetch(t, c, url); status != http.StatusOK {
		t.Error(status)
	}

	// A successor keeps the socket and tells systemd who is in charge.
	p.signal(syscall.SIGUSR2)
	message := s.await(t, "MAINPID=")
	if status := p.wait(); status != 0 {
		t.Errorf("exit status %d", status)
	}
	m := regexp.MustCompile(`MAINPID=(\d+)`).FindStringSubmatch(message)
	pid := atoi(t, m[1])
	defer func() { _ = syscall.Kill(pid, syscall.SIGKILL) }()
	if pid == p.Process.Pid {
		t.Errorf("MAINPID is the old process: %s", message)
	}
	if status, _ := fetch(t, client(t), url); status != http.StatusOK {
		t.Error(status)
	}
	if err := syscall.Kill(pid, syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	s.await(t, "STOPPING=1")
}

func TestUnitsPassSystemdsOwnCheck(t *testing.T) {
	analyze := need(t, "systemd-analyze")
	dir := t.TempDir()
	for _, name := range []string{"windhover.service", "windhover.socket"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(strings.ReplaceAll(deployFile(t, name), "/usr/local/bin/windhover", binary)), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	out, err := exec.Command(analyze, "verify", "--man=no", filepath.Join(dir, "windhover.service"), filepath.Join(dir, "windhover.socket")).CombinedOutput()
	if err != nil || strings.Contains(string(out), "windhover.s") {
		t.Errorf("%v\n%s", err, out)
	}
}
