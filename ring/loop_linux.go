//go:build linux && !noring

package ring

import (
	"errors"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/windhover-server/windhover/listen"
	"github.com/windhover-server/windhover/ring/internal/uring"
)

// sizes are what a loop is made of.
type sizes struct {
	alwaysBulk bool // receive in bulk, for tests

	sq, cq    uint32      // queue entries
	piecewise bufferSizes // with incremental consumption, which is not asked for if most is 0
	whole     bufferSizes // without
}

// bufferSizes say how many receive buffers of how many bytes a loop begins
// with and may grow to; most is a power of two.
type bufferSizes struct{ bytes, first, most int }

// With incremental consumption a buffer serves many small receptions or one
// large one; without it each reception takes a whole buffer, so there are more
// and smaller ones.
var normalSizes = sizes{
	sq: 1024, cq: 8192,
	piecewise: bufferSizes{bytes: 32 << 10, first: 8, most: 128},
	whole:     bufferSizes{bytes: 4 << 10, first: 128, most: 1024},
}

const (
	// turnLimit is how many completions are taken before what they led to is
	// submitted. It bounds how long the submission keeps the goroutine from
	// being stopped by the garbage collector, to some 0.5 ms.
	turnLimit = 64

	// yieldAfter is how many completions are taken before other goroutines get
	// the processor, about a millisecond's worth. A loop that yielded sooner
	// would come back late: the scheduler puts it behind everything else.
	yieldAfter = 128

	// yieldTime is after how long they get it if calls are being made off the
	// loop, which would wait for all of those on it otherwise.
	yieldTime = 500 * time.Microsecond
)

// Operations, the low byte of user data.
const (
	opIgnore = iota
	opRecv
	opSend
	opPoll
	opCancel
	opInput
	opHangup
)

// loop is one ring and the connections on it. One goroutine at a time leads
// it; only the leader touches the fields of the first group. Leadership moves
// as lead_linux.go describes.
type loop struct {
	// The leader's.
	ring    *uring.Ring
	bufs    *pool
	slots   []slot
	free    []uint32
	placed  int    // links in slots
	phase   uint32 // of the transport, as told to the links
	rounds  uint32 // of DrainIdle, likewise
	current call
	hungry  []*link // starved, and got nothing since the last time
	starved []*link
	work    []*link // taken from the inbox, still to be served
	spare   []*link // the inbox's other slice
	taken   int     // completions since the loop last yielded or slept
	made    int     // calls in this turn
	timed   int     // turns in which calls are still to be timed
	thread  int32   // thread that the leader runs on, as of this turn
	settled int     // turns on that thread in a row
	brisk   int     // short sleeps in a row that a completion ended
	polled  int64   // when the leader last parked, on the transport's clock
	yielded int64   // … or yielded

	// Shared.
	t          *Transport
	alwaysBulk bool
	word       atomic.Uint64 // see lead_linux.go
	time       atomic.Int64  // the clock at the start of this turn
	sleep      atomic.Int32  // awake, dozing or parked
	woken      atomic.Bool
	load       atomic.Int64 // links, for spreading
	suspicion  atomic.Int32 // how many new links begin off the loop
	event      *os.File     // eventfd that the ring signals while the leader is parked
	eventRC    syscall.RawConn
	idle       goroutines

	inbox struct {
		mu    sync.Mutex
		links []*link
		n     atomic.Int32 // len(links)
	}
	timers struct {
		mu    sync.Mutex
		wheel wheel
		at    int64 // when clock fires; 0 is not set
		clock *time.Timer
	}
	watch watched
}

// slot is a place in the loop's table. The generation is part of user data, so
// that a completion meant for an earlier link in the place is recognised.
type slot struct {
	link *link
	gen  uint32
}

const genMask = 1<<24 - 1

func userData(id uint64, op uint64) uint64 { return id | op }

// wantFlags are the setup flags the loop is faster with.
const wantFlags = uring.SetupSubmitAll | uring.SetupCoopTaskrun | uring.SetupTaskrunFlag | uring.SetupNoSQArray

func newLoop(t *Transport, size sizes) (*loop, error) {
	r, err := uring.New(uring.Config{
		Entries: size.sq, CQEntries: size.cq,
		Need: uring.SetupClamp,
		Want: wantFlags,
	})
	if err != nil {
		return nil, err
	}
	l := &loop{t: t, ring: r, alwaysBulk: size.alwaysBulk}
	if l.bufs, err = newPool(r, size); err == nil {
		err = l.openEvent()
	}
	if err != nil {
		_ = r.Close() // the first error is the one to report
		return nil, err
	}
	return l, nil
}

