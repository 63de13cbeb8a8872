//go:build linux && !noring

package ring

import (
	"github.com/windhover-server/windhover/listen"
)

// Leadership of a loop is a word of 64 bits:
//
//	generation (32) │ sequence (31) │ calling (1)
//
// The leader stores the word with the calling bit before each protocol call
// and swaps the bit away after it. Whoever finds that a call is not short
// (the call itself, by blocking in a method of its link, or the watchdog, by
// seeing the same calling word twice) swaps in the next generation and starts
// a new leader. The swap decides: if the call ends first, the leader stays
// what it is; else it finds its own swap failed, settles its link as any
// goroutine off the loop does, and touches nothing of the loop any more.
const (
	calling       = 1
	seqOne        = 2
	seqMask       = 1<<32 - 1
	generationOne = 1 << 32
)

// call is the protocol call that the leader is making, for its successor.
type call struct {
	link  *link
	calls uint32 // link.calls of this call
	lent  bool   // its bytes lie in provided buffer bid
	done  bool   // … which the kernel has finished with
	bid   uint16
}

// pump makes the call ev for k and those that become due meanwhile, on the
// loop; p are its bytes, and b the buffer they are in if k owned it. running is
// set and the lock is not held. It reports whether leadership was kept; if not,
// the caller must not touch the loop.
func (l *loop) pump(k *link, ev event, p []byte, b *buffer) bool {
	for ev != evNone {
		start := int64(0)
		if l.timed > 0 {
			start = l.t.now()
		}
		v, kept := l.invoke(k, ev, p)
		if b != nil {
			b.free()
		}
		if !kept {
			k.finishOff(v)
			return false
		}
		if l.current.lent {
			l.current.lent = false
			l.bufs.giveBack(l.current.bid, l.current.done)
		}
		k.mu.Lock()
		if start != 0 {
			k.wasTimed(l.t.now() - start)
		}
		if ev, b = k.settle(v, l.nextWord()); ev != evNone {
			p = b.rest()
			k.unlock()
		}
	}
	return l.after(k)
}

// after does what a change of k's state calls for. The lock is held, and
// released. It reports whether leadership was kept.
func (l *loop) after(k *link) bool {
	l.service(k)
	if k.status&(ended|lostTold) == ended {
		k.status |= lostTold
		k.turn = l.nextWord()
		k.unlock()
		_, kept := l.invoke(k, evLost, nil)
		l.t.linkGone(l)
		return kept
	}
	if k.status&running != 0 {
		k.unlock()
		return true
	}
	ev, b := k.next()
	if ev == evNone {
		k.unlock()
		return true
	}
	off := l.begin(k)
	if off {
		l.dispatch(k, ev, b)
	}
	k.unlock()
	return off || l.pump(k, ev, b.rest(), b)
}

// nextWord is the word of the call that comes next.
func (l *loop) nextWord() uint64 {
	w := l.word.Load()
	return w&^seqMask | (w+seqOne)&(seqMask&^calling) | calling
}

// begin notes that a call of k comes next and reports whether it is to be made
// off the loop. The lock is held.
func (l *loop) begin(k *link) (off bool) {
	k.status |= running
	if k.calls++; k.calls == 1 {
		l.introduce(k)
	}
	if l.offTheLoop(k) {
		k.turn = 0
		return true
	}
	k.turn = l.nextWord()
	return false
}

// invoke makes one call as leader. kept is false when leadership was lost
// during it.
func (l *loop) invoke(k *link, ev event, p []byte) (v listen.Verdict, kept bool) {
	w := l.nextWord()
	l.current.link, l.current.calls = k, k.calls
	l.made++
	l.word.Store(w)
	l.t.watchdog.note()
	returned := false
	defer func() {
		if !returned {
			l.depose(w, false) // or the loop would end with this goroutine
			k.exited()
		}
	}()
	v = k.call(ev, p)
	returned = true
	return v, l.word.CompareAndSwap(w, w&^calling)
}

// exited ends a link whose call ended its goroutine (runtime.Goexit) instead
// of returning. After a panic it runs as well, and the program ends.
func (k *link) exited() {
	k.mu.Lock()
	told := k.status&lostTold != 0
	k.mu.Unlock()
	if told {
		k.loop.t.linkGone(k.loop)
	} else {
		k.settleOff(listen.Abort, 0)
	}
}

// leave hands the loop to another goroutine if the call with word w still
// leads it.
func (l *loop) leave(w uint64) {
	if w&calling != 0 && l.word.Load() == w {
		l.depose(w, false)
	}
}

// depose takes leadership from the call with word w, if it still runs. long
// says that the call was taken by surprise.
func (l *loop) depose(w uint64, long bool) {
	if l.word.CompareAndSwap(w, w&^seqMask+generationOne) {
		l.idle.run(l, task{lead: true, long: long})
	}
}

