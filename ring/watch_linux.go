//go:build linux && !noring

package ring

import (
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/windhover-server/windhover/ring/internal/uring"
)

const (
	// watchTick is how often the watchdog looks while there are calls, and
	// watchAgain how soon once more when it has seen one. The sum is how long
	// a call may hold up the loop.
	watchTick  = time.Millisecond
	watchAgain = 300 * time.Microsecond

	// watchIdle is how many ticks without anything to do end the ticking.
	watchIdle = 20
)

// watchdog ticks while any loop of its transport makes calls. It takes the
// loop from a call seen on two ticks, and sends what calls off the loop have
// committed and not flushed.
//
// Its clock is a timerfd in Go's netpoller, not a Go timer: a goroutine readied
// by a timer wakes a second thread to share the work, and on a server with
// little to do that thread and the loop's would take turns all the time.
type watchdog struct {
	on    atomic.Bool
	timer *os.File
	rc    syscall.RawConn
	loops []*loop
	done  chan struct{}
}

func (w *watchdog) start(loops []*loop) error {
	if err := w.prepare(loops); err != nil {
		return err
	}
	registerProd()
	go w.run()
	return nil
}

func (w *watchdog) prepare(loops []*loop) error {
	fd, err := unix.TimerfdCreate(unix.CLOCK_MONOTONIC, unix.TFD_NONBLOCK|unix.TFD_CLOEXEC)
	if err != nil {
		return os.NewSyscallError("timerfd_create", err)
	}
	w.timer = os.NewFile(uintptr(fd), "timerfd")
	if w.rc, err = w.timer.SyscallConn(); err != nil {
		_ = w.timer.Close()
		return err
	}
	w.loops = loops
	w.done = make(chan struct{})
	return nil
}

// note has the watchdog tick. It is called after the loop's word has been
// stored: either the watchdog's last look sees the word, or this sees on false.
func (w *watchdog) note() {
	if !w.on.Load() && w.on.CompareAndSwap(false, true) {
		w.set(watchTick)
	}
}

// set has the timer expire once, after d. It is not read, but set anew after
// each expiration: the netpoller sees these without.
func (w *watchdog) set(d time.Duration) {
	_ = w.rc.Control(func(fd uintptr) {
		// It cannot fail with a valid descriptor and time; Control fails only
		// after stop.
		_ = uring.SetTimer(int(fd), int64(d))
	})
}

func (w *watchdog) run() {
	defer close(w.done)
	// The function is called before the wait, where it starts the timer, and
	// after it. Expirations from before its first call are forgotten by the
	// poller, that of a timer which note has set meanwhile, too; later ones
	// end the wait, each being a new edge.
	next, begun, idle := time.Duration(0), false, 0
	turn := func(uintptr) bool {
		begun = !begun
		switch {
		case !begun:
		case next > 0:
			w.set(next)
		case w.on.Load():
			w.set(watchTick)
		}
		return !begun
	}
	for w.rc.Read(turn) == nil {
		idle++
		next = watchTick
		for _, l := range w.loops {
			active, again := l.watch.tick(l)
			if active {
				idle = 0
			}
			if again {
				next = watchAgain
			}
		}
		if idle < watchIdle {
			continue
		}
		next, idle = 0, 0
		w.on.Store(false)
		for _, l := range w.loops {
			if l.watch.busy(l) {
				w.note()
			}
		}
	}
}

// stop ends the watchdog. No loop makes calls any more.
func (w *watchdog) stop() {
	_ = w.timer.Close()
	<-w.done
}

// watched is what the watchdog knows of a loop.
type watched struct {
	last uint64 // the word at the last tick

	stuck bool // completions waited for a thread at the last tick

	mu    sync.Mutex
	gone  bool    // the ring is unmapped
	dirty []*link // with something committed since the last tick
	older []*link // … before it; only the watchdog's
}

// soon has k's queue sent after one to two ticks. k's lock is held.
func (w *watched) soon(k *link) {
	w.mu.Lock()
	w.dirty = append(w.dirty, k)
	w.mu.Unlock()
	k.loop.t.watchdog.note()
}

// busy reports whether the loop has something for the watchdog to do.
func (w *watched) busy(l *loop) bool {
	if l.word.Load()&calling != 0 {
		return true
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.dirty) > 0 || len(w.older) > 0
}

// tick does a tick's work. It reports whether there was activity since the last
// one, and whether a call was seen for the first time.
func (w *watched) tick(l *loop) (active, seen bool) {
	word := l.word.Load()
	active = word != w.last
	if word&calling != 0 {
		seen = active
		active = true
		if !seen {
			l.depose(word, true)
		}
	}
	w.last = word

	for i, k := range w.older {
		w.older[i] = nil
		k.flushDirty()
		active = true
	}
	w.mu.Lock()
	w.older, w.dirty = w.dirty, w.older[:0]
	stuck := !w.gone && l.ring.NeedsEnter()
	w.mu.Unlock()
	if stuck && w.stuck {
		prod()
		stuck = false
	}
	w.stuck = stuck
	return active, seen || stuck
}

// close keeps the watchdog away from the ring.
func (w *watched) close() {
	w.mu.Lock()
	w.gone = true
	w.mu.Unlock()
}

const (
	membarrierPrivateExpedited         = 1 << 3
	membarrierRegisterPrivateExpedited = 1 << 4
)

// prod interrupts every thread of this process that is running on a processor.
// Completions are run by the thread that made the request, when it next enters
// the kernel; a handler that computes keeps its thread from that until the
// scheduling tick, 1 to 10 ms away. An expedited membarrier(2) does it at
// once, since Linux 4.14. Where it is forbidden the tick has to do.
func prod() { _, _, _ = unix.Syscall(unix.SYS_MEMBARRIER, membarrierPrivateExpedited, 0, 0) }

func registerProd() {
	_, _, _ = unix.Syscall(unix.SYS_MEMBARRIER, membarrierRegisterPrivateExpedited, 0, 0)
}

// flushDirty sends what a call off the loop has committed a while ago.
func (k *link) flushDirty() {
	k.mu.Lock()
	k.status &^= dirty
	if k.status&(running|broken|ended|detached) == running && k.tail.len() > 0 && k.flight == nil {
		_ = k.pushOut() // an error has broken the link, and is told by Lost
	}
	k.unlock()
}
