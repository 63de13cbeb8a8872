//go:build linux && !noring

package ring

import (
	"io"
	"os"

	"golang.org/x/sys/unix"

	"github.com/windhover-server/windhover/ring/internal/uring"
)

// received handles a completion of k's multishot receive. It reports whether
// leadership was kept.
func (l *loop) received(k *link, c uring.CQE) bool {
	var p []byte
	lent, done := c.Flags&uring.CQEFBuffer != 0, false
	if lent {
		p, done = l.bufs.take(c)
		raceAcquire()
	}
	k.mu.Lock()
	if c.Flags&uring.CQEFMore == 0 {
		k.status &^= armed | cancelled
	}
	if lent {
		k.status |= fed
	}
	if k.status&resumed != 0 && c.Res > 0 && c.Flags&(uring.CQEFMore|uring.CQEFSockNonEmpty) == uring.CQEFMore {
		l.probeEnd(k)
	}
	switch {
	case c.Res > 0 && k.status&(running|broken|closing|ended) == 0 && k.in.len() == 0:
		if l.begin(k) {
			b := newBuffer()
			b.add(p)
			l.dispatch(k, evData, b)
			break
		}
		if k.status&armed == 0 {
			if k.calls > 1 { // after the first call it may not be wanted any more
				l.receive(k)
			}
		} else if k.thread != l.thread {
			l.migrate(k)
		}
		k.mu.Unlock()
		l.current.lent, l.current.done, l.current.bid = true, done, c.BufferID()
		return l.pump(k, evData, p, nil)
	case c.Res > 0:
		k.store(p)
	default:
		l.receiveEnded(k, unix.Errno(-c.Res))
	}
	if lent {
		l.bufs.giveBack(c.BufferID(), done)
	}
	return l.after(k)
}

// store keeps what arrived while a call was running: in the waiting reader's
// memory if there is one, else in the queue. The lock is held.
func (k *link) store(p []byte) {
	if k.status&(broken|closing|ended) != 0 {
		k.discard(len(p))
		return
	}
	if w := k.reader; w != nil {
		w.n = copy(w.dst, p)
		p = p[w.n:]
		k.wakeReader()
	}
	if len(p) == 0 {
		return
	}
	if k.in == nil {
		k.in = newBuffer()
	}
	k.in.add(p)
}

// lingerBytes bounds what a closing connection discards.
const lingerBytes = 16 << 20

// discard takes note of bytes that nobody will ask for.
func (k *link) discard(n int) {
	k.status &^= prompt
	if k.status&lingering == 0 {
		return
	}
	if k.lingered += int32(n); k.lingered >= lingerBytes {
		k.breakOff(errAborted, true)
	}
}

// receiveEnded handles a completion without bytes. The lock is held.
func (l *loop) receiveEnded(k *link, errno unix.Errno) {
	switch errno {
	case 0:
		k.sawEOF()
	case unix.ENOBUFS:
		// Back-pressure. Who has got nothing since it was last here comes
		// before those who have: a connection that sends all the time must
		// not have the buffers for itself.
		k.status |= starved
		if k.status&fed == 0 {
			l.hungry = append(l.hungry, k)
		} else {
			k.status &^= fed
			l.starved = append(l.starved, k)
		}
	case unix.ECANCELED, unix.EINTR, unix.EAGAIN:
		// ECANCELED: by us, or because the thread that armed the request has
		// exited (a handler may lock its thread and end its goroutine).
		// Whether to receive again is for service to decide. In bulk the reader
		// has waited for this, to receive for itself.
		if k.status&bulk != 0 {
			k.wakeReader()
		}
	default:
		k.breakOff(os.NewSyscallError("recv", errno), true)
	}
}

// receive starts or stops receiving, as k's state asks. The lock is held.
func (l *loop) receive(k *link) {
	limit := k.srv.opt.ReceiveBuffer
	switch n := k.in.len(); {
	case limit < 0 || k.status&closing != 0 || n <= limit/2:
		k.status &^= paused
	case n >= limit:
		k.status |= paused
	}
	want := k.status&(eof|detaching|paused|starved|bulk) == 0
	switch {
	case want && k.status&armed == 0:
		e := l.entry()
		if e == nil {
			k.kick()
			return
		}
		if k.calls == 0 {
			// Many connections bring one request: nothing is left to cancel.
			e.PrepRecv(int(k.fd), bufGroup, 0)
		} else {
			e.PrepRecvMultishot(int(k.fd), bufGroup, 0)
		}
		e.UserData = userData(k.id, opRecv)
		k.status |= armed
		if k.calls > 0 {
			k.status |= resumed
		}
		k.thread = l.thread
	case !want && k.status&(armed|cancelled) == armed:
		l.cancel(k)
	}
	l.receiveBulk(k)
}

