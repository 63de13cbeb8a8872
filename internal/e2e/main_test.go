package e2e

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"
)

// After all tests nothing of the servers is left: no goroutine, and on Linux
// no descriptor.
func TestMain(m *testing.M) {
	if job := os.Getenv(tunnelClient); job != "" {
		if err := runTunnelClient(job); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		return
	}
	if ln, err := net.Listen("tcp", "127.0.0.1:0"); err == nil {
		ln.Close() // has started the runtime's poller, which keeps its own
	}
	before := descriptors()
	code := m.Run()
	if code == 0 {
		http.DefaultTransport.(*http.Transport).CloseIdleConnections()
		code = leakCheck(before)
	}
	os.Exit(code)
}

// leakCheck looks until nothing is left, or for ten seconds: goroutines end a
// little later than what they did.
func leakCheck(descriptorsBefore []string) int {
	var left []string
	var fds int
	limit := time.After(patience)
	for tick, over := time.Tick(20*time.Millisecond), false; !over; {
		left, fds = goroutines(), len(descriptors())-len(descriptorsBefore)
		if len(left) == 0 && fds <= 0 {
			return 0
		}
		select {
		case <-tick:
		case <-limit:
			over = true
		}
	}
	fmt.Printf("left after all tests: %d goroutines, %d descriptors\n%s\n%s\n", len(left), fds,
		strings.Join(left, "\n\n"), strings.Join(descriptors(), "\n"))
	return 1
}

// goroutines are the stacks of those that run code of Windhover's, this
// function aside.
func goroutines() (stacks []string) {
	buf := make([]byte, 4<<20)
	buf = buf[:runtime.Stack(buf, true)]
	for g := range strings.SplitSeq(string(buf), "\n\n") {
		if strings.Contains(g, "windhover-server/windhover") && !strings.Contains(g, "e2e.leakCheck") {
			stacks = append(stacks, g)
		}
	}
	return stacks
}

// descriptors lists what the open descriptors are, where the system tells. The
// null device and pipes are those of programs that tests run, and of whoever
// runs the tests.
func descriptors() (open []string) {
	names, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return nil
	}
	for _, n := range names {
		to, err := os.Readlink("/proc/self/fd/" + n.Name())
		if err == nil && to != os.DevNull && !strings.HasPrefix(to, "pipe:") {
			open = append(open, n.Name()+" -> "+to)
		}
	}
	return open
}
