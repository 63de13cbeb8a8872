//go:build linux

package load

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

const haveEpoll = true

// runEpoll drives the load with one event loop per thread.
func runEpoll(ctx context.Context, spec *Spec) (*Result, error) {
	loops := make([]*loop, 0, spec.Threads)
	defer func() {
		for _, l := range loops {
			l.close()
		}
	}()
	for i := range spec.Threads {
		l, err := newLoop(spec, i)
		if err != nil {
			return nil, err
		}
		loops = append(loops, l)
	}
	var stop atomic.Bool
	defer context.AfterFunc(ctx, func() { stop.Store(true) })()
	base := time.Now()
	var wg sync.WaitGroup
	errs := make([]error, len(loops))
	for i, l := range loops {
		wg.Go(func() {
			runtime.LockOSThread()
			defer runtime.UnlockOSThread()
			errs[i] = l.run(base, &stop)
		})
	}
	wg.Wait()
	total := &Result{Latency: NewHistogram()}
	for _, l := range loops {
		total.add(&l.res)
	}
	return total, errors.Join(errs...)
}

// phase is where a connection is in its life.
type phase uint8

const (
	asking    phase = iota // sends requests, reads responses
	upgrading              // waits for the 101
	raw                    // sends messages, reads their echo
	closing                // Churn: answered, waits for the server to close
)

// conn is one connection of a loop. The loop's thread owns it.
type conn struct {
	fd      int
	slot    int32
	gen     int32 // counts the connections that had this slot
	phase   phase
	left    int    // responses awaited
	body    int64  // bytes of the current body (or echo) still to come
	out     []byte // bytes still to be sent
	carry   []byte // start of an incomplete head
	started int64  // when the batch was sent (Closed) or arrived (Open)
}

// loop is one event loop with its connections.
type loop struct {
	spec  *Spec
	epfd  int
	timer int // timerfd of an open loop, else -1
	to    unix.SockaddrInet4
	conns []*conn
	idle  queue
	live  int
	head  headParser
	batch []byte
	buf   []byte
	sched schedule
	armed int64 // the arrival that the timer is set for
	first bool  // calls Edge
	least int64 // its share of Spec.Least
	dials int

	base     time.Time
	open     bool // the window is open
	opened   int64
	deadline int64
	ending   bool // nothing new is sent
	res      Result
}

// readBuffer is large enough that a 64 KiB body comes in one read.
const readBuffer = 256 << 10

// newLoop makes loop i of the load and opens its share of the connections.
func newLoop(spec *Spec, i int) (*loop, error) {
	ap, err := netip.ParseAddrPort(spec.Addr)
	if err != nil || !ap.Addr().Is4() {
		return nil, fmt.Errorf("load: %q is not IPV4:PORT", spec.Addr)
	}
	l := &loop{
		spec: spec, epfd: -1, timer: -1, first: i == 0, dials: i << 16,
		head:  headParser{status: spec.Status, length: spec.Length},
		least: int64(share(spec.Least, spec.Threads, i)),
		batch: spec.batch(),
		buf:   make([]byte, readBuffer),
		res:   Result{Latency: NewHistogram()}, armed: -1,
		to: unix.SockaddrInet4{Addr: ap.Addr().As4(), Port: int(ap.Port())},
	}
	if spec.Upgrade != nil {
		l.head = headParser{status: 101, length: -1}
	}
	if spec.Mode == Open {
		l.sched = newSchedule(spec.Rate/float64(spec.Threads), spec.Warmup+spec.Duration)
	}
	if err := l.setup(share(spec.Conns, spec.Threads, i)); err != nil {
		l.close()
		return nil, err
	}
	return l, nil
}

// share divides n as evenly as possible and returns part i.
func share(n, parts, i int) int {
	s := n / parts
	if i < n%parts {
		s++
	}
	return s
}

func (l *loop) setup(conns int) error {
	var err error
	if l.epfd, err = unix.EpollCreate1(unix.EPOLL_CLOEXEC); err != nil {
		return fmt.Errorf("epoll_create1: %w", err)
	}
	if l.spec.Mode == Open {
		l.timer, err = unix.TimerfdCreate(unix.CLOCK_MONOTONIC, unix.TFD_NONBLOCK|unix.TFD_CLOEXEC)
		if err != nil {
			return fmt.Errorf("timerfd_create: %w", err)
		}
		ev := unix.EpollEvent{Events: unix.EPOLLIN | unix.EPOLLET, Fd: -1}
		if err := unix.EpollCtl(l.epfd, unix.EPOLL_CTL_ADD, l.timer, &ev); err != nil {
			return fmt.Errorf("epoll_ctl: %w", err)
		}
	}
	l.conns = make([]*conn, conns)
	l.idle = newQueue(conns)
	for i := range l.conns {
		l.conns[i] = &conn{fd: -1, slot: int32(i)}
		if l.spec.Mode == Churn {
			continue // each request brings its own
		}
		if err := l.dial(l.conns[i], true); err != nil {
			return err
		}
	}
	return nil
}

