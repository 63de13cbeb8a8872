//go:build unix

package listen_test

import (
	"errors"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/windhover-server/windhover/listen"
)

func TestUnixSocketLivesFromBindToClose(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	ls, err := bind(t, listen.BindOptions{}, "http://unix:"+path)
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := ls[0].Unwrap().(*net.UnixListener); !ok || ls[0].Address() != "http://unix:"+path {
		t.Errorf("a %T at %s", ls[0].Unwrap(), ls[0].Address())
	}
	exchange(t, ls[0], "unix", path)
	if _, err := bind(t, listen.BindOptions{}, "http://unix:"+path); !errors.Is(err, syscall.EADDRINUSE) {
		t.Errorf("binding a live socket: %v", err)
	}
	ls[0].Close()
	if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
		t.Error("the file is left:", err)
	}
}

func TestUnixSocketStaysWhenHandedOn(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	ls, err := bind(t, listen.BindOptions{}, "http://unix:"+path)
	if err != nil {
		t.Fatal(err)
	}
	ls[0].SetUnlinkOnClose(false)
	ls[0].Close()
	if _, err := os.Lstat(path); err != nil {
		t.Fatal(err)
	}
	// Nobody listens on it now: it is stale, and the next start replaces it.
	ls, err = bind(t, listen.BindOptions{}, "http://unix:"+path)
	if err != nil {
		t.Fatal(err)
	}
	exchange(t, ls[0], "unix", path)
}

func TestUnixSocketNeverReplacesOtherFiles(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	if err := os.WriteFile(path, []byte("data"), 0o600); err != nil {
		t.Fatal(err)
	}
	link := path + "link"
	if err := os.Symlink(path, link); err != nil {
		t.Fatal(err)
	}
	for _, p := range []string{path, link} {
		var be *listen.BindError
		if _, err := bind(t, listen.BindOptions{}, "http://unix:"+p); !errors.As(err, &be) || be.Remedy == "" {
			t.Errorf("error %v", err)
		}
	}
	if b, err := os.ReadFile(link); err != nil || string(b) != "data" {
		t.Errorf("the file is now %q, %v", b, err)
	}
}

func TestUnixSocketErrorsHaveRemedies(t *testing.T) {
	for _, path := range []string{
		filepath.Join(t.TempDir(), "missing", "s"),
		filepath.Join(t.TempDir(), strings.Repeat("x", 200)),
	} {
		var be *listen.BindError
		if _, err := bind(t, listen.BindOptions{}, "http://unix:"+path); !errors.As(err, &be) || be.Remedy == "" {
			t.Errorf("error %v", err)
		}
	}
}

func TestUnixModeAndOwner(t *testing.T) {
	gid := os.Getgid()
	for _, o := range []listen.BindOptions{
		{UnixMode: 0o600},
		{UnixMode: 0o666},
		{UnixMode: 0o660, UnixOwner: ":" + strconv.Itoa(gid)},
		{UnixMode: 0o660, UnixOwner: strconv.Itoa(os.Getuid())},
	} {
		path := filepath.Join(t.TempDir(), "s")
		if _, err := bind(t, o, "http://unix:"+path); err != nil {
			t.Fatal(err)
		}
		info, err := os.Lstat(path)
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode().Perm() != o.UnixMode {
			t.Errorf("mode %v, want %v", info.Mode().Perm(), o.UnixMode)
		}
		if st := info.Sys().(*syscall.Stat_t); int(st.Gid) != gid || int(st.Uid) != os.Getuid() {
			t.Errorf("owner %d:%d", st.Uid, st.Gid)
		}
	}
}

func TestUnixOwnerThatCannotBeHadIsExplained(t *testing.T) {
	if os.Getuid() == 0 {
		t.Skip("root may give files to anybody")
	}
	path := filepath.Join(t.TempDir(), "s")
	var be *listen.BindError
	if _, err := bind(t, listen.BindOptions{UnixOwner: "0"}, "http://unix:"+path); !errors.As(err, &be) || !strings.Contains(be.Remedy, `"0"`) {
		t.Errorf("error %v", err)
	}
	if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the socket is left: %v", err)
	}
}

func TestUnixOwnerIsChanged(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("only root may give files away")
	}
	path := filepath.Join(t.TempDir(), "s")
	if _, err := bind(t, listen.BindOptions{UnixMode: 0o640, UnixOwner: "65534:65533"}, "http://unix:"+path); err != nil {
		t.Fatal(err)
	}
	info, err := os.Lstat(path)
	if err != nil {
		t.Fatal(err)
	}
	if st := info.Sys().(*syscall.Stat_t); st.Uid != 65534 || st.Gid != 65533 || info.Mode().Perm() != 0o640 {
		t.Errorf("owner %d:%d, mode %v", st.Uid, st.Gid, info.Mode())
	}
}

