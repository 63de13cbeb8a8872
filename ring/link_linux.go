//go:build linux && !noring

package ring

import (
	"errors"
	"net"
	"os"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/windhover-server/windhover/listen"
	"github.com/windhover-server/windhover/ring/internal/uring"
)

// status is a set of facts about a link, guarded by its lock.
type status uint64

const (
	running   status = 1 << iota // a protocol call is under way
	offLoop                      // … on a goroutine that does not lead the loop
	queued                       // in the loop's inbox
	armed                        // a multishot receive is in the kernel
	cancelled                    // … and its cancellation
	polling                      // a wait for writability is in the kernel
	wantPoll                     // a writer needs one
	starved                      // receive ended for want of buffers; on one of the loop's lists
	fed                          // has got a buffer since
	eof                          // the peer half-closed
	eofTold                      // … and the protocol knows
	closing                      // verdict Close
	spoken                       // something has been sent or queued
	halfClose                    // CloseWrite: half-close once everything is sent
	shut                         // our side is half-closed
	lingering                    // waiting for the peer's end, discarding input
	broken                       // over: the socket is shut down, err says why
	goneDue                      // Gone is to be called when the lock is released
	detaching                    // Detach waits for the kernel to let go
	detached                     // the socket is somebody else's
	lateRead                     // the read deadline passed while nobody read
	draining                     // Drain is to be called
	dirty                        // on the loop's list of links to flush soon
	metered                      // something is unsent, and the send rate watched
	paused                       // not receiving: enough is waiting to be read
	bulk                         // receiving in bulk: see bulk_linux.go
	inPolled                     // … a wait for input is in the kernel
	watching                     // … the running call wants to know of the peer's end
	hupPolled                    // … and a wait for that is in the kernel
	unpolled                     // … both have been cancelled
	slow                         // its last timed call on the loop was long
	resumed                      // the receive was armed again, and has not emptied the socket since
	ended                        // out of the loop's table
	lostTold                     // Lost has been or is being called
	prompt                       // verdict Finish: does not linger, unless something comes
)

// errAborted is the reason of a link that its own protocol aborted.
var errAborted = errors.New("ring: aborted by the protocol")

// link is one connection and implements [listen.Link]. Its loop owns the slot
// and everything in the kernel; the lock guards the rest, and is never held
// while a protocol runs or anything blocks.
type link struct {
	mu    sync.Mutex
	loop  *loop
	srv   *server
	proto listen.Protocol

	fd     int32  // -1 once closed or detached
	volume uint32 // bytes read lately: see bulk_linux.go
	status status
	thread int32  // that armed the multishot receive
	longAt uint32 // calls when the last one was long
	id     uint64 // slot and generation, as in user data
	calls  uint32 // protocol calls begun

	credit  uint16 // calls to serve off the loop before the next try on it
	backoff uint16 // what credit is set to after a long call
	turn    uint64 // the loop's word during the last call made on it

	in     *buffer // received, neither delivered nor read
	tail   *buffer // committed by End, not yet given to the kernel
	flight *buffer // being sent by the kernel
	reader *waiter
	writer *waiter
	err    error // with broken

	readDeadline  int64 // on the transport's clock; 0 is none
	writeDeadline int64
	lingerEnd     int64
	rate          float64 // bytes per nanosecond; 0 is off
	grace         int64
	paidUntil     int64 // see send_linux.go
	timer         timer
	armedAt       int64 // when timer fires; 0 is not set

	peer     peer
	lingered int32 // bytes discarded while lingering
	telling  int32 // calls of Gone under way
	names    *names
}

// peer is a TCP peer's address in as few bytes as possible, or nothing: a Unix
// socket's, or one with a zone, is in names.
type peer struct {
	ip    [16]byte
	port  uint16
	kind  uint8 // 4 or 6
	asked bool  // RemoteAddr has made a net.Addr of it
}

// names are what a link needs only when somebody asks.
type names struct {
	local, remote net.Addr
	conn          net.Conn // NetConn's
	raw           syscall.RawConn
	unwatched     chan struct{} // closed when nobody watches conn any more
}

// event is a reason to call the protocol.
type event uint8

const (
	evNone event = iota
	evData
	evEOF
	evExpired
	evDrain
	evLost
)

