package proto

import (
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

func TestLogLimitCountsWhatItHolds(t *testing.T) {
	var l LogLimit
	start := time.Unix(1000, 0)
	for i, c := range []struct {
		at   time.Duration
		ok   bool
		held int64
	}{
		{0, true, 0}, {100 * time.Millisecond, true, 0}, {200 * time.Millisecond, false, 0}, {999 * time.Millisecond, false, 0},
		{time.Second, true, 2}, {time.Second, true, 0}, {time.Second, false, 0}, {9 * time.Second, true, 1},
	} {
		if held, ok := l.Allow(start.Add(c.at), 2); ok != c.ok || held != c.held {
			t.Errorf("record %d: %v, %d held", i, ok, held)
		}
	}
}

func TestLogLimitHoldsForManyGoroutines(t *testing.T) {
	var l LogLimit
	var passed atomic.Int64
	now := time.Unix(1000, 0)
	l.Allow(now, 1)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 1000 {
				if _, ok := l.Allow(now, 10); ok {
					passed.Add(1)
				}
			}
		})
	}
	wg.Wait()
	if n := passed.Load(); n != 9 {
		t.Errorf("%d passed after the first", n)
	}
	if held, _ := l.Allow(now.Add(time.Second), 10); held != 8000-9 {
		t.Errorf("%d held", held)
	}
}