// close releases what setup opened.
func (l *loop) close() {
	for _, c := range l.conns {
		if c.fd >= 0 {
			unix.Close(c.fd)
			c.fd = -1
		}
	}
	for _, fd := range []int{l.timer, l.epfd} {
		if fd >= 0 {
			unix.Close(fd)
		}
	}
	l.timer, l.epfd = -1, -1
}

// now is the time in nanoseconds since the load began.
func (l *loop) now() int64 { return int64(time.Since(l.base)) }

// run drives the connections until the window is over and every request that
// was sent is answered.
func (l *loop) run(base time.Time, stop *atomic.Bool) error {
	l.base = base
	l.live = len(l.conns)
	for _, c := range l.conns {
		l.begin(c)
	}
	events := make([]unix.EpollEvent, 256)
	for !stop.Load() && !l.over() {
		n, err := unix.EpollWait(l.epfd, events, l.wait())
		if err != nil && !errors.Is(err, unix.EINTR) {
			return fmt.Errorf("epoll_wait: %w", err)
		}
		l.edges()
		for i := range max(n, 0) {
			ev := &events[i]
			if ev.Fd < 0 {
				continue // the timer: arrive() looks at the clock
			}
			if c := l.conns[ev.Fd]; c.gen == ev.Pad && c.fd >= 0 {
				l.handle(c, ev.Events)
			}
		}
		l.arrive()
	}
	l.unanswered()
	return nil
}

// begin starts a fresh connection's traffic.
func (l *loop) begin(c *conn) {
	switch {
	case l.spec.Mode == Churn:
		l.renew(c)
	case l.spec.Upgrade != nil:
		c.phase, c.left, c.out = upgrading, 1, l.spec.Upgrade
		l.flush(c)
	default:
		l.ready(c, l.now())
	}
}

// over reports whether the run can end: the window is closed and nothing is
// awaited, or too much went wrong.
func (l *loop) over() bool {
	if l.res.Errors >= int64(l.spec.MaxErrors) || l.live == 0 {
		l.edges()
		return true
	}
	if !l.ending {
		return false
	}
	if l.now() > l.deadline {
		return true
	}
	if l.spec.Mode == Open {
		if _, more := l.sched.arrival(); more {
			return false // arrivals of the window that found no free connection
		}
	}
	for _, c := range l.conns {
		if c.fd >= 0 && (c.left > 0 || c.phase == closing) {
			return false
		}
	}
	return true
}

// unanswered turns what is still awaited at the end into errors.
func (l *loop) unanswered() {
	if !l.ending || l.now() <= l.deadline {
		return
	}
	var n int64
	for _, c := range l.conns {
		if c.fd >= 0 && (c.left > 0 || c.phase == closing) {
			n++
		}
	}
	if l.spec.Mode == Open {
		for _, more := l.sched.arrival(); more; _, more = l.sched.arrival() {
			l.sched.take()
			n++
		}
	}
	l.res.Errors += n
	if n > 0 && l.res.First == nil {
		l.res.First = ErrUnanswered
	}
}

// edges opens and closes the window when its time has come.
func (l *loop) edges() {
	now := l.now()
	start := int64(l.spec.Warmup)
	if !l.open && !l.ending && now >= start {
		l.open, l.opened = true, now
		l.edge(true)
		l.opened = l.now()
	}
	end := start + int64(l.spec.Duration)
	if l.open && now >= end && (l.res.Requests >= l.least || now >= end+int64(l.spec.Drain)) {
		l.open, l.ending = false, true
		l.res.Elapsed = time.Duration(now - l.opened)
		l.edge(false)
		l.deadline = l.now() + int64(l.spec.Drain)
	}
}

func (l *loop) edge(open bool) {
	if l.first && l.spec.Edge != nil {
		l.spec.Edge(open)
	}
}

// wait is how long epoll_wait may block, in milliseconds.
func (l *loop) wait() int {
	const longest = 50 // so that a cancelled run is noticed
	if l.ending {
		return 1
	}
	next := int64(l.spec.Warmup)
	if l.open {
		next += int64(l.spec.Duration)
	}
	if l.open && l.res.Requests < l.least {
		return 1 // however late: an answer may end the window
	}
	ms := (next - l.now() + int64(time.Millisecond) - 1) / int64(time.Millisecond)
	return int(min(max(ms, 0), longest))
}
