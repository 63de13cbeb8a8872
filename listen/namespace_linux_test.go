package listen_test

import (
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/windhover-server/windhover/listen"
)

// networkEnv makes the test binary, started in a network namespace of its own,
// run a test there.
const networkEnv = "LISTEN_TEST_NETWORK"

// apart runs the calling test again as the given user of a user and network
// namespace of its own; user 0 may do there what root may. inside reports
// whether this is that run.
func apart(t *testing.T, uid int) (inside bool) {
	t.Helper()
	if os.Getenv(networkEnv) != "" {
		return true
	}
	cmd := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v")
	cmd.Env = append(os.Environ(), networkEnv+"=1")
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWUSER | syscall.CLONE_NEWNET,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: uid, HostID: os.Getuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: uid, HostID: os.Getgid(), Size: 1}},
	}
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Skip("no network namespaces here:", err)
	}
	if err != nil || !strings.Contains(string(out), "--- PASS") {
		t.Errorf("%v\n%s", err, out)
	}
	return false
}

// upWithoutIPv6 switches the loopback interface on, with IPv4 only.
func upWithoutIPv6() error {
	if err := os.WriteFile("/proc/sys/net/ipv6/conf/all/disable_ipv6", []byte("1"), 0); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	ifr, err := unix.NewIfreq("lo")
	if err != nil {
		return err
	}
	ifr.SetUint16(unix.IFF_UP)
	return unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, ifr)
}

func TestLocalhostWithoutIPv6IsAWarning(t *testing.T) {
	if !apart(t, 0) {
		return
	}
	if err := upWithoutIPv6(); err != nil {
		t.Fatal(err)
	}
	ls, err := bind(t, listen.BindOptions{}, "http://localhost:5000", "http://*:5001")
	if err != nil {
		t.Fatal(err)
	}
	if got := listen.Addresses(ls); len(ls) != 2 || got[0] != "http://localhost:5000" {
		t.Errorf("%q", got)
	}
	var warnings []string
	for _, l := range ls {
		warnings = slices.Concat(warnings, l.Warnings())
	}
	const want = "http://localhost:5000: IPv6 loopback is not available: cannot assign requested address"
	if !slices.Equal(warnings, []string{want}) {
		t.Errorf("warnings: %q", warnings)
	}
	var be *listen.BindError
	if _, err := bind(t, listen.BindOptions{}, "http://[::1]:5002"); !errors.As(err, &be) || !strings.Contains(be.Remedy, "does not have the address") {
		t.Errorf("[::1]: %v", err)
	}
}

func TestPrivilegedPortsAreExplained(t *testing.T) {
	if !apart(t, 1000) {
		return
	}
	for _, prefix := range []string{"http://127.0.0.1:81", "http://localhost:81", "https://*:443", "http://[::1]:81"} {
		_, err := bind(t, listen.BindOptions{}, prefix)
		var be *listen.BindError
		if !errors.As(err, &be) || be.Prefix != prefix || !errors.Is(err, fs.ErrPermission) || !strings.Contains(be.Remedy, "setcap cap_net_bind_service") {
			t.Errorf("%s: %v", prefix, err)
			continue
		}
		causes, both := be.Err.(interface{ Unwrap() []error })
		if want := strings.Contains(prefix, "localhost"); both != want || both && len(causes.Unwrap()) != 2 {
			t.Errorf("%s: causes %v", prefix, be.Err)
		}
	}
}
