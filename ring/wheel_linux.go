//go:build linux && !noring

package ring

import "math/bits"

// A wheel orders timers by time in three levels of slots. A timer lies in the
// slot of its tick at the finest level that reaches so far ahead, and moves to
// a finer level when the time comes nearer: insertion, removal and expiry take
// constant time, however many timers there are.
//
// Times are nanoseconds since an epoch of the owner's choice; a tick is about
// four milliseconds. A timer never fires early. The wheel has no lock and no
// clock.
type wheel struct {
	now    int64 // in ticks; every timer before it has fired
	levels [wheelLevels]struct {
		used  [wheelSlots / 64]uint64 // which slots are not empty
		slots [wheelSlots]*timer
	}
	count int
}

const (
	tickShift   = 22 // 2²² ns ≈ 4.2 ms
	slotBits    = 8
	wheelSlots  = 1 << slotBits
	wheelLevels = 3 // 1.1 s, 4.6 min, 19.5 h; later timers go around
)

// timer is an entry of a wheel, embedded in what is timed.
type timer struct {
	next, prev *timer
	owner      *link
	tick       int64
	pos        uint16 // level and slot, valid while queued
	queued     bool
}

// ticksUp converts to ticks, rounding up so that nothing fires early.
func ticksUp(ns int64) int64 { return (ns + 1<<tickShift - 1) >> tickShift }

// set inserts t, or moves it, to fire at time at.
func (w *wheel) set(t *timer, at int64) {
	w.remove(t)
	t.tick = max(ticksUp(at), w.now+1)
	w.insert(t)
	w.count++
}

func (w *wheel) insert(t *timer) {
	delta := t.tick - w.now
	level := 0
	for level < wheelLevels-1 && delta >= 1<<(slotBits*(level+1)) {
		level++
	}
	tick := t.tick
	if most := int64(1)<<(slotBits*wheelLevels) - 1; delta > most {
		tick = w.now + most // beyond the horizon: look again on the way round
	}
	slot := int(tick>>(slotBits*level)) & (wheelSlots - 1)
	t.pos = uint16(level<<slotBits | slot)
	head := &w.levels[level].slots[slot]
	t.prev, t.next = nil, *head
	if *head != nil {
		(*head).prev = t
	}
	*head = t
	t.queued = true
	w.levels[level].used[slot/64] |= 1 << (slot % 64)
}

// remove takes t out if it is in.
func (w *wheel) remove(t *timer) {
	if !t.queued {
		return
	}
	w.unlink(t)
	w.count--
}

func (w *wheel) unlink(t *timer) {
	level, slot := t.pos>>slotBits, t.pos&(wheelSlots-1)
	l := &w.levels[level]
	if t.next != nil {
		t.next.prev = t.prev
	}
	if t.prev != nil {
		t.prev.next = t.next
	} else {
		l.slots[slot] = t.next
		if t.next == nil {
			l.used[slot/64] &^= 1 << (slot % 64)
		}
	}
	t.next, t.prev, t.queued = nil, nil, false
}

// advance moves the clock to time at and calls fire for each timer that is
// due, after taking it out.
func (w *wheel) advance(at int64, fire func(*timer)) {
	target := at >> tickShift
	for w.now < target {
		if w.count == 0 {
			w.now = target
			return
		}
		next := min(w.nextTick(), target)
		w.now = next
		for level := wheelLevels - 1; level > 0; level-- {
			if next&(1<<(slotBits*level)-1) == 0 {
				w.cascade(level, int(next>>(slotBits*level))&(wheelSlots-1))
			}
		}
		slot := int(next) & (wheelSlots - 1)
		for t := w.levels[0].slots[slot]; t != nil; t = w.levels[0].slots[slot] {
			w.remove(t)
			fire(t)
		}
	}
}

// cascade spreads a slot of a coarse level over finer ones.
func (w *wheel) cascade(level, slot int) {
	for t := w.levels[level].slots[slot]; t != nil; t = w.levels[level].slots[slot] {
		w.unlink(t)
		w.insert(t)
	}
}

// nextTick is the next tick at which a slot has to be looked at. There must be
// a timer.
func (w *wheel) nextTick() int64 {
	best := int64(1)<<62 - 1
	for level := range w.levels {
		shift := slotBits * level
		pos := int(w.now>>shift) & (wheelSlots - 1)
		if d := w.distance(level, pos); d > 0 {
			best = min(best, (w.now>>shift+int64(d))<<shift)
		}
	}
	return best
}

// distance is how many slots ahead of pos the next used slot of a level is, 1
// to 256, or 0 when none is used.
func (w *wheel) distance(level, pos int) int {
	used := &w.levels[level].used
	for i := 0; i <= len(used); i++ {
		word := (pos/64 + i) % len(used)
		m := used[word]
		if i == 0 {
			m &^= 1<<(pos%64+1) - 1 // only after pos
		} else if i == len(used) {
			m &= 1<<(pos%64+1) - 1 // the rest of pos's word, a round later
		}
		if m != 0 {
			slot := word*64 + bits.TrailingZeros64(m)
			if d := (slot - pos + wheelSlots) % wheelSlots; d > 0 {
				return d
			}
			return wheelSlots
		}
	}
	return 0
}

// next is when advance has something to do, in nanoseconds; ok is false when
// the wheel is empty.
func (w *wheel) next() (at int64, ok bool) {
	if w.count == 0 {
		return 0, false
	}
	return w.nextTick() << tickShift, true
}