// call makes one protocol call.
func (k *link) call(ev event, p []byte) listen.Verdict {
	switch ev {
	case evData:
		return k.proto.Data(p)
	case evEOF:
		return k.proto.EOF()
	case evExpired:
		return k.proto.Expired()
	case evDrain:
		return k.proto.Drain()
	default:
		k.proto.Lost(k.reason())
		return listen.Wait
	}
}

// reason is what Lost is told.
func (k *link) reason() error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if errors.Is(k.err, errAborted) {
		return nil
	}
	return k.err
}

// next chooses the next call, or evNone. The lock is held and no call is under
// way. Bytes are returned as a buffer that the caller owns.
func (k *link) next() (event, *buffer) {
	switch {
	case k.status&(broken|closing|detached|ended) != 0:
		return evNone, nil
	case k.in.len() > 0:
		b := k.in
		k.in = nil
		if k.status&paused != 0 {
			k.kick() // to receive again
		}
		return evData, b
	case k.status&(eof|eofTold) == eof:
		k.status |= eofTold
		return evEOF, nil
	case k.status&lateRead != 0:
		k.status &^= lateRead
		k.readDeadline = 0 // told once
		return evExpired, nil
	case k.status&draining != 0:
		k.status &^= draining
		return evDrain, nil
	}
	return evNone, nil
}

// settle takes note of a verdict and chooses the next call, which will be made
// with word turn. When there is none, the link waits. The lock is held.
func (k *link) settle(v listen.Verdict, turn uint64) (event, *buffer) {
	switch v {
	case listen.Close:
		k.status |= closing
	case listen.Finish:
		k.status |= closing | prompt
	case listen.Abort:
		k.status &^= running // nobody is left to be told by Gone
		k.breakOff(errAborted, false)
	case listen.Detached:
		k.status |= detached
	}
	k.lull()
	if v == listen.Close || v == listen.Finish {
		k.status &^= bulk // what comes now is discarded
	}
	ev, b := k.next()
	if ev == evNone {
		k.status &^= running | offLoop | watching
	} else {
		k.calls++
		k.turn = turn
	}
	return ev, b
}

// unlock releases the lock, and calls Gone if that became due under it.
func (k *link) unlock() {
	if k.status&goneDue == 0 {
		k.mu.Unlock()
		return
	}
	k.status &^= goneDue
	err := k.err
	if err == nil {
		err = errEOF
	} else if errors.Is(err, errAborted) {
		err = net.ErrClosed
	}
	k.telling++ // Lost waits
	k.mu.Unlock()
	k.proto.Gone(err)
	k.mu.Lock()
	k.telling--
	k.kick()
	k.unlock()
}

// breakOff ends the link for reason err: whatever is in the kernel for it
// completes soon. Unless gently, a TCP peer gets a reset: it must not take what
// it has got for all there was, and nothing is kept for one that does not read.
// The first reason counts. The lock is held; the caller unlocks with unlock and
// sees to it that the loop looks at the link.
func (k *link) breakOff(err error, gently bool) {
	if k.status&(broken|ended|detached) != 0 {
		return
	}
	k.status |= broken
	k.err = err
	if k.status&running != 0 {
		k.status |= goneDue
	}
	if gently || !k.srv.tcp || uring.Reset(int(k.fd)) != nil {
		_ = uring.Shutdown(int(k.fd), unix.SHUT_RDWR) // ENOTCONN after a reset is as good
	}
	k.wakeReader()
	k.wakeWriter()
}

// failure is why reads and writes fail, or nil. The lock is held.
func (k *link) failure() error {
	k.disowned()
	switch {
	case k.status&broken != 0:
		if errors.Is(k.err, errAborted) {
			return net.ErrClosed
		}
		return k.err
	case k.status&(detached|ended) != 0:
		return net.ErrClosed
	}
	return nil
}

// kick has the loop look at the link. The lock is held.
func (k *link) kick() {
	if k.status&(queued|ended) == 0 {
		k.status |= queued
		k.loop.enqueue(k)
	}
}

// Abort implements [listen.Link].
func (k *link) Abort() { k.abort(false) }

func (k *link) abort(gently bool) {
	k.mu.Lock()
	k.breakOff(errAborted, gently)
	k.kick()
	k.unlock()
}

// Watch implements [listen.Link]. Receiving goes on while a call runs, so
// that the peer's end is noticed; in bulk it needs a request of its own.
func (k *link) Watch() {
	k.mu.Lock()
	k.status |= watching
	if k.status&bulk != 0 {
		k.kick()
	}
	k.mu.Unlock()
}

