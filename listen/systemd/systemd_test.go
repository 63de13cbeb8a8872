//go:build unix

package systemd

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/windhover-server/windhover/listen"
)

const childVariable = "WINDHOVER_TEST_CHILD"

// TestMain is also the service that the tests start: it knows its process id
// only when it runs, so it sets LISTEN_PID itself.
func TestMain(m *testing.M) {
	mode := os.Getenv(childVariable)
	if mode == "" {
		os.Exit(m.Run())
	}
	if mode == "mine" {
		os.Setenv(pidVariable, strconv.Itoa(os.Getpid()))
	}
	sockets, err := Inherit()
	if err != nil {
		fmt.Println("error:", err)
		os.Exit(0)
	}
	for _, s := range sockets {
		fmt.Println(s.Name, s.Listener.Addr())
	}
	for _, v := range os.Environ() {
		if strings.HasPrefix(v, "LISTEN_") {
			fmt.Println("left:", v)
		}
	}
	again, err := Inherit()
	if err != nil || len(again) != 0 {
		fmt.Println("inherited twice:", again, err)
	}
	// The grandchild has the descriptors it would inherit.
	out, err := exec.Command("/bin/sh", "-c", `for fd in 3 4; do if (: <&$fd) 2>/dev/null; then echo "leaked $fd"; fi; done`).CombinedOutput()
	fmt.Print(string(out))
	if err != nil {
		fmt.Println("sh:", err)
	}
	os.Exit(0)
}

// service runs the child with files as descriptors 3 and up.
func service(t *testing.T, mode string, env []string, files ...*os.File) string {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(append(os.Environ(), childVariable+"="+mode), env...)
	cmd.ExtraFiles = files
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return string(out)
}

func file(t *testing.T, c interface{ File() (*os.File, error) }) *os.File {
	t.Helper()
	f, err := c.File()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

func tcp(t *testing.T) *net.TCPListener {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	return ln.(*net.TCPListener)
}

func TestInheritTakesSocketsOnceAndHidesThem(t *testing.T) {
	a := tcp(t)
	path := filepath.Join(t.TempDir(), "s")
	b, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	got := service(t, "mine", []string{"LISTEN_FDS=2", "LISTEN_FDNAMES=web:sock", "LISTEN_PIDFDID=1"}, file(t, a), file(t, b.(*net.UnixListener)))
	if want := fmt.Sprintf("web %s\nsock %s\n", a.Addr(), path); got != want {
		t.Errorf("the service says\n%swant\n%s", got, want)
	}
}

func TestInheritWithoutNamesOrCount(t *testing.T) {
	a := tcp(t)
	if got, want := service(t, "mine", nil, file(t, a)), fmt.Sprintf(" %s\n", a.Addr()); got != want {
		t.Errorf("the service says %q, want %q", got, want)
	}
}

func TestInheritLeavesOthersVariablesAlone(t *testing.T) {
	got := service(t, "other", []string{"LISTEN_PID=1", "LISTEN_FDS=1"}, file(t, tcp(t)))
	if !strings.HasPrefix(got, "left: LISTEN_PID=1\nleft: LISTEN_FDS=1\n") {
		t.Errorf("the service says %q", got)
	}
}

func TestInheritRefusesWhatDoesNotListen(t *testing.T) {
	udp, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer udp.Close()
	for name, c := range map[string]struct {
		env   string
		files []*os.File
		want  string
	}{
		"datagram":  {"LISTEN_FDS=1", []*os.File{file(t, udp.(*net.UDPConn))}, listen.ErrNotListening.Error()},
		"missing":   {"LISTEN_FDS=2", []*os.File{file(t, tcp(t))}, "descriptor 4"},
		"bad count": {"LISTEN_FDS=x", []*os.File{file(t, tcp(t))}, "LISTEN_FDS"},
	} {
		if got := service(t, "mine", []string{c.env}, c.files...); !strings.HasPrefix(got, "error: ") || !strings.Contains(got, c.want) {
			t.Errorf("%s: the service says %q", name, got)
		}
	}
}

func TestTakeByNameThenByAddress(t *testing.T) {
	a, b, c := tcp(t), tcp(t), tcp(t)
	all := Sockets{{"https", a}, {"x.socket", b}, {"", c}}
	other := listen.Endpoint{Scheme: "http", Host: "*", Port: 1}
	if got := all.Take("https", other); len(got) != 1 || got[0] != net.Listener(a) {
		t.Errorf("by name: %v", got)
	}
	e, err := listen.Parse("http://" + b.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	if got := all.Take("web", e); len(got) != 1 || got[0] != net.Listener(b) {
		t.Errorf("by address: %v", got)
	}
	if got := all.Take("", other); len(got) != 0 || len(all) != 1 {
		t.Errorf("took %v, left %v", got, all)
	}
	all.Close()
	if _, err := c.Accept(); !errors.Is(err, net.ErrClosed) || len(all) != 0 {
		t.Errorf("the rest is not closed: %v", err)
	}
}

func TestNotify(t *testing.T) {
	path := filepath.Join(t.TempDir(), "notify")
	t.Setenv("NOTIFY_SOCKET", "")
	if sent, err := Notify(Ready); sent || err != nil {
		t.Errorf("without a socket: %v, %v", sent, err)
	}
	t.Setenv("NOTIFY_SOCKET", path)
	if sent, err := Notify(Ready); sent || err == nil {
		t.Errorf("with nobody there: %v, %v", sent, err)
	}
	ln, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	for _, c := range []struct {
		states []string
		want   string
	}{
		{[]string{Ready, Status("two\nlines"), MainPID(7)}, "READY=1\nSTATUS=two lines\nMAINPID=7"},
		{[]string{Stopping}, "STOPPING=1"},
	} {
		if sent, err := Notify(c.states...); !sent || err != nil {
			t.Fatal(sent, err)
		}
		buf := make([]byte, 1000)
		n, err := ln.Read(buf)
		if err != nil && !errors.Is(err, io.EOF) || string(buf[:n]) != c.want {
			t.Errorf("got %q, %v, want %q", buf[:n], err, c.want)
		}
	}
	t.Setenv("NOTIFY_SOCKET", "vsock:2:1")
	if _, err := Notify(Ready); err == nil {
		t.Error("a vsock address is taken for a path")
	}
}

func TestReloadingHasAGrowingTimeStamp(t *testing.T) {
	var last int64
	for range 2 {
		_, stamp, ok := strings.Cut(Reloading(), "RELOADING=1\nMONOTONIC_USEC=")
		if monotonic() == 0 {
			t.Skip("no systemd here")
		}
		n, err := strconv.ParseInt(stamp, 10, 64)
		if !ok || err != nil || n <= 0 || n < last {
			t.Errorf("%q after %d", stamp, last)
		}
		last = n
	}
}
