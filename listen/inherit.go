package listen

import (
	"errors"
	"fmt"
	"net"
	"os"
	"syscall"
)

// ErrNotListening is returned by [FromFile] for a descriptor that is not a
// listening stream socket.
var ErrNotListening = errors.New("not a listening stream socket")

// FromFile makes a listener of a descriptor that another process has opened,
// such as systemd. It closes f in any case; the listener has a duplicate, which
// child processes do not inherit. Its Close does not remove a Unix socket's
// file.
func FromFile(f *os.File) (net.Listener, error) {
	defer f.Close()
	ln, err := net.FileListener(f)
	if err != nil {
		return nil, fmt.Errorf("listen: descriptor %s: %w (%w)", f.Name(), ErrNotListening, err)
	}
	sc, ok := ln.(syscall.Conn)
	if ok && !isListening(sc) {
		ok = false
	}
	if !ok {
		_ = ln.Close() // the error to report is the one below
		return nil, fmt.Errorf("listen: descriptor %s: %w", f.Name(), ErrNotListening)
	}
	return ln, nil
}