// Leave implements [listen.Link].
func (k *link) Leave() {
	k.mu.Lock()
	turn := k.turn
	k.mu.Unlock()
	k.loop.leave(turn)
}

// A waiter is a goroutine blocked in a method of a link.
type waiter struct {
	ch  chan struct{} // gets one value
	dst []byte        // a reader's, to be filled by whoever receives
	n   int           // how much of dst has been filled
}

var waiters = sync.Pool{New: func() any { return &waiter{ch: make(chan struct{}, 1)} }}

// park blocks until w is woken. The lock is released meanwhile, and the loop
// is handed on if this call was running on it.
func (k *link) park(w *waiter) {
	turn := k.turn
	k.unlock()
	k.loop.leave(turn)
	<-w.ch
	k.mu.Lock()
}

func (w *waiter) free() {
	w.dst, w.n = nil, 0
	waiters.Put(w)
}

func (k *link) wakeReader() {
	if k.reader != nil {
		k.reader.ch <- struct{}{}
		k.reader = nil
	}
}

func (k *link) wakeWriter() {
	if k.writer != nil {
		k.writer.ch <- struct{}{}
		k.writer = nil
	}
}

// awaitWriter blocks until the state that writers care about has changed. The
// lock is held before and after.
func (k *link) awaitWriter() {
	w := waiters.Get().(*waiter)
	k.writer = w
	k.park(w)
	w.free()
}

// SetReadDeadline implements [listen.Link].
func (k *link) SetReadDeadline(t time.Time) {
	k.mu.Lock()
	k.readDeadline = k.loop.t.clock(t)
	k.status &^= lateRead
	if k.reader != nil && k.readDeadline != 0 && k.readDeadline <= k.loop.t.now() {
		k.wakeReader()
	}
	k.setTimer(k.readDeadline)
	k.mu.Unlock()
}

// SetWriteDeadline implements [listen.Link].
func (k *link) SetWriteDeadline(t time.Time) {
	k.mu.Lock()
	k.writeDeadline = k.loop.t.clock(t)
	if k.writer != nil && k.writeDeadline != 0 && k.writeDeadline <= k.loop.t.now() {
		k.wakeWriter()
	}
	k.setTimer(k.writeDeadline)
	k.mu.Unlock()
}

// SetSendRate implements [listen.Link].
func (k *link) SetSendRate(bytesPerSecond float64, grace time.Duration) {
	k.mu.Lock()
	k.rate = bytesPerSecond / float64(time.Second)
	k.grace = int64(grace)
	k.paidUntil = 0
	k.status &^= metered
	if k.unsent() > 0 {
		k.meter()
	}
	k.mu.Unlock()
}

// setTimer sees to it that the timer fires at time at or earlier. The lock is
// held. Deadlines that move away cost nothing: the timer fires at the old
// time and is set anew.
func (k *link) setTimer(at int64) {
	if at != 0 && (k.armedAt == 0 || at < k.armedAt) && k.status&ended == 0 {
		k.armedAt = at
		k.loop.setTimer(k, at)
	}
}

// due acts on the deadlines that have passed and sets the timer for the
// others. It is called without the lock when the timer has fired.
func (k *link) due(now int64) {
	k.mu.Lock()
	k.armedAt = 0
	if k.status&(ended|detached) != 0 {
		k.mu.Unlock()
		return
	}
	passed := func(at int64) bool {
		if at > now {
			k.setTimer(at)
		}
		return at != 0 && at <= now
	}
	if passed(k.readDeadline) {
		if k.reader != nil {
			k.wakeReader()
		} else {
			k.status |= lateRead
			k.kick()
		}
	}
	if passed(k.writeDeadline) && (k.writer != nil || k.unsent() > 0) {
		if k.writer != nil {
			k.wakeWriter()
		} else {
			k.breakOff(os.ErrDeadlineExceeded, false)
			k.kick()
		}
	}
	if k.status&metered != 0 && passed(k.paidUntil+k.grace) && (k.writer != nil || k.unsent() > 0) {
		k.breakOff(listen.ErrSlowPeer, false)
		k.kick()
	}
	if passed(k.lingerEnd) {
		k.breakOff(errAborted, true)
		k.kick()
	}
	k.unlock()
}