// openEvent makes the eventfd that stands for the ring in Go's netpoller. The
// ring's own descriptor would do, but it wakes the poller for every completion
// of a busy loop, too; eventfd signals are switched off by a word of memory
// while the leader is awake.
func (l *loop) openEvent() error {
	fd, err := unix.Eventfd(0, unix.EFD_NONBLOCK|unix.EFD_CLOEXEC)
	if err != nil {
		return os.NewSyscallError("eventfd", err)
	}
	l.event = os.NewFile(uintptr(fd), "io_uring")
	l.eventRC, err = l.event.SyscallConn()
	if err == nil {
		l.ring.SetEventfd(false)
		err = l.ring.RegisterEventfd(fd)
	}
	if err != nil {
		_ = l.event.Close()
	}
	return err
}

// turns leads the loop until leadership is lost or the transport has ended.
func (l *loop) turns() {
	for {
		l.hear()
		l.settled++
		l.time.Store(l.t.now())
		if !l.reap() || !l.serve() {
			return
		}
		if l.made > 0 || l.timed > 0 {
			l.weigh()
		}
		l.feedStarved()
		if l.ring.SQReady() > 0 || l.ring.NeedsEnter() {
			if l.dozes() && l.ring.CQReady() == 0 && l.inbox.n.Load() == 0 {
				l.doze() // submits as well
				continue
			}
			l.submit()
		}
		if l.ring.CQReady() > 0 || l.inbox.n.Load() > 0 {
			if l.taken >= yieldAfter || l.idle.busy.Load() > 1 && l.time.Load()-max(l.yielded, l.polled) >= int64(yieldTime) {
				l.taken = 0
				runtime.Gosched() // to the goroutines readied meanwhile
				l.noteThread()
				l.yielded = l.t.now()
			}
			continue
		}
		if l.placed == 0 && l.t.finished.Load() {
			l.tearDown()
			return
		}
		l.rest()
	}
}

// noteThread keeps track of the thread that requests are made by. The leader
// looks where it gives up its thread; that the scheduler takes it away is rare,
// and costs no more than a receive armed on the wrong thread.
func (l *loop) noteThread() {
	if id := int32(unix.Gettid()); id != l.thread {
		l.thread, l.settled = id, 0
	}
}

// reap handles completions. It reports whether leadership was kept.
func (l *loop) reap() bool {
	for range turnLimit {
		c, ok := l.ring.PeekCQE()
		if !ok {
			break
		}
		l.ring.CQAdvance()
		l.taken++
		if !l.complete(c) {
			return false
		}
	}
	return true
}

// complete handles one completion. It reports whether leadership was kept.
func (l *loop) complete(c uring.CQE) bool {
	op := c.UserData & 0xff
	if op == opIgnore {
		return true
	}
	k := l.find(c.UserData)
	if k == nil {
		if c.Flags&uring.CQEFBuffer != 0 {
			l.bufs.take(c)
			l.bufs.recycle(c)
		}
		return true
	}
	switch op {
	case opRecv:
		return l.received(k, c)
	case opSend:
		return l.sent(k, c)
	case opInput:
		return l.inputCame(k)
	case opHangup:
		return l.hangup(k, c.Res)
	case opCancel:
		return l.cancelDone(k, unix.Errno(-min(c.Res, 0)))
	default:
		k.mu.Lock()
		k.status &^= polling | wantPoll
		k.wakeWriter()
		return l.after(k)
	}
}

// find returns the link that user data names, or nil when it is gone.
func (l *loop) find(ud uint64) *link {
	i := ud >> 32
	if i >= uint64(len(l.slots)) || l.slots[i].gen != uint32(ud>>8)&genMask {
		return nil
	}
	return l.slots[i].link
}

// place gives a new link its slot.
func (l *loop) place(k *link) {
	var i uint32
	if n := len(l.free); n > 0 {
		i = l.free[n-1]
		l.free = l.free[:n-1]
	} else {
		i = uint32(len(l.slots))
		l.slots = append(l.slots, slot{gen: 1}) // no link has ID 0
	}
	s := &l.slots[i]
	s.link = k
	k.id = uint64(i)<<32 | uint64(s.gen)<<8
	l.placed++
}

// vacate takes a link out of the table.
func (l *loop) vacate(k *link) {
	i := k.id >> 32
	s := &l.slots[i]
	s.link = nil
	s.gen = max((s.gen+1)&genMask, 1)
	l.free = append(l.free, uint32(i))
	l.placed--
}

