//go:build linux && !noring

package ring

import (
	"errors"
	"io"
	"os"

	"golang.org/x/sys/unix"

	"github.com/windhover-server/windhover/ring/internal/uring"
)

// Provided buffers suit requests: nobody owns one while nothing comes. A large
// body they cost a copy, and cache misses: the kernel takes in all that a
// connection sends before anybody asks for it. So a connection whose protocol
// reads a lot receives in bulk: it has no multishot receive, but a poll request
// while somebody waits for input, and Read receives into its caller's memory.
const (
	// bulkEnter is how many bytes must have been read, lately, for that.
	bulkEnter = 24 << 10
	// bulkLeave is below how many it ends. What has been read counts half after
	// each wait and each call, and bulkMost at most.
	bulkLeave = bulkEnter / 4
	bulkMost  = 8 * bulkEnter

	// recvMost bounds one direct reception: the call keeps the garbage
	// collector waiting.
	recvMost = 128 << 10
)

// tookIn takes note of n bytes that Read has returned. The lock is held.
func (k *link) tookIn(n int) {
	k.volume = min(k.volume+uint32(n), bulkMost)
	if k.volume >= bulkEnter && k.status&bulk == 0 {
		k.status |= bulk
		k.kick() // to cancel the multishot receive
	}
}

// lull takes note that k has to wait for input, or that a call has ended. The
// lock is held.
func (k *link) lull() {
	k.volume /= 2
	if k.volume < bulkLeave && !k.loop.alwaysBulk {
		k.status &^= bulk
	}
}

// receiveDirect receives into p as far as bytes are there, in bulk. It returns 0
// when none are, when the end has come, or when the link has broken: see its
// status. The lock is held.
func (k *link) receiveDirect(p []byte) int {
	for {
		n, err := uring.Recv(int(k.fd), p[:min(len(p), recvMost)])
		switch {
		case n > 0:
			raceAcquire()
			return n
		case err == nil:
			k.sawEOF()
		case errors.Is(err, unix.EINTR):
			continue
		case errors.Is(err, unix.EAGAIN):
		default:
			k.breakOff(os.NewSyscallError("recv", err), true)
			k.kick()
		}
		return 0
	}
}

// refill is receiveDirect into the link's queue. It takes no more than a fresh
// buffer holds, also if this one has grown: the rest of a body is for Read.
func (k *link) refill() int {
	b := newBuffer()
	n := k.receiveDirect(b.b[:bufferSize])
	if n == 0 {
		b.free()
		return 0
	}
	b.b = b.b[:n]
	k.in = b
	return n
}

// sawEOF takes note of the peer's half-close. The lock is held.
func (k *link) sawEOF() {
	k.status |= eof
	if k.status&running != 0 {
		k.status |= goneDue
	}
	k.wakeReader()
}

// receiveBulk waits in the kernel for what k waits for while it receives in bulk:
// input, if somebody wants it, and the peer's end, if a running call watches.
// The lock is held.
func (l *loop) receiveBulk(k *link) {
	if k.status&(bulk|armed|eof|detaching) != bulk {
		return
	}
	if k.status&inPolled == 0 && (k.reader != nil || k.status&running == 0) {
		l.pollFor(k, opInput, inPolled, unix.POLLIN|unix.POLLRDHUP)
	}
	if k.status&(hupPolled|watching|running) == watching|running {
		l.pollFor(k, opHangup, hupPolled, unix.POLLRDHUP)
	}
}

// pollFor prepares a poll request. The lock is held.
func (l *loop) pollFor(k *link, op uint64, bit status, events uint32) {
	e := l.entry()
	if e == nil {
		k.kick()
		return
	}
	e.PrepPollAdd(int(k.fd), events)
	e.UserData = userData(k.id, op)
	k.status |= bit
}

// unpoll has the kernel give up the poll requests of a link that leaves. The lock
// is held.
func (l *loop) unpoll(k *link) {
	if k.status&(inPolled|hupPolled) == 0 || k.status&unpolled != 0 {
		return
	}
	k.status |= unpolled
	for _, op := range [...]uint64{opInput, opHangup} {
		e := l.entry()
		if e == nil {
			k.status &^= unpolled
			k.kick()
			return
		}
		e.PrepCancel64(userData(k.id, op), 0)
		e.UserData = opIgnore
	}
}

// inputCame handles the completion of a poll for input. It reports whether
// leadership was kept.
func (l *loop) inputCame(k *link) bool {
	k.mu.Lock()
	k.status &^= inPolled
	k.wakeReader()
	const not = armed | running | broken | closing | ended | eof | detaching | detached
	if k.status&(bulk|not) != bulk || k.in.len() > 0 || k.refill() == 0 {
		return l.after(k)
	}
	b := k.in
	k.in = nil
	if l.begin(k) {
		l.dispatch(k, evData, b)
		return l.after(k)
	}
	k.mu.Unlock()
	return l.pump(k, evData, b.rest(), b)
}

// hangup handles the completion of a poll for the peer's end. It reports whether
// leadership was kept.
func (l *loop) hangup(k *link, events int32) bool {
	k.mu.Lock()
	k.status &^= hupPolled
	switch {
	case events < 0 || k.status&(running|broken|eof) != running:
	case events&unix.POLLERR != 0:
		errno, err := unix.GetsockoptInt(int(k.fd), unix.SOL_SOCKET, unix.SO_ERROR)
		if err != nil || errno == 0 {
			errno = int(unix.ECONNRESET)
		}
		k.breakOff(os.NewSyscallError("recv", unix.Errno(errno)), true)
	default:
		k.status &^= watching // once
		k.status |= goneDue
	}
	return l.after(k)
}

// readBulk is what Read does in bulk when nothing is queued: n is what it has
// received into p, again says to look at the link's state anew. The lock is held.
func (k *link) readBulk(p []byte) (n int, again bool) {
	if k.status&(bulk|armed) != bulk {
		return 0, false
	}
	if len(p) < bufferSize/2 {
		return 0, k.refill() > 0 || k.status&(eof|broken) != 0
	}
	if n = k.receiveDirect(p); n > 0 {
		k.tookIn(n)
		return n, false
	}
	return 0, k.status&(eof|broken) != 0
}

var errEOF = io.EOF
