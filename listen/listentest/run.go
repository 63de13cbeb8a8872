package listentest

import (
	"fmt"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/windhover-server/windhover/listen"
)

// env is what a case runs in.
type env struct {
	transport func(testing.TB) listen.Transport
	network   Network
}

// testCase is one rule that transports must keep.
type testCase struct {
	name string
	run  func(t *testing.T, e env)
}

// Run tests the transports that newTransport makes over each of the networks;
// without any, over TCP and Unix sockets. newTransport is called for every
// case; it may register clean-up. At the end no goroutine and no descriptor may
// be left.
func Run(t *testing.T, newTransport func(testing.TB) listen.Transport, networks ...Network) {
	if len(networks) == 0 {
		networks = []Network{OverTCP(), OverUnix()}
	}
	for _, n := range networks {
		t.Run(n.Name, func(t *testing.T) {
			before := goroutines()
			files := descriptors()
			for _, group := range [][]testCase{transferCases, readCases, deadlineCases, watchCases, writeCases, closeCases, detachCases, lifetimeCases} {
				for _, c := range group {
					t.Run(c.name, func(t *testing.T) {
						if n.Skip != nil {
							if why := n.Skip(c.name); why != "" {
								t.Skip(why)
							}
						}
						c.run(t, env{newTransport, n})
					})
				}
			}
			checkLeaks(t, before, files)
		})
	}
}

// goroutines returns the stacks of goroutines that run code of this module or
// wait in package net, by their header line.
func goroutines() map[string]string {
	buf := make([]byte, 1<<20)
	for {
		n := runtime.Stack(buf, true)
		if n < len(buf) {
			buf = buf[:n]
			break
		}
		buf = make([]byte, 2*len(buf))
	}
	all := make(map[string]string)
	for i, g := range strings.Split(string(buf), "\n\n") {
		if i == 0 {
			continue // this one
		}
		head, stack, _ := strings.Cut(g, " [")
		if strings.Contains(stack, "testing.(*T).Run") || strings.Contains(stack, "testing.tRunner") || strings.Contains(stack, "testing.(*M)") {
			continue
		}
		if strings.Contains(stack, "windhover") || strings.Contains(stack, "net.(*") {
			all[head] = stack
		}
	}
	return all
}

// descriptors counts the open files where the system shows them, else it is -1.
func descriptors() int {
	d, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return -1
	}
	return len(d)
}

// checkLeaks waits until what a transport may do late is done.
func checkLeaks(t *testing.T, before map[string]string, files int) {
	t.Helper()
	var problem string
	for end := time.Now().Add(patience / 2); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		problem = ""
		for g, stack := range goroutines() {
			if _, ok := before[g]; !ok {
				problem = "a goroutine is left:\n" + stack
			}
		}
		if n := descriptors(); files >= 0 && n > files {
			problem = fmt.Sprintf("%d descriptors are open, %d were before; %s", n, files, problem)
		}
		if problem == "" {
			return
		}
	}
	t.Error(problem)
}
