//go:build linux && !noring

package ring

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// childEnv makes the test binary do something else than testing.
const childEnv = "WINDHOVER_RING_CHILD"

// childAddrEnv is where a client child connects to.
const childAddrEnv = "WINDHOVER_RING_ADDR"

func TestMain(m *testing.M) {
	switch child := os.Getenv(childEnv); child {
	case "":
	case "probe":
		os.Exit(childProbe())
	case "client":
		os.Exit(childClient(os.Getenv(childAddrEnv)))
	default:
		os.Exit(childRestricted(child))
	}
	if ln, err := net.Listen("tcp", "127.0.0.1:0"); err == nil {
		ln.Close() // Go's poller has its descriptors now
	}
	raceAcquire() // and race builds theirs
	before := openFiles()
	code := m.Run()
	if code == 0 {
		code = leaks(before)
	}
	os.Exit(code)
}

// leaks reports goroutines of this module and descriptors that are left.
func leaks(before int) int {
	var stacks string
	var files int
	for range 100 { // the last goroutines need a moment to end
		stacks, files = strayStacks(), openFiles()
		if stacks == "" && files <= before {
			return 0
		}
		time.Sleep(20 * time.Millisecond)
	}
	fmt.Fprintf(os.Stderr, "%d descriptors open, %d before the tests; goroutines left:\n%s\n", files, before, stacks)
	return 1
}

func strayStacks() string {
	buf := make([]byte, 1<<20)
	buf = buf[:runtime.Stack(buf, true)]
	var stray []string
	for _, g := range strings.Split(string(buf), "\n\n") {
		if strings.Contains(g, "windhover/ring") && !strings.Contains(g, "TestMain") {
			stray = append(stray, g)
		}
	}
	return strings.Join(stray, "\n\n")
}

func openFiles() int {
	d, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return 0
	}
	return len(d)
}

func childProbe() int {
	r := Probe()
	fmt.Printf("%d\n", r.Cause)
	if _, err := New(Options{Rings: 1}); err != nil {
		var u *UnavailableError
		if !errors.As(err, &u) {
			fmt.Printf("New: %v\n", err)
			return 1
		}
		fmt.Printf("%d\n%s\n", u.Cause, err)
	}
	return 0
}

// childClient says hello and reads until the end, a little at a time.
func childClient(addr string) int {
	c, err := net.Dial("tcp", addr)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer c.Close()
	fmt.Fprintln(c, "download")
	n, err := io.CopyBuffer(struct{ io.Writer }{io.Discard}, struct{ io.Reader }{c}, make([]byte, 4096))
	fmt.Println(n, err)
	return 0
}

// childRestricted restricts this process and runs it again as childProbe.
func childRestricted(how string) int {
	var err error
	switch how {
	case "EMFILE":
		err = unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: 6, Max: 6})
	default:
		err = fmt.Errorf("unknown restriction %q", how)
	}
	if err == nil {
		err = os.Setenv(childEnv, "probe")
	}
	if err == nil {
		err = syscall.Exec("/proc/self/exe", os.Args, os.Environ())
	}
	fmt.Fprintln(os.Stderr, how, err)
	return 1
}