func TestAbstractSocket(t *testing.T) {
	name := "@windhover-test-" + strconv.Itoa(os.Getpid())
	e := parse(t, "http://unix:"+name)
	ls, err := listen.Bind(t.Context(), []listen.Binding{{Endpoint: e, Options: listen.BindOptions{UnixMode: 0o600}}})
	if runtime.GOOS != "linux" {
		if !errors.Is(err, listen.ErrOption) {
			t.Errorf("error %v", err)
		}
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	defer ls[0].Close()
	exchange(t, ls[0], "unix", name)
	if ls[0].Address() != "http://unix:"+name {
		t.Errorf("address %s", ls[0].Address())
	}
	if _, err := listen.Bind(t.Context(), []listen.Binding{{Endpoint: e}}); !errors.Is(err, syscall.EADDRINUSE) {
		t.Errorf("binding it twice: %v", err)
	}
}

func TestReusePortSharesThePort(t *testing.T) {
	ls, err := bind(t, listen.BindOptions{ReusePort: true}, "http://127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	prefix := ls[0].Address()
	if _, err := bind(t, listen.BindOptions{}, prefix); !errors.Is(err, syscall.EADDRINUSE) {
		t.Errorf("beside the first without the option: %v", err)
	}
	if _, err := bind(t, listen.BindOptions{ReusePort: true}, prefix, prefix); err != nil {
		t.Error(err)
	}
}

// sockopt reads an option of a listener or connection.
func sockopt(t *testing.T, c syscall.Conn, level, name int) (value int) {
	t.Helper()
	rc, err := c.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	if ctl := rc.Control(func(fd uintptr) { value, err = syscall.GetsockoptInt(int(fd), level, name) }); ctl != nil || err != nil {
		t.Fatal(ctl, err)
	}
	return value
}

func TestNoDelay(t *testing.T) {
	for _, off := range []bool{false, true} {
		ls, err := bind(t, listen.BindOptions{DisableNoDelay: off}, "http://127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		c, err := net.Dial("tcp", ls[0].Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		s, err := ls[0].Accept()
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		if got := sockopt(t, s.(*net.TCPConn), syscall.IPPROTO_TCP, syscall.TCP_NODELAY); (got == 0) != off {
			t.Errorf("TCP_NODELAY is %d with DisableNoDelay %v", got, off)
		}
	}
}

func TestFromFileTakesListeningSocketsOnly(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	f, err := ln.(*net.TCPListener).File()
	if err != nil {
		t.Fatal(err)
	}
	got, err := listen.FromFile(f)
	if err != nil {
		t.Fatal(err)
	}
	defer got.Close()
	exchange(t, got, "tcp", ln.Addr().String())
	rc, err := got.(*net.TCPListener).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	_ = rc.Control(func(fd uintptr) {
		flags, _, errno := syscall.Syscall(syscall.SYS_FCNTL, fd, syscall.F_GETFD, 0)
		if errno != 0 || flags&syscall.FD_CLOEXEC == 0 {
			t.Errorf("child processes inherit it: flags %x, %v", flags, errno)
		}
	})

	udp, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer udp.Close()
	udpFile, err := udp.(*net.UDPConn).File()
	if err != nil {
		t.Fatal(err)
	}
	conn, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	connFile, err := conn.(*net.TCPConn).File()
	if err != nil {
		t.Fatal(err)
	}
	plain, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range []*os.File{udpFile, connFile, plain} {
		if ln, err := listen.FromFile(f); !errors.Is(err, listen.ErrNotListening) {
			t.Errorf("%s: %v, %v", f.Name(), ln, err)
		}
	}
}

func TestPrivilegedPortHasARemedy(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:1")
	if err == nil {
		ln.Close()
		t.Skip("this user may bind privileged ports")
	}
	var be *listen.BindError
	if _, err := bind(t, listen.BindOptions{}, "http://127.0.0.1:1"); !errors.Is(err, fs.ErrPermission) || !errors.As(err, &be) || be.Remedy == "" {
		t.Errorf("error %v", err)
	}
}

// Linux refuses a non-blocking connect to a Unix socket whose queue is full, so
// the queue can be counted.
func TestBacklogBoundsWaitingConnections(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("connect waits on other systems")
	}
	for _, backlog := range []int{1, 5} {
		path := filepath.Join(t.TempDir(), "s")
		if _, err := bind(t, listen.BindOptions{Backlog: backlog}, "http://unix:"+path); err != nil {
			t.Fatal(err)
		}
		waiting := 0
		for {
			c, err := net.Dial("unix", path)
			if err != nil {
				break
			}
			defer c.Close()
			if waiting++; waiting > backlog+1 { // the kernel takes one more
				t.Fatalf("backlog %d: %d connections wait", backlog, waiting)
			}
		}
		if waiting < backlog {
			t.Errorf("backlog %d: only %d connections may wait", backlog, waiting)
		}
	}
}