// serve looks at the links in the inbox. It reports whether leadership was
// kept.
func (l *loop) serve() bool {
	if len(l.work) == 0 && l.inbox.n.Load() > 0 {
		l.inbox.mu.Lock()
		l.work, l.inbox.links = l.inbox.links, l.spare[:0]
		l.inbox.n.Store(0)
		l.inbox.mu.Unlock()
		l.spare = l.work
	}
	for len(l.work) > 0 {
		k := l.work[0]
		l.work[0] = nil
		l.work = l.work[1:]
		k.mu.Lock()
		k.status &^= queued
		isNew := k.id == 0 // no call has been made, so no end either
		if isNew {
			l.place(k)
		}
		if !l.after(k) {
			return false
		}
		if isNew && l.phase != open {
			l.tellPhase(k)
		}
	}
	return true
}

// hear tells the links what Shutdown, Close and DrainIdle want.
func (l *loop) hear() {
	phase, rounds := l.t.phase.Load(), l.t.drainRounds.Load()
	if phase == l.phase && rounds == l.rounds {
		return
	}
	idleOnly := phase == l.phase
	l.phase, l.rounds = phase, rounds
	for _, s := range l.slots {
		if s.link == nil {
			continue
		}
		if idleOnly {
			l.tellIdle(s.link)
		} else {
			l.tellPhase(s.link)
		}
	}
}

// tellPhase has a link drain or break.
func (l *loop) tellPhase(k *link) {
	k.mu.Lock()
	if l.phase == aborting {
		k.breakOff(listen.ErrServerClosed, k.status&running == 0)
	} else {
		k.status |= draining
	}
	k.kick()
	k.unlock()
}

// tellIdle has a link drain if it waits.
func (l *loop) tellIdle(k *link) {
	k.mu.Lock()
	if k.status&running == 0 {
		k.status |= draining
		k.kick()
	}
	k.unlock()
}

// enqueue puts a link into the inbox and wakes the leader if it sleeps.
func (l *loop) enqueue(k *link) {
	l.inbox.mu.Lock()
	l.inbox.links = append(l.inbox.links, k)
	l.inbox.n.Store(int32(len(l.inbox.links)))
	l.inbox.mu.Unlock()
	l.wake()
}

// submit gives all prepared entries to the kernel and collects what is
// complete.
func (l *loop) submit() {
	_, err := l.ring.SubmitAndGetEvents()
	l.entered(err)
}

// entered reports an error of io_uring_enter that the next turn does not mend.
func (l *loop) entered(err error) {
	switch {
	case err == nil, errors.Is(err, unix.EINTR), errors.Is(err, unix.ETIME):
	case errors.Is(err, unix.EBUSY), errors.Is(err, unix.EAGAIN):
		// EBUSY: the completions must be reaped first, which is what comes
		// next. EAGAIN: the kernel is short of memory; entries stay queued.
	default:
		l.t.report(os.NewSyscallError("io_uring_enter", err))
	}
}

// entry returns a free submission entry, submitting the others first if the
// queue is full. It returns nil when the kernel takes none; the caller has to
// come back.
func (l *loop) entry() *uring.SQE {
	e := l.ring.GetSQE()
	if e == nil {
		l.submit()
		e = l.ring.GetSQE()
	}
	return e
}

var past = time.Unix(1, 0)

// States of the leader's sleep.
const (
	awake int32 = iota
	dozing
	parked
)

const (
	// dozeAfter is how many sleeps in a row must have been shorter than
	// dozeMost, and ended by a completion, before the leader dozes.
	dozeAfter = 4
	dozeMost  = 400 * time.Microsecond

	// dozeLinks is up to how many connections a leader dozes for. With more it
	// would wake for each completion, where parking lets some gather.
	dozeLinks = 2

	// parkEvery is how often a leader that dozes parks nevertheless: on one P
	// nobody else looks at Go's netpoller.
	parkEvery = 2 * time.Millisecond
)

// rest sleeps until there is something to do.
func (l *loop) rest() {
	if l.dozes() {
		l.doze()
		return
	}
	start := l.t.now()
	l.park()
	l.noteThread()
	l.polled = l.t.now()
	l.noteRest(l.polled-start < int64(dozeMost))
}

