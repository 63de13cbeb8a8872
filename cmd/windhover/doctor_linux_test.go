//go:build !noring

package main_test

import (
	"bytes"
	"errors"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/windhover-server/windhover/internal/refuse"
	"github.com/windhover-server/windhover/ring"
)

// diagnose runs doctor where the kernel answers call with errno; 0 refuses
// nothing.
func diagnose(t *testing.T, errno syscall.Errno, call uintptr, args ...string) (status int, stdout, stderr string) {
	t.Helper()
	cmd := exec.Command(binary, append([]string{"doctor"}, args...)...)
	cmd.Env = cleanEnv()
	if errno != 0 {
		refuse.Command(cmd, errno, call)
	}
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	var exit *exec.ExitError
	if err := cmd.Run(); err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return cmd.ProcessState.ExitCode(), out.String(), errs.String()
}

// The cause is named by kernel and reason, and only who has asked for the ring
// is failed.
func TestDoctorNamesTheCause(t *testing.T) {
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		t.Fatal(err)
	}
	kernel := "kernel: " + unix.ByteSliceToString(u.Release[:]) + "\n"
	for _, c := range []struct {
		name  string
		errno syscall.Errno
		call  uintptr
		cause ring.Cause
	}{
		{"seccomp", unix.EPERM, unix.SYS_IO_URING_SETUP, ring.Denied},
		{"seccomp, late", unix.EPERM, unix.SYS_IO_URING_ENTER, ring.Denied},
		{"no such call", unix.ENOSYS, unix.SYS_IO_URING_SETUP, ring.NoSystemCall},
		{"too old", unix.EINVAL, unix.SYS_IO_URING_SETUP, ring.TooOld},
		{"locked memory", unix.ENOMEM, unix.SYS_IO_URING_SETUP, ring.LockedMemory},
		{"files", unix.EMFILE, unix.SYS_IO_URING_SETUP, ring.FileLimit},
	} {
		t.Run(c.name, func(t *testing.T) {
			for _, asked := range []struct {
				args      []string
				transport string
				status    int
			}{
				{nil, "transport: portable (io_uring is " + c.cause.String() + ")\n", 0},
				{[]string{"--transport", "portable"}, "transport: portable (asked for)\n", 0},
				{[]string{"--transport", "ring"}, "transport: none (ring was asked for and cannot be used)\n", 1},
			} {
				status, stdout, stderr := diagnose(t, c.errno, c.call, asked.args...)
				if status != asked.status {
					t.Errorf("%v: exit status %d", asked.args, status)
				}
				for _, want := range []string{kernel, asked.transport, "io_uring: " + c.cause.String() + "\n"} {
					if !strings.Contains(stdout, want) {
						t.Errorf("%v: no %q in\n%s", asked.args, want, stdout)
					}
				}
				if wantErr := asked.status != 0; strings.Contains(stderr, "but io_uring is "+c.cause.String()) != wantErr {
					t.Errorf("%v: stderr %q", asked.args, stderr)
				}
			}
		})
	}
}

// Where io_uring works, each feature is listed with the kernel that brought it,
// and for one that is missing, what that costs.
func TestDoctorListsFeatures(t *testing.T) {
	report := ring.Probe()
	if !report.Usable() {
		t.Skip("no io_uring here:", report.Err)
	}
	status, stdout, stderr := diagnose(t, 0, 0)
	if status != 0 || stderr != "" {
		t.Errorf("exit status %d, %s", status, stderr)
	}
	if !strings.Contains(stdout, "transport: ring (io_uring works here)\nkernel: "+report.Kernel+"\nio_uring: usable\n") {
		t.Errorf("stdout:\n%s", stdout)
	}
	for _, f := range report.Features {
		want := "  have  " + f.Name + " (since " + f.Since + ")\n"
		if !f.Found {
			want = "  lack  " + f.Name + " (since " + f.Since + "): " + f.Cost + "\n"
		}
		if !strings.Contains(stdout, want) {
			t.Errorf("no %q in\n%s", want, stdout)
		}
	}
}
