package portable

import (
	"errors"
	"math"
	"net"
	"os"
	"sync/atomic"
	"time"
)

// Deadlines are durations since Transport.base, in nanoseconds.
const (
	unset = 0             // asked for: none
	never = math.MaxInt64 // told to conn: none
	past  = 1             // told to conn: expired, to wake whoever is blocked
)

// deadline is what the protocol has asked for and what conn has been told.
// Telling conn costs more than a small request, so it is not told of every
// change: conn's deadline may be earlier than the one asked for, never later
// while somebody is blocked. When conn's passes first, it is told the other.
//
// What is asked for may change at any time. told is changed with link.mu held.
type deadline struct {
	asked atomic.Int64
	told  atomic.Int64
}

// sinceBase converts t; a time before base is long past.
func (l *link) sinceBase(t time.Time) int64 {
	if t.IsZero() {
		return unset
	}
	return max(int64(t.Sub(l.t.base)), past)
}

func (l *link) now() int64 { return int64(time.Since(l.t.base)) }

// toTime converts a deadline for conn.
func (l *link) toTime(d int64) time.Time {
	switch d {
	case unset, never:
		return time.Time{}
	case past:
		return time.Unix(1, 0)
	}
	return l.t.base.Add(time.Duration(d))
}

// passed reports whether the deadline asked for has passed.
func (l *link) passed(d *deadline) bool {
	a := d.asked.Load()
	return a != unset && (a == past || l.now() >= a)
}

// early reports whether a timeout of conn cannot come from the deadline it was
// told: it was given another by somebody else, or has one of its own.
func (l *link) early(told int64) bool { return told == never || l.now() < told }

// SetReadDeadline implements [listen.Link].
func (l *link) SetReadDeadline(t time.Time) {
	d := l.sinceBase(t)
	l.rdl.asked.Store(d)
	if told := l.rdl.told.Load(); d == told || l.lazy && (d == unset || d > told) {
		return
	}
	l.mu.Lock()
	l.syncRead()
	l.mu.Unlock()
}

// syncRead, with mu held, tells conn the read deadline if it must know.
func (l *link) syncRead() {
	if l.flags.Load()&(flagClosing|flagDetached) != 0 {
		return
	}
	for {
		want := l.rdl.asked.Load()
		if want == unset {
			want = never
		}
		told := l.rdl.told.Load()
		if told == want || told < want && (l.lazy || told == past) {
			break
		}
		// Stored first: whoever asks for less from now on sees it, and comes
		// here to wait for mu, or is seen by the next round.
		l.rdl.told.Store(want)
		_ = l.conn.SetReadDeadline(l.toTime(want)) // a closed conn shows when it is used
	}
	if l.parked {
		l.wake()
	}
}

// rearmRead tells conn the read deadline asked for after the one it knew has
// passed. With no deadline wanted, because nobody waits, it is told none.
// It is false when the read is to end instead.
func (l *link) rearmRead(wanted bool) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.stopping {
		return false
	}
	l.rearmReadLocked(wanted)
	return true
}

func (l *link) rearmReadLocked(wanted bool) {
	if l.flags.Load()&(flagClosing|flagDetached) != 0 {
		return
	}
	l.rdl.told.Store(never)
	if wanted {
		l.syncRead()
	}
	if l.rdl.told.Load() == never {
		_ = l.conn.SetReadDeadline(time.Time{})
	}
}

// kick wakes whoever is blocked in a read, or will be next.
func (l *link) kick() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.kickLocked()
}

func (l *link) kickLocked() {
	if l.flags.Load()&(flagClosing|flagDetached) != 0 {
		return
	}
	l.rdl.told.Store(past)
	_ = l.conn.SetReadDeadline(l.toTime(past))
	l.wake()
}

// SetWriteDeadline implements [listen.Link].
func (l *link) SetWriteDeadline(t time.Time) {
	l.wdl.asked.Store(l.sinceBase(t))
	l.mu.Lock()
	if l.blocking {
		l.syncWrite()
	}
	l.mu.Unlock()
}

// syncWrite, with mu held, makes conn's write deadline no later than the one
// asked for and the one that the send rate sets.
func (l *link) syncWrite() {
	if l.flags.Load()&flagDetached != 0 {
		return
	}
	want := l.wdl.asked.Load()
	if want == unset {
		want = never
	}
	if l.rateEnd != unset {
		want = min(want, l.rateEnd)
	}
	if told := l.wdl.told.Load(); told == want || told < want && l.lazy {
		return
	}
	l.wdl.told.Store(want)
	_ = l.conn.SetWriteDeadline(l.toTime(want))
}

func isTimeout(err error) bool {
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return true
	}
	var ne net.Error
	return errors.As(err, &ne) && ne.Timeout()
}
