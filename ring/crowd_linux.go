//go:build linux && !noring

package ring

import (
	"errors"
	"os"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// crowdAfter is how many waits in a row must have been shorter than
	// crowdGap to make a crowd.
	crowdAfter = 8
	crowdGap   = time.Millisecond

	// crowdTick is how often a server with a crowd looks whether it still has
	// one: crowdLeast connections since it last looked.
	crowdTick  = 5 * time.Millisecond
	crowdLeast = 4
)

// crowd is how a server waits when connections come close behind one another.
// Package net's Accept costs more than everything else that the server does for
// a connection, so the wait is for an epoll instance of our own that looks at
// the listener, and every connection is accepted directly.
//
// The instance does not hold the listening socket: when somebody closes the
// listener, the socket is closed at once, and each attempt to accept goes
// through the listener and fails. Only the wait does not end with it, but at the
// tick.
type crowd struct {
	file  atomic.Pointer[os.File] // the instance; nil before the first crowd
	rc    syscall.RawConn
	here  atomic.Bool
	brisk int // waits in a row that were short
	count int // connections since the last tick
}

// noteWait takes note of how long the listener's own Accept has waited, and
// goes over to a crowd after many short waits.
func (s *server) noteWait(d int64) {
	c := &s.crowd
	if d >= int64(crowdGap) {
		c.brisk = 0
		return
	}
	if c.brisk++; c.brisk >= crowdAfter {
		c.brisk = 0
		if s.openCrowd() == nil { // else short of something: it goes without
			c.extend()
			c.here.Store(true)
		}
	}
}

// openCrowd makes the epoll instance, which stays until Serve returns.
func (s *server) openCrowd() error {
	if s.crowd.file.Load() != nil {
		return nil
	}
	ep, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return err
	}
	ctlErr := s.rc.Control(func(fd uintptr) {
		err = unix.EpollCtl(ep, unix.EPOLL_CTL_ADD, int(fd), &unix.EpollEvent{Events: unix.EPOLLIN})
	})
	if err = errors.Join(ctlErr, err, unix.SetNonblock(ep, true)); err != nil {
		_ = unix.Close(ep)
		return err
	}
	f := os.NewFile(uintptr(ep), "epoll")
	if s.crowd.rc, err = f.SyscallConn(); err == nil {
		err = f.SetReadDeadline(time.Time{}) // fails if Go's poller has not taken it
	}
	if err != nil {
		_ = f.Close()
		return err
	}
	s.crowd.file.Store(f)
	return nil
}

// acceptCrowd waits for connections and takes a batch of them. At the tick it
// returns without any.
func (s *server) acceptCrowd() error {
	c := &s.crowd
	var err error
	readErr := c.rc.Read(func(uintptr) bool {
		err = s.sweep()
		return err != nil || len(s.batch) > 0
	})
	c.count += len(s.batch)
	if !errors.Is(readErr, os.ErrDeadlineExceeded) {
		return errors.Join(readErr, err)
	}
	c.here.Store(c.count >= crowdLeast)
	c.extend()
	return nil
}

// extend begins the time to the next tick.
func (c *crowd) extend() {
	c.count = 0
	_ = c.file.Load().SetReadDeadline(time.Now().Add(crowdTick)) // openCrowd has seen that it works
}

// wake ends the wait for a crowd.
func (c *crowd) wake() {
	if f := c.file.Load(); f != nil {
		_ = f.SetReadDeadline(past) // fails after close only
	}
}

// close releases the epoll instance.
func (c *crowd) close() {
	if f := c.file.Load(); f != nil {
		_ = f.Close()
	}
}
