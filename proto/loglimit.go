package proto

import (
	"sync/atomic"
	"time"
)

// LogLimit bounds how much is logged of what clients cause, so that they cannot
// fill a disk: it lets a number of records pass in each second and counts the
// others. The zero value is ready for use, from any goroutine.
type LogLimit struct {
	second, passed, held atomic.Int64
}

// Allow reports whether a record may be written now, of which n are in one
// second, and how many were held back since the last one that was written.
func (l *LogLimit) Allow(now time.Time, n int64) (held int64, ok bool) {
	second := now.Unix()
	if old := l.second.Load(); old != second && l.second.CompareAndSwap(old, second) {
		l.passed.Store(0)
	}
	if l.passed.Add(1) > n {
		l.held.Add(1)
		return 0, false
	}
	return l.held.Swap(0), true
}
