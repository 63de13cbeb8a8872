//go:build linux && !noring

package ring

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/windhover-server/windhover/listen"
	"github.com/windhover-server/windhover/ring/internal/uring"
)

const (
	acceptBatch  = 64 // connections taken at once, before others of the listener's users get their turn
	acceptPause  = 5 * time.Millisecond
	acceptPauses = time.Second // the longest pause after a temporary failure
)

// server is one Serve call.
type server struct {
	t      *Transport
	ln     net.Listener
	rc     syscall.RawConn
	opt    listen.Options // with defaults filled in
	accept listen.Acceptor
	tcp    bool
	end    chan struct{} // closed by stop

	batch []accepted
	err   error
	crowd crowd
}

type accepted struct {
	fd   int
	peer netip.AddrPort // of TCP without a zone
}

// newServer checks that the ring can drive ln's connections: they must be
// plain kernel sockets that nobody has wrapped.
func newServer(t *Transport, ln net.Listener, opt listen.Options, accept listen.Acceptor) (*server, error) {
	switch ln.(type) {
	case *net.TCPListener, *net.UnixListener:
	default:
		return nil, fmt.Errorf("%w: %T", ErrListener, ln)
	}
	rc, err := ln.(syscall.Conn).SyscallConn()
	if err != nil {
		return nil, err
	}
	if opt.ReceiveBuffer == 0 {
		opt.ReceiveBuffer = 1 << 20
	}
	if opt.SendBuffer == 0 {
		opt.SendBuffer = 64 << 10
	}
	if opt.Linger == 0 {
		opt.Linger = 5 * time.Second
	}
	s := &server{t: t, ln: ln, rc: rc, opt: opt, accept: accept, end: make(chan struct{})}
	if _, s.tcp = ln.(*net.TCPListener); s.tcp {
		s.inherit()
	}
	return s, nil
}

// inherit sets on the listener what package net sets on each connection, and
// what Linux hands down: no delay unless asked for, and keep-alive probes every
// 15 s.
func (s *server) inherit() {
	_ = s.rc.Control(func(fd uintptr) {
		// A listener that does not take an option still serves.
		_ = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_NODELAY, s.noDelay())
		_ = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_KEEPALIVE, 1)
		_ = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_KEEPIDLE, 15)
		_ = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_KEEPINTVL, 15)
		_ = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_KEEPCNT, 9)
	})
}

// noDelay is the value of TCP_NODELAY.
func (s *server) noDelay() int {
	if s.opt.Delay {
		return 0
	}
	return 1
}

// acceptAll accepts until the listener fails or is closed. The wait is in the
// listener's own Accept, so that closing it, by whomever, ends the wait at once
// and nothing more is accepted. What else has arrived by then is accepted
// directly; those descriptors never enter Go's poller.
func (s *server) acceptAll() error {
	defer s.crowd.close()
	pause := acceptPause
	for {
		err := s.acceptSome()
		s.adoptBatch()
		select {
		case <-s.end:
			return s.sweepAll()
		default:
		}
		if err == nil {
			pause = acceptPause
			continue
		}
		if !temporary(err) {
			return err
		}
		s.report(fmt.Errorf("ring: accept: %w; trying again in %v", err, pause))
		timer := time.NewTimer(pause)
		select {
		case <-s.end:
		case <-timer.C:
		}
		timer.Stop()
		pause = min(2*pause, acceptPauses)
	}
}

// acceptSome waits for connections and takes up to a batch of them.
func (s *server) acceptSome() error {
	if s.crowd.here.Load() {
		return s.acceptCrowd()
	}
	start := s.t.now()
	if err := s.acceptOne(); err != nil {
		return err
	}
	s.noteWait(s.t.now() - start)
	return s.sweep()
}

// acceptOne waits for a connection and takes its descriptor from package net.
func (s *server) acceptOne() error {
	c, err := s.ln.Accept()
	if err != nil {
		return err
	}
	defer c.Close() // the duplicate keeps the connection
	rc, err := c.(syscall.Conn).SyscallConn()
	if err != nil {
		return err
	}
	var fd int
	ctlErr := rc.Control(func(orig uintptr) {
		fd, err = unix.FcntlInt(orig, unix.F_DUPFD_CLOEXEC, 0)
	})
	if err = errors.Join(ctlErr, err); err != nil {
		return os.NewSyscallError("fcntl", err)
	}
	if s.tcp && s.opt.Delay { // package net has switched it off
		_ = unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, s.noDelay())
	}
	a := accepted{fd: fd}
	if t, ok := c.RemoteAddr().(*net.TCPAddr); ok && t.Zone == "" {
		a.peer = t.AddrPort()
	}
	s.batch = append(s.batch, a)
	return nil
}

// sweep accepts what is there, up to a batch, without waiting.
func (s *server) sweep() error {
	if err := s.rc.Control(s.take); err != nil {
		return err
	}
	return s.err
}

// sweepAll takes the connections that the kernel has completed before the end.
func (s *server) sweepAll() error {
	for {
		err := s.sweep()
		n := len(s.batch)
		s.adoptBatch()
		if n == 0 || err != nil {
			return listen.ErrServerClosed
		}
	}
}

func (s *server) report(err error) {
	if s.opt.OnError != nil {
		s.opt.OnError(err)
	}
}

// temporary reports whether accepting may succeed later, by package net's
// judgement.
func temporary(err error) bool {
	var ne interface{ Temporary() bool }
	return errors.As(err, &ne) && ne.Temporary()
}

// take accepts what is there, up to a batch.
func (s *server) take(fd uintptr) {
	s.err = nil
	for len(s.batch) < acceptBatch {
		nfd, peer, err := uring.Accept(int(fd))
		switch {
		case err == nil:
			s.batch = append(s.batch, accepted{nfd, peer})
		case errors.Is(err, unix.EAGAIN):
			return
		case errors.Is(err, unix.EINTR), errors.Is(err, unix.ECONNABORTED):
		default:
			s.err = os.NewSyscallError("accept4", err)
			return
		}
	}
}

// adoptBatch makes links of the accepted descriptors.
func (s *server) adoptBatch() {
	for i, a := range s.batch {
		s.batch[i] = accepted{}
		s.adopt(a)
	}
	s.batch = s.batch[:0]
}

func (s *server) adopt(a accepted) {
	l := s.t.leastLoaded()
	k := &link{loop: l, srv: s, fd: int32(a.fd)}
	k.timer.owner = k
	k.setPeer(a)
	if l.alwaysBulk {
		k.status |= bulk
	}
	if k.proto = s.accept(k); k.proto == nil {
		_ = unix.Close(a.fd) // refused without a byte
		return
	}
	l.load.Add(1)
	k.mu.Lock()
	k.kick()
	k.mu.Unlock()
}

// stop closes the listener. Connections that the kernel has already completed
// for it are still taken, unless abort is set: their requests count as
// accepted.
func (s *server) stop(abort bool) {
	s.t.mu.Lock()
	select {
	case <-s.end:
	default:
		close(s.end)
	}
	s.t.mu.Unlock()
	if dl, ok := s.ln.(interface{ SetDeadline(time.Time) error }); ok && !abort {
		_ = dl.SetDeadline(past) // ends the wait; acceptAll then sweeps and returns
	} else {
		_ = s.ln.Close()
	}
	s.crowd.wake()
}
