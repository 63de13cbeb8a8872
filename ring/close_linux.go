//go:build linux && !noring

package ring

import (
	"net"
	"os"

	"golang.org/x/sys/unix"

	"github.com/windhover-server/windhover/ring/internal/uring"
)

// service brings what the kernel does for k in line with k's state. It may be
// called at any time, by the leader, with the lock held.
func (l *loop) service(k *link) {
	switch {
	case k.status&ended != 0:
		return
	case k.status&detached != 0:
		if k.status&running == 0 && k.telling == 0 {
			l.end(k)
		}
		return
	case k.status&broken != 0:
		if k.status&(armed|cancelled) == armed {
			l.cancel(k) // shutting down the socket need not end it: see probeEnd
		}
		l.unpoll(k)
		if k.status&(running|armed|polling|inPolled|hupPolled|starved) == 0 && k.flight == nil && k.telling == 0 {
			l.end(k)
		}
		return
	}
	if k.flight == nil && k.tail.len() > 0 {
		l.launch(k)
	}
	if k.status&(wantPoll|polling) == wantPoll {
		l.poll(k)
	}
	if k.status&broken == 0 {
		l.finish(k)
	}
	if k.status&(broken|ended) == 0 {
		l.receive(k)
	}
	if k.status&detaching != 0 {
		l.unpoll(k)
		k.wakeWriter()
	}
}

// poll waits in the kernel for k's socket to become writable.
func (l *loop) poll(k *link) {
	e := l.entry()
	if e == nil {
		k.kick()
		return
	}
	e.PrepPollAdd(int(k.fd), unix.POLLOUT)
	e.UserData = userData(k.id, opPoll)
	k.status |= polling
}

// finish takes the steps of a close that are due: half-close when all is sent,
// then wait for the peer's end, then close. The lock is held.
func (l *loop) finish(k *link) {
	if k.status&(closing|halfClose) == 0 || k.unsent() > 0 {
		return
	}
	last := k.status&(closing|running) == closing && k.telling == 0
	if last && k.status&(eof|polling|inPolled|hupPolled|armed|starved) == eof {
		l.end(k)
		return
	}
	if last && k.status&(prompt|spoken) == prompt|spoken && k.in.len() == 0 {
		l.hangUp(k)
		return
	}
	if last && k.status&spoken == 0 {
		k.breakOff(errAborted, true) // no answer that a reset could destroy
		k.kick()
		return
	}
	if k.status&shut == 0 && (last || k.status&halfClose != 0) {
		k.status |= shut
		_ = uring.Shutdown(int(k.fd), unix.SHUT_WR) // ENOTCONN: receiving tells
	}
	if last && k.status&lingering == 0 {
		k.status |= lingering
		if d := k.srv.opt.Linger; d >= 0 {
			k.lingerEnd = l.t.now() + int64(d)
			k.setTimer(k.lingerEnd)
		}
	}
}

// hangUp closes without waiting for the peer, as soon as nothing of k is in the
// kernel. The lock is held.
func (l *loop) hangUp(k *link) {
	switch {
	case k.status&(polling|inPolled|hupPolled|armed|starved) == 0:
		l.end(k)
		return
	case k.status&(armed|cancelled) == armed:
		l.cancel(k)
	}
	l.unpoll(k)
}

// end takes k out of the loop. Nothing of it is in the kernel any more and no
// call is running. The caller sees to it that Lost is called.
func (l *loop) end(k *link) {
	k.status |= ended
	if k.armedAt != 0 {
		l.stopTimer(k)
	}
	l.vacate(k)
	for _, b := range []*buffer{k.in, k.tail} {
		if b != nil {
			b.free()
		}
	}
	k.in, k.tail = nil, nil
	k.wakeReader()
	k.wakeWriter()
	if k.status&detached != 0 {
		return // the socket is somebody else's
	}
	if n := k.names; n != nil && n.conn != nil {
		n.release()
	}
	l.close(k.fd)
	k.fd = -1
}

// close closes a descriptor with the next submission.
func (l *loop) close(fd int32) {
	if e := l.entry(); e != nil {
		e.PrepClose(int(fd))
		e.UserData = opIgnore
		if l.ring.Features()&uring.FeatCQESkip != 0 {
			e.Flags |= uring.SQECQESkipSuccess
		}
		return
	}
	_ = unix.Close(int(fd)) // nothing is left to report it to
}

// CloseWrite implements [listen.Link].
func (k *link) CloseWrite() error {
	k.mu.Lock()
	defer k.unlock()
	if err := k.failure(); err != nil {
		return err
	}
	if err := k.pushOut(); err != nil {
		return err
	}
	if k.unsent() > 0 {
		k.status |= halfClose
		k.kick()
		return nil
	}
	if k.status&shut == 0 {
		k.status |= shut
		if err := uring.Shutdown(int(k.fd), unix.SHUT_WR); err != nil {
			return os.NewSyscallError("shutdown", err)
		}
	}
	return nil
}

// Detach implements [listen.Link].
func (k *link) Detach() (net.Conn, []byte, error) {
	k.mu.Lock()
	defer k.unlock()
	k.status |= detaching
	for {
		if err := k.failure(); err != nil {
			return nil, nil, err
		}
		if err := k.pushOut(); err != nil {
			return nil, nil, err
		}
		if k.unsent() == 0 && k.status&(armed|polling|inPolled|hupPolled|starved|queued) == 0 {
			break
		}
		k.kick()
		k.awaitWriter()
	}
	conn, err := k.takeConn()
	if err != nil {
		k.breakOff(err, false)
		k.kick()
		return nil, nil, err
	}
	k.status |= detached
	k.readDeadline, k.writeDeadline = 0, 0
	k.fd = -1
	n := k.name()
	n.local, n.remote = conn.LocalAddr(), conn.RemoteAddr()
	received := append([]byte(nil), k.in.rest()...)
	return conn, received, nil
}
