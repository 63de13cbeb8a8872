//go:build linux && !noring

package ring

import (
	"errors"
	"io"
	"net"
	"os"

	"golang.org/x/sys/unix"

	"github.com/windhover-server/windhover/listen"
	"github.com/windhover-server/windhover/ring/internal/uring"
)

// copyMost is up to which size Write copies its argument into the queue, to
// leave with what is queued there, instead of sending it by itself.
const copyMost = 16 << 10

// Begin implements [listen.Link].
func (k *link) Begin() []byte {
	k.mu.Lock()
	if k.tail == nil {
		k.tail = newBuffer()
	}
	return k.tail.b
}

// End implements [listen.Link]. When more than the response buffer limit is
// unsent it waits as Flush does: a peer that asks and does not read must not
// fill memory.
func (k *link) End(b []byte) {
	k.tail.b = b
	switch {
	case k.status&(broken|ended) != 0:
		k.tail.free()
		k.tail = nil
	case k.tail.len() == 0:
		k.tail.free()
		k.tail = nil
	default:
		k.status |= spoken
		if k.status&(offLoop|dirty) == offLoop {
			k.status |= dirty
			k.loop.watch.soon(k)
		}
		if limit := k.srv.opt.SendBuffer; limit >= 0 && k.unsent() > limit {
			_ = k.flush() // an error has broken the link, and is told by Lost
			k.unlock()
			return
		}
	}
	k.mu.Unlock()
}

// unsent is how many bytes are queued or being sent. The lock is held.
func (k *link) unsent() int { return k.tail.len() + k.flight.len() }

// sendNow sends the queue as far as the socket takes it at once. Nothing is in
// flight and the lock is held. An error breaks the link.
func (k *link) sendNow() error { return k.sendQueue(0) }

// sendQueue is sendNow with flags for send(2).
func (k *link) sendQueue(flags int) error {
	for k.tail.len() > 0 {
		n, err := k.send(k.tail.rest(), flags)
		k.tail.off += n
		if err != nil || n == 0 {
			return err
		}
		k.wakeWriter() // who may be waiting for the queue to shrink
	}
	if k.tail != nil {
		k.tail.free()
		k.tail = nil
	}
	return nil
}

// send is send(2) without waiting; a full socket is n == 0. Other errors break
// the link. The lock is held.
func (k *link) send(p []byte, flags int) (n int, err error) {
	for {
		raceRelease()
		n, err = uring.Send(int(k.fd), p, flags)
		switch {
		case err == nil:
			k.accepted(n)
			return n, nil
		case errors.Is(err, unix.EINTR):
			continue
		case errors.Is(err, unix.EAGAIN):
			return 0, nil
		}
		err = os.NewSyscallError("send", err)
		k.breakOff(err, true)
		k.kick()
		return 0, err
	}
}

// pushOut starts sending the queue, from any goroutine. What the socket does
// not take at once the loop sends. The lock is held.
func (k *link) pushOut() error {
	if k.tail.len() == 0 || k.flight != nil {
		return nil // the loop goes on when the flight has landed
	}
	if err := k.overdue(); err != nil {
		return err
	}
	if err := k.sendNow(); err != nil {
		return err
	}
	if k.tail.len() > 0 {
		k.kick()
	}
	return nil
}

// flushOff sends the queue at the end of a call off the loop: with the loop's
// next batch if the loop is awake, else directly. The lock is held.
func (k *link) flushOff() {
	if k.tail.len() == 0 || k.flight != nil || k.status&broken != 0 {
		return
	}
	if k.loop.sleep.Load() != awake {
		_ = k.pushOut() // an error has broken the link, and is told by Lost
	} else {
		k.kick()
	}
}

// launch gives the queue to the kernel. Nothing is in flight and the lock is
// held.
func (l *loop) launch(k *link) {
	if k.overdue() != nil {
		return
	}
	if k.status&prompt != 0 || l.ring.SQReady() == 0 && l.ring.CQReady() == 0 && len(l.work) == 0 {
		// Nothing else to submit with it: a plain send costs as much and needs
		// no completion. Nor does the close then have to wait for one.
		if k.sendNow() != nil || k.tail.len() == 0 {
			return
		}
	}
	k.flight, k.tail = k.tail, nil
	k.meter()
	l.fly(k)
}

