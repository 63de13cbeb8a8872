package main_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// binary is the program, built once.
var binary string

// patience bounds every wait of these tests; nothing is expected to come near.
const patience = 30 * time.Second

func TestMain(m *testing.M) { os.Exit(testMain(m)) }

func testMain(m *testing.M) int {
	dir, err := os.MkdirTemp("", "windhover-e2e-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	binary = filepath.Join(dir, "windhover")
	if out, err := exec.Command("go", "build", "-o", binary, ".").CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "building: %v\n%s", err, out)
		return 1
	}
	return m.Run()
}

// transcript keeps what a process prints and lets tests wait for a part of it.
type transcript struct {
	mu   sync.Mutex
	more *sync.Cond
	buf  bytes.Buffer
	end  bool
}

func newTranscript() *transcript {
	tr := &transcript{}
	tr.more = sync.NewCond(&tr.mu)
	return tr
}

func (tr *transcript) Write(p []byte) (int, error) {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	defer tr.more.Broadcast()
	return tr.buf.Write(p)
}

func (tr *transcript) String() string {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	return tr.buf.String()
}

func (tr *transcript) close() {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	tr.end = true
	tr.more.Broadcast()
}

// await waits until the transcript holds want n times.
func (tr *transcript) await(want string, n int) bool {
	timeout := time.AfterFunc(patience, tr.close)
	defer timeout.Stop()
	tr.mu.Lock()
	defer tr.mu.Unlock()
	for strings.Count(tr.buf.String(), want) < n {
		if tr.end {
			return false
		}
		tr.more.Wait()
	}
	return true
}

// process is a running program.
type process struct {
	*exec.Cmd
	t              *testing.T
	stdout, stderr *transcript
	exited         chan struct{}
}

// cleanEnv is this environment without the program's settings.
func cleanEnv(extra ...string) []string {
	env := slices.DeleteFunc(os.Environ(), func(kv string) bool {
		return strings.HasPrefix(kv, "WINDHOVER_") || strings.HasPrefix(kv, "LISTEN_") || strings.HasPrefix(kv, "NOTIFY_SOCKET")
	})
	return append(env, extra...)
}

// spawn starts cmd and has it killed when the test ends.
func spawn(t *testing.T, cmd *exec.Cmd) *process {
	t.Helper()
	p := &process{Cmd: cmd, t: t, stdout: newTranscript(), stderr: newTranscript(), exited: make(chan struct{})}
	if cmd.Env == nil {
		cmd.Env = cleanEnv()
	}
	cmd.Stdout, cmd.Stderr = p.stdout, p.stderr
	// A successor inherits the pipes; what it prints after the end is of no
	// interest to Wait.
	cmd.WaitDelay = time.Second
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		_ = cmd.Wait() // ProcessState has the outcome
		p.stdout.close()
		p.stderr.close()
		close(p.exited)
	}()
	t.Cleanup(func() {
		_ = cmd.Process.Kill() // it has ended in most tests
		<-p.exited
		if t.Failed() {
			t.Logf("%s\nstdout:\n%s\nstderr:\n%s", strings.Join(cmd.Args, " "), tail(p.stdout), tail(p.stderr))
		}
	})
	return p
}

// tail is the end of a transcript, which is where the trouble is.
func tail(tr *transcript) string {
	s := tr.String()
	return s[max(0, len(s)-3000):]
}

// windhover starts the program and waits until it serves.
func windhover(t *testing.T, args ...string) *process {
	t.Helper()
	p := spawn(t, exec.Command(binary, args...))
	p.awaitStart()
	return p
}

const startedLine = "Application started. Press Ctrl+C to shut down.\n"

func (p *process) awaitStart() {
	p.t.Helper()
	if !p.stdout.await(startedLine, 1) {
		p.t.Fatalf("%s did not start", p.Args)
	}
}

// addresses are those that the program has reported.
func (p *process) addresses() (out []string) {
	for line := range strings.Lines(p.stdout.String()) {
		if a, ok := strings.CutPrefix(strings.TrimSpace(line), "Now listening on: "); ok {
			out = append(out, a)
		}
	}
	return out
}

func (p *process) url() string {
	p.t.Helper()
	a := p.addresses()
	if len(a) == 0 {
		p.t.Fatal("no address was reported")
	}
	return a[0]
}

// admin is the address of the admin endpoint.
func (p *process) admin() string {
	p.t.Helper()
	_, rest, ok := strings.Cut(p.stdout.String(), "Admin endpoint: ")
	address, _, _ := strings.Cut(rest, "\n")
	if !ok {
		p.t.Fatal("no admin endpoint was reported")
	}
	return address
}

func (p *process) signal(s os.Signal) {
	p.t.Helper()
	if err := p.Process.Signal(s); err != nil {
		p.t.Fatal(err)
	}
}

// wait returns the exit status.
func (p *process) wait() int {
	p.t.Helper()
	select {
	case <-p.exited:
		return p.ProcessState.ExitCode()
	case <-time.After(patience):
		p.t.Fatal("the process does not end")
		return -1
	}
}

// stop ends the program as an operator would.
func (p *process) stop() {
	p.t.Helper()
	p.signal(syscall.SIGTERM)
	if status := p.wait(); status != 0 {
		p.t.Errorf("exit status %d", status)
	}
}

// once runs the program to its end.
func once(t *testing.T, env []string, args ...string) (status int, stdout, stderr string) {
	t.Helper()
	cmd := exec.Command(binary, args...)
	cmd.Env = cleanEnv(env...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	timeout := time.AfterFunc(patience, func() { _ = cmd.Process.Kill() })
	defer timeout.Stop()
	err := cmd.Wait()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return cmd.ProcessState.ExitCode(), out.String(), errs.String()
}

// client is an http.Client with connections of its own.
func client(t *testing.T) *http.Client {
	tr := &http.Transport{}
	t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr, Timeout: patience}
}

func fetch(t *testing.T, c *http.Client, url string) (int, string) {
	t.Helper()
	res, err := c.Get(url)
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

// write makes a file below a new directory and returns the directory.
func write(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, content := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// freePort returns a port that was free a moment ago, for peers that cannot
// choose one themselves.
func freePort(t *testing.T) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	_, port, err := net.SplitHostPort(ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	return port
}

// need skips the test when a program is not installed.
func need(t *testing.T, program string) string {
	t.Helper()
	path, err := exec.LookPath(program)
	if err != nil {
		t.Skipf("%s is not installed", program)
	}
	return path
}

// onEachTransport runs f with the flag that selects the transport.
func onEachTransport(t *testing.T, f func(t *testing.T, flag string)) {
	t.Helper()
	for _, name := range []string{"portable", "ring"} {
		t.Run(name, func(t *testing.T) {
			flag := "--transport=" + name
			if status, _, stderr := once(t, nil, "doctor", flag); status != 0 {
				t.Skip(stderr)
			}
			f(t, flag)
		})
	}
}

// eventually asks until something outside of this process has come true.
func eventually(f func() bool) bool {
	ticker := time.NewTicker(5 * time.Millisecond)
	defer ticker.Stop()
	timeout := time.After(patience)
	for !f() {
		select {
		case <-ticker.C:
		case <-timeout:
			return false
		}
	}
	return true
}