// dozes reports whether the next sleep is to be a doze. While handlers run off
// the loop it is not: one of them may wait for this leader's P.
func (l *loop) dozes() bool {
	return l.brisk >= dozeAfter && l.placed <= dozeLinks && l.idle.busy.Load() == 1 && l.time.Load()-l.polled < int64(parkEvery)
}

// noteRest takes note of a sleep.
func (l *loop) noteRest(short bool) {
	if short && l.ring.CQReady() > 0 {
		l.brisk++
	} else {
		l.brisk = 0
	}
}

// doze sleeps in the kernel until a completion, at most dozeMost. With few
// connections that answer at once, completions then come to the thread that
// waits for them; one that parks is woken twice, to run the completion and to
// be told of it. Nobody wakes a dozing leader: what comes to the inbox waits
// for the next completion or the end of the doze.
func (l *loop) doze() {
	l.taken = 0
	l.sleep.Store(dozing)
	var err error
	if !l.ready() {
		err = l.ring.SubmitAndWaitTimeout(1, dozeMost)
	}
	l.sleep.Store(awake)
	l.entered(err)
	l.noteRest(err == nil)
}

// park sleeps in Go's netpoller until a completion or a wake. Between storing
// parked and sleeping, everything a waker could have done before it saw parked
// is looked at again.
func (l *loop) park() {
	l.taken = 0
	l.sleep.Store(parked)
	l.ring.SetEventfd(true)
	var err error
	if !l.ready() {
		err = l.eventRC.Read(l.readyFd)
	}
	l.ring.SetEventfd(false)
	l.sleep.Store(awake)
	// A waker may set its deadline late, after the sleep it meant to end: then
	// the next Read fails, and this clears it.
	if l.woken.Swap(false) || err != nil {
		_ = l.event.SetReadDeadline(time.Time{})
	}
}

func (l *loop) readyFd(uintptr) bool { return l.ready() }

// ready reports whether there is something to do. Completions that wait for
// some other thread to enter the kernel do not count: the leader cannot run
// them, and is woken when they are posted.
func (l *loop) ready() bool {
	return l.ring.CQReady() > 0 || l.inbox.n.Load() > 0 || l.woken.Load() ||
		l.t.phase.Load() != l.phase || l.t.drainRounds.Load() != l.rounds || l.t.finished.Load()
}

// wake ends the leader's sleep, by a deadline in the past: that readies its
// goroutine without a system call.
func (l *loop) wake() {
	if l.sleep.Load() == parked && !l.woken.Swap(true) {
		_ = l.event.SetReadDeadline(past)
	}
}

// discard releases a loop that has never been led.
func (l *loop) discard() {
	_ = l.event.Close()
	_ = l.bufs.close()
	_ = l.ring.Close()
}

// tearDown ends the loop. No request is in the kernel any more.
func (l *loop) tearDown() {
	l.watch.close()
	l.timers.mu.Lock()
	if l.timers.clock != nil {
		l.timers.clock.Stop()
	}
	l.timers.mu.Unlock()
	_ = l.event.Close()
	if err := errors.Join(l.bufs.close(), l.ring.Close()); err != nil {
		l.t.report(err)
	}
	l.idle.close()
	l.t.loopEnded()
}

// setTimer has the link's timer fire at time at.
func (l *loop) setTimer(k *link, at int64) {
	w := &l.timers
	w.mu.Lock()
	if w.wheel.count == 0 {
		w.wheel.advance(l.t.now(), nil) // catch up, or at would look far away
	}
	w.wheel.set(&k.timer, at)
	l.windClock()
	w.mu.Unlock()
}

func (l *loop) stopTimer(k *link) {
	l.timers.mu.Lock()
	l.timers.wheel.remove(&k.timer)
	l.timers.mu.Unlock()
}

// windClock sets the clock to the wheel's next tick if that comes before what
// it is set to.
func (l *loop) windClock() {
	w := &l.timers
	at, ok := w.wheel.next()
	if !ok || (w.at != 0 && w.at <= at) {
		return
	}
	w.at = at
	d := time.Duration(at - l.t.now())
	if w.clock == nil {
		w.clock = time.AfterFunc(d, l.tick)
	} else {
		w.clock.Reset(d)
	}
}

// tick runs on a goroutine of its own when the clock fires.
func (l *loop) tick() {
	var due []*link
	w := &l.timers
	w.mu.Lock()
	now := l.t.now()
	w.at = 0
	w.wheel.advance(now, func(t *timer) { due = append(due, t.owner) })
	l.windClock()
	w.mu.Unlock()
	for _, k := range due {
		k.due(now)
	}
}
