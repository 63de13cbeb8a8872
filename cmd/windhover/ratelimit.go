package main

import (
	"sync"
	"time"
)

// rateLimit lets one event through for each period and counts the others, so
// that whoever causes events cannot fill the log with them.
type rateLimit struct {
	period time.Duration

	mu         sync.Mutex
	next       time.Time
	suppressed int64
}

func newRateLimit(period time.Duration) *rateLimit { return &rateLimit{period: period} }

// allow reports whether an event now may be told, and how many since the last
// one were not.
func (r *rateLimit) allow(now time.Time) (suppressed int64, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if now.Before(r.next) {
		r.suppressed++
		return 0, false
	}
	suppressed, r.suppressed = r.suppressed, 0
	r.next = now.Add(r.period)
	return suppressed, true
}