// lead is what a new leader does: first it makes good what its predecessor
// left lying, then it takes turns.
func (l *loop) lead(long bool) {
	l.noteThread()
	if k := l.current.link; k != nil {
		l.current.link = nil
		if l.current.lent {
			l.current.lent = false
			l.bufs.abandon(l.current.bid, l.current.done)
		}
		k.mu.Lock()
		if k.status&running != 0 && k.calls == l.current.calls {
			k.status |= offLoop
			if long {
				k.wasLong()
			}
		}
		l.service(k) // sends what the call had finished before it blocked
		k.unlock()
	}
	if l.ring.SQReady() > 0 {
		l.submit()
	}
	l.turns()
}

// dispatch has a pooled goroutine make the call ev for k with the bytes in b,
// which it owns. begin has been called and the lock is held.
func (l *loop) dispatch(k *link, ev event, b *buffer) {
	k.status |= offLoop
	l.idle.run(l, task{link: k, ev: ev, data: b})
}

// runOff makes the call of a task and those that become due meanwhile.
func (k *link) runOff(ev event, b *buffer) {
	for ev != evNone {
		start := k.loop.t.now()
		v := k.callOff(ev, b)
		if b != nil {
			b.free()
		}
		ev, b = k.settleOff(v, k.loop.t.now()-start)
	}
}

// callOff makes one call off the loop.
func (k *link) callOff(ev event, b *buffer) listen.Verdict {
	returned := false
	defer func() {
		if !returned {
			k.exited()
		}
	}()
	v := k.call(ev, b.rest())
	returned = true
	return v
}

// finishOff goes on with a call that has lost the loop, when it returns with
// verdict v.
func (k *link) finishOff(v listen.Verdict) {
	if ev, b := k.settleOff(v, 0); ev != evNone {
		k.runOff(ev, b)
	}
}

// settleOff is settle for a goroutine that does not lead the loop: what is
// left to do there goes to the inbox. The call took ns nanoseconds, 0 if that
// has been taken note of.
func (k *link) settleOff(v listen.Verdict, ns int64) (event, *buffer) {
	k.mu.Lock()
	k.learn(ns)
	ev, b := k.settle(v, 0)
	if ev == evNone {
		k.flushOff()
		if k.status&(broken|closing|detached|halfClose) != 0 || k.status&(armed|inPolled) == 0 {
			k.kick()
		}
	}
	k.unlock()
	return ev, b
}

// Learning which connections to serve off the loop.
const (
	shortCall  = 100_000 // ns; longer than a call off the loop costs, many times over
	minBackoff = 8
	maxBackoff = 4096

	// forgetAfter times the backoff is how many calls without a long one make a
	// link forget: a thread that the system takes the processor from is found
	// out, too, now and then.
	forgetAfter = 256

	// A turn whose calls take more than turnBase and turnCall for each holds up
	// the others: in the next timedTurns each call is timed, to learn which.
	turnBase   = 150_000 // ns
	turnCall   = 10_000  // ns
	timedTurns = 16
)

// offTheLoop decides where the next call of k is made. The lock is held.
func (l *loop) offTheLoop(k *link) bool {
	switch l.t.opt.Dispatch {
	case Inline:
		return false
	case Workers:
		return true
	}
	return k.credit > 0
}

// weigh takes note of how long the calls of this turn have kept the loop.
func (l *loop) weigh() {
	switch took := l.t.now() - l.time.Load(); {
	case l.made > 0 && took > turnBase+turnCall*int64(l.made):
		l.timed = timedTurns
	case l.timed > 0:
		l.timed--
	}
	l.made = 0
}

// wasTimed takes note of how long a call of k on the loop took. One long call may
// be the collector's or the system's doing, two in a row are taken for k's. The
// lock is held.
func (k *link) wasTimed(ns int64) {
	switch {
	case ns <= shortCall:
		k.status &^= slow
	case k.status&slow == 0:
		k.status |= slow
	default:
		k.status &^= slow
		k.wasLong()
	}
}

// wasLong notes that a call of k kept the loop for long. The lock is held.
func (k *link) wasLong() {
	if k.calls-k.longAt > forgetAfter*uint32(k.backoff) {
		k.backoff = 0 // that was chance, or another kind of request
	}
	k.longAt = k.calls
	k.backoff = min(max(2*k.backoff, minBackoff), maxBackoff)
	k.credit = k.backoff
	k.loop.suspect(32)
}

// learn takes note of how long a call off the loop took. The lock is held.
func (k *link) learn(ns int64) {
	switch {
	case ns == 0:
	case ns > shortCall:
		k.credit = max(k.credit, k.backoff, minBackoff)
		if k.calls <= newcomer {
			k.loop.suspect(2)
		}
	case k.credit > 0:
		k.credit--
	}
}

// newcomer is how many calls a link that is new to a suspicious loop makes
// off it.
const newcomer = 2

// suspect has the next n links that make their first call begin off the loop:
// where the calls of connections are long, those of the next ones probably are.
func (l *loop) suspect(n int32) {
	l.suspicion.Store(min(l.suspicion.Load()+n, 1024))
}

// introduce sets where a link makes its first calls.
func (l *loop) introduce(k *link) {
	if n := l.suspicion.Load(); n > 0 {
		l.suspicion.Store(n - 1) // a lost update does not matter
		k.credit = newcomer
	}
}