// fly prepares the sending of what is in flight. The lock is held.
func (l *loop) fly(k *link) {
	e := l.entry()
	if e == nil {
		// Back into the queue, in front of what has been added since.
		if k.tail != nil {
			k.flight.add(k.tail.rest())
			k.tail.free()
		}
		k.tail, k.flight = k.flight, nil
		k.kick()
		return
	}
	raceRelease()
	e.PrepSend(int(k.fd), k.flight.rest(), unix.MSG_NOSIGNAL)
	e.UserData = userData(k.id, opSend)
}

// sent handles the completion of a send. It reports whether leadership was
// kept.
func (l *loop) sent(k *link, c uring.CQE) bool {
	k.mu.Lock()
	switch errno := unix.Errno(-min(c.Res, 0)); {
	case errno == 0:
		k.flight.off += int(c.Res)
		k.accepted(int(c.Res))
	case errno == unix.ECANCELED || errno == unix.EINTR || errno == unix.EAGAIN:
		// ECANCELED: the thread that submitted has exited.
	default:
		k.breakOff(os.NewSyscallError("send", errno), true)
	}
	switch {
	case k.flight.len() == 0 || k.status&broken != 0:
		k.flight.free()
		k.flight = nil
	default:
		l.fly(k) // a short send goes on
	}
	k.unmeter()
	k.wakeWriter()
	return l.after(k)
}

// The send rate is kept as a point in time, paidUntil: each byte that the peer
// takes moves it on by what a byte may take, from now at the earliest. While
// bytes are unsent, it must not fall behind by more than the grace period.

// accepted takes note that the socket has taken n bytes. The lock is held.
func (k *link) accepted(n int) {
	k.status |= spoken
	if k.rate <= 0 {
		return
	}
	if k.status&metered == 0 {
		k.paidUntil = max(k.paidUntil, k.loop.time.Load())
	}
	k.paidUntil += int64(float64(n) / k.rate)
}

// meter starts the clock: something is left unsent. The lock is held.
func (k *link) meter() {
	if k.rate <= 0 || k.status&metered != 0 {
		return
	}
	k.status |= metered
	k.paidUntil = max(k.paidUntil, k.loop.time.Load())
	k.setTimer(k.paidUntil + k.grace)
}

// unmeter stops the clock if everything has been sent. The lock is held.
func (k *link) unmeter() {
	if k.unsent() == 0 {
		k.status &^= metered
	}
}

// writable reports why a writer has to give up, or nil. The lock is held.
func (k *link) writable() error {
	if err := k.failure(); err != nil {
		return err
	}
	if k.status&(shut|halfClose|closing) != 0 {
		return unix.EPIPE
	}
	if k.unsent() > 0 {
		return k.overdue()
	}
	if k.late() {
		return os.ErrDeadlineExceeded
	}
	return nil
}

// late reports whether the write deadline has passed. The lock is held.
func (k *link) late() bool { return k.writeDeadline != 0 && k.loop.t.now() >= k.writeDeadline }

// overdue breaks the link if the write deadline has passed, or its NetConn has
// been closed: what is queued may not be sent any more, nor may anything behind
// it. The lock is held.
func (k *link) overdue() error {
	if k.disowned() {
		return net.ErrClosed
	}
	if !k.late() {
		return nil
	}
	k.breakOff(os.ErrDeadlineExceeded, false)
	k.kick()
	return os.ErrDeadlineExceeded
}

// Flush implements [listen.Link].
func (k *link) Flush() error {
	k.mu.Lock()
	defer k.unlock()
	return k.flush()
}

// flush is Flush with the lock held, before and after.
func (k *link) flush() error {
	for {
		if err := k.writable(); err != nil {
			return err
		}
		if err := k.pushOut(); err != nil {
			return err
		}
		if n, limit := k.unsent(), k.srv.opt.SendBuffer; n == 0 || limit < 0 || n < limit {
			return nil
		}
		k.awaitWriter()
	}
}

