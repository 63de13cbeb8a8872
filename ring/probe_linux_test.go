//go:build linux && !noring

package ring

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/windhover-server/windhover/ring/internal/uring"
)

func TestProbeNamesTheCauseInARestrictedProcess(t *testing.T) {
	for how, want := range map[string]Cause{
		"EPERM":  Denied,
		"ENOSYS": NoSystemCall,
		"ENOMEM": LockedMemory,
		"EMFILE": FileLimit,
	} {
		t.Run(how, func(t *testing.T) {
			cmd := exec.Command("/proc/self/exe", "-test.run=^$")
			cmd.Env = append(os.Environ(), childEnv+"="+how)
			out, err := cmd.CombinedOutput()
			if err != nil {
				t.Fatalf("%v: %s", err, out)
			}
			lines := strings.SplitN(string(out), "\n", 3)
			if len(lines) < 3 || lines[0] != fmt.Sprint(int(want)) || lines[1] != fmt.Sprint(int(want)) {
				t.Fatalf("want cause %d (%v) from Probe and New, got %s", want, want, out)
			}
			if !strings.Contains(lines[2], want.String()) {
				t.Fatalf("New's error does not name the cause: %s", lines[2])
			}
		})
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