// cancel has the kernel give up k's receive. The lock is held.
func (l *loop) cancel(k *link) {
	e := l.entry()
	if e == nil {
		k.kick()
		return
	}
	e.PrepCancel64(userData(k.id, opRecv), 0)
	e.UserData = userData(k.id, opCancel)
	k.status |= cancelled
}

// cancelDone handles the completion of a cancellation. It reports whether
// leadership was kept.
func (l *loop) cancelDone(k *link, errno unix.Errno) bool {
	k.mu.Lock()
	if errno != 0 {
		// The kernel does not find a receive that is between two attempts at a
		// long backlog. If it is still wanted gone, try again.
		k.status &^= cancelled
	}
	return l.after(k)
}

// probeEnd looks whether the end of the connection has come already, when k's
// receive has emptied the socket for the first time since it was armed again.
// The kernel (6.18) overlooks it if it came before that and 32 pieces or more
// lay in front of it: the receive then waits for an event that is over. The
// lock is held.
func (l *loop) probeEnd(k *link) {
	k.status &^= resumed
	p := [1]unix.PollFd{{Fd: k.fd, Events: unix.POLLRDHUP}} // POLLERR and POLLHUP are always told
	if n, err := unix.Poll(p[:], 0); n > 0 && err == nil && k.status&cancelled == 0 {
		l.cancel(k) // armed again, it finds the end at its first attempt
	}
}

// migrateAfter is how many turns in a row the leader must have run on its
// thread before receives move there.
const migrateAfter = 4

// migrate moves k's receive to the thread that the leader runs on. Completions
// are run by the thread that made the request: if that is another one, it is
// woken for each, and then wakes the leader. The receive is cancelled here and
// armed again when that has completed. The lock is held.
func (l *loop) migrate(k *link) {
	if l.settled < migrateAfter || k.status&cancelled != 0 {
		return
	}
	l.cancel(k)
}

// feedStarved lets links receive again that found no buffer. By now the
// buffers of this turn are back with the kernel, which serves the requests in
// this order.
func (l *loop) feedStarved() {
	if len(l.hungry)+len(l.starved) == 0 {
		return
	}
	l.bufs.grow(l.bufs.used)
	for _, list := range [...]*[]*link{&l.hungry, &l.starved} {
		for i, k := range *list {
			(*list)[i] = nil
			k.mu.Lock()
			k.status &^= starved
			if k.status&(ended|broken|detaching|closing) == 0 {
				l.receive(k)
			} else {
				k.kick()
			}
			k.mu.Unlock()
		}
		*list = (*list)[:0]
	}
}

// Read implements [listen.Link].
func (k *link) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	k.mu.Lock()
	defer k.unlock()
	for {
		if n := copy(p, k.in.rest()); n > 0 {
			k.consumed(n)
			k.tookIn(n)
			return n, nil
		}
		if err := k.failure(); err != nil {
			return 0, err
		}
		if k.status&eof != 0 {
			k.status |= eofTold
			return 0, io.EOF
		}
		if k.readDeadline != 0 && k.loop.t.now() >= k.readDeadline {
			return 0, os.ErrDeadlineExceeded
		}
		if err := k.pushOut(); err != nil {
			return 0, err
		}
		n, again := k.readBulk(p)
		if n > 0 {
			return n, nil
		}
		if again {
			continue
		}
		w := waiters.Get().(*waiter)
		w.dst = p
		k.reader = w
		k.lull()
		if k.status&armed == 0 {
			k.kick() // nothing is in the kernel that would wake this call
		}
		k.park(w)
		n = w.n
		w.free()
		if n > 0 {
			k.tookIn(n)
			return n, nil
		}
	}
}

// consumed takes n bytes off the queue, and goes on receiving when that had
// stopped. The lock is held.
func (k *link) consumed(n int) {
	k.in.off += n
	if k.in.len() == 0 {
		k.in.free()
		k.in = nil
	}
	if k.status&paused != 0 && k.in.len() <= k.srv.opt.ReceiveBuffer/2 {
		k.kick()
	}
}
