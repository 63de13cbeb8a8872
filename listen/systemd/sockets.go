package systemd

import (
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"

	"github.com/windhover-server/windhover/listen"
)

// The variables of sd_listen_fds(3).
const (
	pidVariable   = "LISTEN_PID"
	pidfdVariable = "LISTEN_PIDFDID"
	countVariable = "LISTEN_FDS"
	namesVariable = "LISTEN_FDNAMES"
)

const firstFD = 3

// Socket is a socket that systemd has opened.
type Socket struct {
	// Name is FileDescriptorName= of the socket unit; by default the name of
	// the unit, such as "windhover.socket". It may be empty.
	Name     string
	Listener net.Listener
}

// Sockets are those that nobody has taken yet. They are for one goroutine.
type Sockets []Socket

// Inherit takes over the sockets that systemd has opened for this process, in
// systemd's order. Call it once, early: it removes the variables, and children
// inherit neither them nor the sockets. A descriptor that is not a listening
// stream socket is an error ([listen.ErrNotListening]); then all are closed.
//
// Variables that are meant for another process (LISTEN_PID) are left alone and
// give no sockets.
func Inherit() (Sockets, error) { return inherit(firstFD) }

// inherit reads the variables. The descriptors begin at first.
func inherit(first int) (Sockets, error) {
	if os.Getenv(pidVariable) != strconv.Itoa(os.Getpid()) {
		return nil, nil
	}
	count, hasCount := os.LookupEnv(countVariable)
	names := strings.Split(os.Getenv(namesVariable), ":")
	for _, v := range []string{pidVariable, pidfdVariable, countVariable, namesVariable} {
		if err := os.Unsetenv(v); err != nil {
			return nil, err
		}
	}
	n := 1 // as Kestrel has it
	if hasCount {
		var err error
		if n, err = strconv.Atoi(count); err != nil || n < 0 {
			return nil, fmt.Errorf("systemd: %s is %q, not a number of sockets", countVariable, count)
		}
	}
	var all Sockets
	var errs []error
	for i := range n {
		s := Socket{}
		if i < len(names) {
			s.Name = names[i]
		}
		f := openFD(first+i, s.Name)
		if f == nil {
			errs = append(errs, fmt.Errorf("systemd: descriptor %d (%s) is not open", first+i, s.Name))
			continue
		}
		var err error
		if s.Listener, err = listen.FromFile(f); err != nil {
			errs = append(errs, fmt.Errorf("systemd: descriptor %d: %w; the socket unit needs ListenStream= and Accept=no", first+i, err))
			continue
		}
		all = append(all, s)
	}
	if err := errors.Join(errs...); err != nil {
		all.Close()
		return nil, err
	}
	return all, nil
}

// Take removes and returns the sockets for an endpoint, for
// [listen.BindOptions].Inherited: those with its name, or, if there are none or
// name is empty, those bound to an address of e.
func (s *Sockets) Take(name string, e listen.Endpoint) []net.Listener {
	taken := s.take(func(x Socket) bool { return name != "" && x.Name == name })
	if len(taken) == 0 {
		taken = s.take(func(x Socket) bool { return e.Matches(x.Listener.Addr()) })
	}
	return taken
}

func (s *Sockets) take(ok func(Socket) bool) (taken []net.Listener) {
	var rest Sockets
	for _, x := range *s {
		if ok(x) {
			taken = append(taken, x.Listener)
		} else {
			rest = append(rest, x)
		}
	}
	*s = rest
	return taken
}

// Close closes those that nobody has taken.
func (s *Sockets) Close() {
	for _, x := range *s {
		_ = x.Listener.Close() // systemd still has the socket
	}
	*s = nil
}
