//go:build linux

package proc

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestParseStatSurvivesOddNames(t *testing.T) {
	for _, name := range []string{"bench", "a b", "a) S 1 (", "x)"} {
		stat := "42 (" + name + ") S 1 42 42 0 -1 4194304 100 0 0 0 17 5 0 0 20 0 9 0 1000 0 0\n"
		user, system, err := parseStat([]byte(stat))
		if err != nil || user != 170*time.Millisecond || system != 50*time.Millisecond {
			t.Errorf("%q: %v, %v, %v", name, user, system, err)
		}
	}
	for _, bad := range []string{"", "42 (x) S 1", "42 (x) S 1 2 3 4 5 6 7 8 9 10 x y 1"} {
		if _, _, err := parseStat([]byte(bad)); err == nil {
			t.Errorf("%q: accepted", bad)
		}
	}
}

func TestUsageOfThisProcess(t *testing.T) {
	before, err := processUsage(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	self := SelfUsage()
	for SelfUsage()-self < 50*time.Millisecond {
		runtime.KeepAlive(make([]byte, 4096))
	}
	after, err := processUsage(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	if u := after.Sub(before); u.Total < 50*time.Millisecond {
		t.Errorf("50 ms of work count as %v", u.Total)
	}
	if rss, err := processRSS(os.Getpid()); err != nil || rss < 1<<20 {
		t.Errorf("%d bytes resident, %v", rss, err)
	}
}

// shell starts a shell script as a server.
func shell(t *testing.T, script string, cpu int) (*Process, error) {
	return Start(t.Context(), Options{Command: []string{"sh", "-c", script}, CPU: cpu})
}

func TestServerIsPinnedAndStopped(t *testing.T) {
	cpus := CPUs()
	last := cpus[len(cpus)-1]
	p, err := shell(t, "echo 'Now listening on: http://127.0.0.1:80'; exec sleep 100", last)
	if err != nil {
		t.Fatal(err)
	}
	var set unix.CPUSet
	if err := unix.SchedGetaffinity(p.Pid, &set); err != nil || set.Count() != 1 || !set.IsSet(last) {
		t.Errorf("the server may use %d processors, %v", set.Count(), err)
	}
	if n := len(CPUs()); n != len(cpus) {
		t.Errorf("this thread may use %d processors instead of %d afterwards", n, len(cpus))
	}
	if p.Addr != "127.0.0.1:80" || p.Failed() != nil {
		t.Errorf("address %q, %v", p.Addr, p.Failed())
	}
	p.Stop()
	if err := unix.Kill(p.Pid, 0); !errors.Is(err, unix.ESRCH) {
		t.Errorf("process %d is still there: %v", p.Pid, err)
	}
}

func TestUsageCountsWhatAWrapperStarted(t *testing.T) {
	ready := filepath.Join(t.TempDir(), "pid")
	p, err := shell(t, "sleep 100 & echo $! >"+ready+"; echo 'Now listening on: http://127.0.0.1:80'; wait; :", -1)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Stop()
	b, err := os.ReadFile(ready)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat("/proc/self/task/" + strconv.Itoa(unix.Gettid()) + "/children"); err != nil {
		t.Skip("this kernel does not tell children")
	}
	pids := family(p.Pid)
	if want := strings.TrimSpace(string(b)); len(pids) != 1 || strconv.Itoa(pids[0]) != want {
		t.Fatalf("family %v of %d, want %s", pids, p.Pid, want)
	}
	if _, err := p.Usage(); err != nil {
		t.Error(err)
	}
	if err := unix.Kill(pids[0], unix.SIGTERM); err != nil {
		t.Error(err)
	}
}

func TestServerThatEndsSaysWhy(t *testing.T) {
	_, err := shell(t, "echo 'address already in use' >&2; exit 3", -1)
	if err == nil || !strings.Contains(err.Error(), "address already in use") || !strings.Contains(err.Error(), "exit status 3") {
		t.Errorf("error %v", err)
	}
}

func TestStartHeedsItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := Start(ctx, Options{Command: []string{"sleep", "100"}, CPU: -1})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
}
