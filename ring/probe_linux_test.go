//go:build linux && !noring

package ring

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/windhover-server/windhover/internal/refuse"
	"github.com/windhover-server/windhover/ring/internal/uring"
)

func TestProbeNamesTheCauseInARestrictedProcess(t *testing.T) {
	for _, c := range []struct {
		name  string
		errno unix.Errno
		calls []uintptr
		want  Cause
	}{
		{"seccomp, as container runtimes set it", unix.EPERM, []uintptr{unix.SYS_IO_URING_SETUP, unix.SYS_IO_URING_ENTER, unix.SYS_IO_URING_REGISTER}, Denied},
		{"seccomp, setup only", unix.EPERM, []uintptr{unix.SYS_IO_URING_SETUP}, Denied},
		{"seccomp, submission only", unix.EPERM, []uintptr{unix.SYS_IO_URING_ENTER}, Denied},
		{"seccomp, registration only", unix.EPERM, []uintptr{unix.SYS_IO_URING_REGISTER}, Denied},
		{"security module", unix.EACCES, []uintptr{unix.SYS_IO_URING_SETUP}, Denied},
		{"no such system call", unix.ENOSYS, []uintptr{unix.SYS_IO_URING_SETUP}, NoSystemCall},
		{"too old", unix.EINVAL, []uintptr{unix.SYS_IO_URING_SETUP}, TooOld},
		{"locked memory", unix.ENOMEM, []uintptr{unix.SYS_IO_URING_SETUP}, LockedMemory},
		{"file limit", 0, nil, FileLimit},
	} {
		t.Run(c.name, func(t *testing.T) {
			cmd := exec.Command("/proc/self/exe", "-test.run=^$")
			if c.errno == 0 {
				cmd.Env = append(os.Environ(), childEnv+"=EMFILE")
			} else {
				cmd.Env = append(os.Environ(), childEnv+"=probe")
				refuse.Command(cmd, c.errno, c.calls...)
			}
			out, err := cmd.CombinedOutput()
			if err != nil {
				t.Fatalf("%v: %s", err, out)
			}
			lines := strings.SplitN(string(out), "\n", 3)
			if len(lines) < 3 || lines[0] != fmt.Sprint(int(c.want)) || lines[1] != fmt.Sprint(int(c.want)) {
				t.Fatalf("want cause %d (%v) from Probe and New, got %s", c.want, c.want, out)
			}
			if !strings.Contains(lines[2], c.want.String()) {
				t.Fatalf("New's error does not name the cause: %s", lines[2])
			}
		})
	}
}

// What is found is told, and for what is missing, what that costs: a ring made
// without the optional flags stands for a kernel that does not know them.
func TestReportTellsWhatIsMissingAndWhatItCosts(t *testing.T) {
	h := thisHost
	h.setup = func(c uring.Config) (*uring.Ring, error) {
		c.Want = 0
		return uring.New(c)
	}
	r := probe(h)
	if !r.Usable() {
		t.Skipf("no io_uring here: %v", r.Err)
	}
	text := r.String()
	if !strings.HasPrefix(text, "kernel: "+thisHost.release()+"\nio_uring: usable\n") {
		t.Errorf("report begins %q", text)
	}
	lacking := map[string]bool{}
	for _, f := range r.Features {
		line := fmt.Sprintf("  have  %s (since %s)\n", f.Name, f.Since)
		if !f.Found {
			lacking[f.Name] = true
			line = fmt.Sprintf("  lack  %s (since %s): %s\n", f.Name, f.Since, f.Cost)
		}
		if strings.Count(text, line) != 1 {
			t.Errorf("no line %q in\n%s", line, text)
		}
	}
	for _, name := range []string{"cooperative task running", "submission goes on after an error", "submission queue without index"} {
		if !lacking[name] {
			t.Errorf("%s is reported as found on a ring without it:\n%s", name, text)
		}
	}
}

func TestReportNamesTheNeededFeatureThatIsMissing(t *testing.T) {
	r := &Report{Cause: TooOld, Features: []Feature{{Name: "buffer rings", Since: "5.19", Need: true}}}
	if s := r.String(); !strings.Contains(s, "LACK  buffer rings (since 5.19): needed\n") {
		t.Errorf("report %q", s)
	}
}

func TestProbeNamesTheCauseOfAFakedHost(t *testing.T) {
	refuse := func(err error) func(uring.Config) (*uring.Ring, error) {
		return func(uring.Config) (*uring.Ring, error) { return nil, os.NewSyscallError("io_uring_setup", err) }
	}
	for _, c := range []struct {
		name     string
		err      error
		disabled string
		want     Cause
	}{
		{"sysctl for everybody", unix.EPERM, "2", Disabled},
		{"sysctl outside the group", unix.EPERM, "1", Disabled},
		{"seccomp", unix.EPERM, "0", Denied},
		{"seccomp before the sysctl existed", unix.EPERM, "", Denied},
		{"security module", unix.EACCES, "0", Denied},
		{"no such call", unix.ENOSYS, "", NoSystemCall},
		{"flags unknown", unix.EINVAL, "", TooOld},
		{"locked memory", unix.ENOMEM, "", LockedMemory},
		{"process files", unix.EMFILE, "", FileLimit},
		{"system files", unix.ENFILE, "", FileLimit},
		{"anything else", unix.EIO, "", Failed},
	} {
		h := host{
			release:  func() string { return "5.4.0" },
			setup:    refuse(c.err),
			disabled: func() string { return c.disabled },
		}
		r := probe(h)
		if r.Cause != c.want || r.Usable() || r.Err == nil {
			t.Errorf("%s: cause %v (%v), want %v", c.name, r.Cause, r.Err, c.want)
		}
		if s := r.String(); !strings.Contains(s, "5.4.0") || !strings.Contains(s, c.want.String()) {
			t.Errorf("%s: report %q names neither kernel nor cause", c.name, s)
		}
	}
}

func TestProbeHere(t *testing.T) {
	r := Probe()
	if !r.Usable() {
		t.Skipf("no io_uring here: %v", r.Err)
	}
	for _, f := range r.Features {
		if f.Need && !f.Found {
			t.Errorf("usable without %s", f.Name)
		}
		if !f.Need && f.Cost == "" {
			t.Errorf("%s: no word on what its absence costs", f.Name)
		}
	}
}

func TestNewRefusesRingCountsOutOfRange(t *testing.T) {
	for _, n := range []int{-1, maxRings + 1} {
		if _, err := New(Options{Rings: n}); err == nil {
			t.Errorf("%d rings were made", n)
		}
	}
}
