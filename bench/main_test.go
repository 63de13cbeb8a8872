package main

import (
	"bytes"
	"context"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/windhover-server/windhover/bench/internal/content"
	"github.com/windhover-server/windhover/bench/internal/proc"
	"github.com/windhover-server/windhover/bench/internal/report"
	"github.com/windhover-server/windhover/bench/internal/runner"
	"github.com/windhover-server/windhover/bench/internal/scenario"
	"github.com/windhover-server/windhover/bench/internal/servers"
)

// TestMain lets the test's own program serve, as the program's does.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "serve" {
		main()
	}
	os.Exit(m.Run())
}

// startServer runs a server in a process of its own.
func startServer(t *testing.T, s *servers.Server, cpu int, args ...string) *proc.Process {
	self, err := runner.Self()
	if err != nil {
		t.Fatal(err)
	}
	p, err := proc.Start(t.Context(), proc.Options{CPU: cpu,
		Command: append(append(self, "serve", "-server", s.Name, "-addr", "127.0.0.1:0", "-exit-with-stdin"), args...)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Stop)
	return p
}

// TestEveryServerAnswersEveryScenario checks the whole answer of each server
// to each request that the benchmark sends it.
func TestEveryServerAnswersEveryScenario(t *testing.T) {
	assets := t.TempDir()
	if err := content.WriteAssets(assets); err != nil {
		t.Fatal(err)
	}
	for _, s := range servers.All() {
		t.Run(s.Name, func(t *testing.T) {
			t.Parallel()
			if err := s.Available(); err != nil {
				t.Skip(err)
			}
			plain := startServer(t, s, -1, "-assets", assets)
			var secure *proc.Process
			if s.Features&servers.TLS != 0 {
				secure = startServer(t, s, -1, "-assets", assets, "-tls")
			}
			for _, sc := range scenario.All() {
				if s.Features&sc.Needs != sc.Needs {
					continue
				}
				p := plain
				if sc.TLS {
					p = secure
				}
				if err := sc.Check(t.Context(), p.Addr); err != nil {
					t.Errorf("%s: %v", sc.Name, err)
				}
			}
			if s.Features&servers.Burn != 0 {
				burn := scenario.Scenario{Request: scenario.BurnRequest(3)}
				if err := burn.Check(t.Context(), plain.Addr); err != nil {
					t.Error(err)
				}
			}
		})
	}
}

func TestCheckSeesWrongAnswers(t *testing.T) {
	s, err := servers.Find("nethttp", "")
	if err != nil {
		t.Fatal(err)
	}
	p := startServer(t, s, -1)
	for name, spoil := range map[string]func(*scenario.Request){
		"status": func(r *scenario.Request) { r.Status = 204 },
		"length": func(r *scenario.Request) { r.Length++ },
		"type":   func(r *scenario.Request) { r.Type = "text/html" },
		"body":   func(r *scenario.Request) { r.Content = []byte("Hello, world!") },
	} {
		sc := scenario.All()[0]
		spoil(&sc.Request)
		if sc.Check(t.Context(), p.Addr) == nil {
			t.Errorf("a wrong %s passes", name)
		}
	}
}

// capture runs the program with its output taken.
func capture(t *testing.T, ctx context.Context, args ...string) (code int, stdout, stderr string) {
	dir := t.TempDir()
	var files [2]*os.File
	for i, name := range []string{"out", "err"} {
		f, err := os.Create(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		files[i] = f
	}
	oldOut, oldErr := os.Stdout, os.Stderr
	os.Stdout, os.Stderr = files[0], files[1]
	code = run(ctx, append([]string{"bench"}, args...))
	os.Stdout, os.Stderr = oldOut, oldErr
	var text [2]string
	for i, f := range files {
		if _, err := f.Seek(0, io.SeekStart); err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(f)
		if err != nil {
			t.Fatal(err)
		}
		text[i] = string(b)
	}
	return code, text[0], text[1]
}

func TestRunWritesTheReport(t *testing.T) {
	out := filepath.Join(t.TempDir(), "report")
	code, stdout, stderr := capture(t, t.Context(), "run", "-smoke", "-servers", "nethttp,floor,windhover-portable-*",
		"-scenarios", "plaintext-c64,upload-16m,idle,beside-burners", "-duration", "20ms", "-out", out)
	if code != 0 {
		t.Fatalf("exit code %d\n%s%s", code, stdout, stderr)
	}
	rep, err := report.ReadJSON(filepath.Join(out, "report.json"))
	if err != nil {
		t.Fatal(err)
	}
	measured := 0
	for _, c := range rep.Cells {
		if len(c.Samples) > 0 {
			measured++
		}
		for _, s := range c.Samples {
			if s.IdleConns == 0 && (s.Requests <= 0 || s.Rate <= 0) {
				t.Errorf("%s, %s: %+v", c.Scenario, c.Server, s)
			}
			if runtime.GOOS == "linux" && s.RSS == 0 {
				t.Errorf("%s, %s: no memory", c.Scenario, c.Server)
			}
		}
	}
	// Four scenarios for three servers; plaintext and idle for the floor.
	if measured != 4*3+2 {
		t.Errorf("%d cells have samples", measured)
	}
	for _, name := range []string{"index.html", "report.md"} {
		if b, err := os.ReadFile(filepath.Join(out, name)); err != nil || !bytes.Contains(b, []byte("beside-burners")) {
			t.Errorf("%s: %d bytes, %v", name, len(b), err)
		}
	}
	file := filepath.Join(out, "report.json")
	code, stdout, stderr = capture(t, t.Context(), "compare", file, file)
	if code != 0 || !strings.Contains(stdout, "plaintext-c64") {
		t.Errorf("compare: exit code %d\n%s%s", code, stdout, stderr)
	}
}

func TestInterruptedRunLeavesNothing(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	code, stdout, stderr := capture(t, ctx, "run", "-servers", "nethttp,fasthttp", "-scenarios", "plaintext-c64", "-duration", "1h",
		"-out", t.TempDir())
	if code != exitFailed {
		t.Errorf("exit code %d\n%s%s", code, stdout, stderr)
	}
	tasks, err := filepath.Glob("/proc/self/task/*/children")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range tasks {
		if b, err := os.ReadFile(name); err == nil && len(bytes.TrimSpace(b)) > 0 {
			t.Errorf("processes are left: %s", b)
		}
	}
}

func TestWrongUsageExitsWithTwoAndOneLine(t *testing.T) {
	old := filepath.Join(t.TempDir(), "old.json")
	if err := os.WriteFile(old, []byte(`{"schema": 99}`), 0o644); err != nil {
		t.Fatal(err)
	}
	cases := []struct {
		args string
		says string
	}{
		{"measure", "use run, serve, compare or list"},
		{"run extra", `no argument "extra"`},
		{"run -sevrers nethttp", "see bench run -help"},
		{"run -servers apache", "see the command list"},
		{"run -scenarios nothing*", "see the command list"},
		{"run -scenarios [", "malformed"},
		{"run -quick -smoke", "not both"},
		{"run -rounds 0", "at least 1"},
		{"run -duration 1ms", "at least 10ms"},
		{"run -duration long", "see bench run -help"},
		{"run -rate -5", "positive"},
		{"run -baseline apache", "see the command list"},
		{"serve", "use one of windhover,"},
		{"serve -server apache", "use one of windhover,"},
		{"serve -server nethttp -transport ring", "-transport is for"},
		{"serve -server windhover -transport epoll", "use ring or portable"},
		{"serve -server floor -tls", "leave -tls out"},
		{"serve -server nethttp -addr 8080", "HOST:PORT"},
		{"compare one.json", "OLD.json NEW.json"},
		{"compare no.json such.json", "no.json"},
		{"compare " + old + " " + old, "measure again"},
		{"list all", `no argument "all"`},
	}
	for _, c := range cases {
		code, stdout, stderr := capture(t, t.Context(), strings.Fields(c.args)...)
		if code != exitUsage || !strings.Contains(stderr, c.says) || strings.Count(stderr, "\n") != 1 || stdout != "" {
			t.Errorf("%s: exit code %d\nstdout: %s\nstderr: %s", c.args, code, stdout, stderr)
		}
	}
}

func TestPick(t *testing.T) {
	all := []string{"nethttp", "nginx", "floor"}
	name := func(s string) string { return s }
	for list, want := range map[string]string{"": "nethttp nginx floor", "n*": "nethttp nginx", "floor, nginx": "nginx floor"} {
		got, err := pick("server", list, all, name)
		if err != nil || strings.Join(got, " ") != want {
			t.Errorf("%q: %v, %v", list, got, err)
		}
	}
}
