// Package handover replaces a running process by a new one without closing its
// listening sockets in between.
//
//	old process ── Start ──▶ new process: Inherit, Take, listen, Ready
//	     │ ◀──────────── "ready" through a pipe ───────────┘
//	     └ stops accepting and drains
//
// Both processes hold the same sockets, so connections that arrive meanwhile
// wait in the kernel and are accepted by whichever is there.
package handover

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"time"
)

// ErrUnsupported is returned where processes cannot inherit sockets.
var ErrUnsupported = errors.New("handing sockets to a new process is not supported on this system")

// variable tells the new process what its descriptors from 3 on are: a JSON
// array of names, the first being the pipe for Ready.
const variable = "WINDHOVER_HANDOVER"

const (
	firstFD   = 3
	readyLine = "ready\n"
)

// DefaultTimeout is how long a new process may take until it is ready.
const DefaultTimeout = time.Minute

// Inherited are the sockets that a process got from its predecessor. Its
// methods are for one goroutine.
type Inherited struct {
	ready *os.File
	files map[string][]*os.File
}

// parseNames reads the variable.
func parseNames(value string) ([]string, error) {
	var names []string
	if err := json.Unmarshal([]byte(value), &names); err != nil || len(names) == 0 {
		return nil, fmt.Errorf("environment variable %s is not what a predecessor writes; unset it", variable)
	}
	return names, nil
}

// Upgrading reports whether there is a predecessor.
func (i *Inherited) Upgrading() bool { return i.ready != nil }

// Take returns the sockets that the predecessor had under name, in its order.
// The caller closes them.
func (i *Inherited) Take(name string) []*os.File {
	files := i.files[name]
	delete(i.files, name)
	return files
}

// Ready tells the predecessor, if there is one, that it may stop, and closes
// the sockets that nobody has taken.
func (i *Inherited) Ready() error {
	i.closeFiles()
	if i.ready == nil {
		return nil
	}
	_, err := i.ready.WriteString(readyLine)
	return errors.Join(err, i.ready.Close())
}

// Close gives everything back that was not taken. A predecessor that waits for
// Ready goes on by itself.
func (i *Inherited) Close() {
	i.closeFiles()
	if i.ready != nil {
		_ = i.ready.Close() // after Ready it is closed already
	}
}

func (i *Inherited) closeFiles() {
	for _, files := range i.files {
		for _, f := range files {
			_ = f.Close() // another process's socket, which we did not use
		}
	}
	i.files = nil
}
