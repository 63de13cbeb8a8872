//go:build linux && !noring

package ring

import (
	"math/rand/v2"
	"testing"
)

func TestWheelFiresEachTimerOnceAndNeverEarly(t *testing.T) {
	const horizon = int64(60 * 3600 * 1e9)
	for seed := range uint64(50) {
		r := rand.New(rand.NewPCG(seed, 1))
		var w wheel
		start := r.Int64N(horizon)
		w.advance(start, nil)
		type entry struct {
			timer
			at    int64
			fired bool
		}
		entries := make([]entry, 300)
		byTimer := map[*timer]*entry{}
		for i := range entries {
			e := &entries[i]
			scale := int64(1) << r.Int64N(48)
			e.at = start + r.Int64N(min(scale, horizon))
			byTimer[&e.timer] = e
			w.set(&e.timer, e.at)
			if r.IntN(4) == 0 { // moved
				e.at = start + r.Int64N(horizon)
				w.set(&e.timer, e.at)
			}
			if r.IntN(8) == 0 { // removed
				w.remove(&e.timer)
				e.fired = true
			}
		}
		now := start
		for w.count > 0 {
			at, ok := w.next()
			if !ok || at <= now {
				t.Fatalf("seed %d: next is %d at %d", seed, at, now)
			}
			if r.IntN(2) == 0 {
				at += r.Int64N(1 << 36)
			}
			now = at
			w.advance(now, func(x *timer) {
				e := byTimer[x]
				if e.fired {
					t.Fatalf("seed %d: fired twice", seed)
				}
				e.fired = true
				if e.at > now {
					t.Fatalf("seed %d: fired %d ns early", seed, e.at-now)
				}
			})
			for i := range entries {
				if e := &entries[i]; !e.fired && e.at+2<<tickShift < now {
					t.Fatalf("seed %d: %d ns late", seed, now-e.at)
				}
			}
		}
		for i := range entries {
			if !entries[i].fired {
				t.Fatalf("seed %d: never fired", seed)
			}
		}
	}
}

func TestEmptyWheelHasNoNext(t *testing.T) {
	var w wheel
	if _, ok := w.next(); ok {
		t.Fatal("an empty wheel wants to be woken")
	}
	var x timer
	w.set(&x, 1)
	w.remove(&x)
	w.remove(&x)
	if _, ok := w.next(); ok || w.count != 0 {
		t.Fatal("a removed timer is still there")
	}
}