// Write implements [listen.Link].
func (k *link) Write(p []byte) (int, error) {
	k.mu.Lock()
	defer k.unlock()
	if len(p) <= copyMost && k.unsent() == 0 && k.writable() == nil {
		// The common case without a copy.
		n, err := k.send(p, 0)
		if err != nil || n == len(p) {
			return n, err
		}
		m, err := k.writeRest(p[n:])
		return n + m, err
	}
	return k.writeRest(p)
}

// writeRest is Write where the socket may be full. The lock is held before and
// after.
func (k *link) writeRest(p []byte) (done int, err error) {
	defer k.unmeter()
	for {
		if err := k.writable(); err != nil {
			return done, err
		}
		rest := p[done:]
		if limit := k.srv.opt.SendBuffer; limit < 0 || len(rest) <= copyMost && k.unsent()+len(rest) <= limit {
			if k.tail == nil {
				k.tail = newBuffer()
			}
			k.tail.add(rest)
			k.status |= spoken
			return len(p), k.pushOut()
		}
		if k.flight != nil {
			k.awaitWriter()
			continue
		}
		if err := k.sendQueue(unix.MSG_MORE); err != nil {
			return done, err
		}
		if k.tail.len() == 0 {
			n, err := k.send(rest, 0)
			done += n
			if err != nil || done == len(p) {
				return done, err
			}
			if n > 0 {
				continue
			}
		}
		k.awaitRoom()
	}
}

// awaitRoom blocks until the socket may take more. The lock is held before and
// after.
func (k *link) awaitRoom() {
	k.loop.time.Store(k.loop.t.now())
	k.meter()
	k.status |= wantPoll
	k.kick()
	k.awaitWriter()
}

var _ io.ReaderFrom = (*link)(nil)

// sendfileMost is how much one sendfile call is asked to move: small enough
// that a fast peer does not keep the goroutine in the kernel for long.
const sendfileMost = 1 << 20

// ReadFrom implements [io.ReaderFrom] with sendfile(2) for what
// [listen.FileOf] finds a file in.
func (k *link) ReadFrom(r io.Reader) (done int64, err error) {
	f, ok := listen.FileOf(r)
	if !ok {
		return 0, errors.ErrUnsupported
	}
	if f.Offset < 0 { // a section is of something that has offsets
		st, err := f.File.Stat()
		if err != nil || !st.Mode().IsRegular() {
			return 0, errors.ErrUnsupported
		}
	}
	rc, err := f.File.SyscallConn()
	if err != nil {
		return 0, errors.ErrUnsupported
	}
	ctlErr := rc.Control(func(fd uintptr) {
		done, err = k.sendfile(int(fd), f.Offset, f.Count)
	})
	if aerr := f.Advance(done); err == nil {
		err = aerr
	}
	if err == nil {
		err = ctlErr
	}
	return done, err
}

// sendfile sends count bytes of src from offset, or from its own position if
// that is negative.
func (k *link) sendfile(src int, offset, count int64) (done int64, err error) {
	var at *int64
	if offset >= 0 {
		at = &offset
	}
	k.mu.Lock()
	defer k.unlock()
	defer k.unmeter()
	for done < count {
		if err := k.writable(); err != nil {
			return done, err
		}
		if k.flight != nil {
			k.awaitWriter()
			continue
		}
		if err := k.sendQueue(unix.MSG_MORE); err != nil {
			return done, err
		}
		if k.tail.len() > 0 {
			k.awaitRoom()
			continue
		}
		raceRelease()
		n, err := unix.Sendfile(int(k.fd), src, at, int(min(count-done, sendfileMost)))
		if n > 0 {
			done += int64(n)
			k.accepted(n)
		}
		switch {
		case n == 0 && err == nil:
			return done, nil // end of file
		case errors.Is(err, unix.EAGAIN):
			k.awaitRoom()
		case errors.Is(err, unix.EINTR), err == nil:
		case done == 0 && (errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOSYS) || errors.Is(err, unix.EOPNOTSUPP)):
			return 0, errors.ErrUnsupported
		default:
			err = os.NewSyscallError("sendfile", err)
			k.breakOff(err, false)
			k.kick()
			return done, err
		}
	}
	return done, nil
}
