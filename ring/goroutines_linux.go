//go:build linux && !noring

package ring

import (
	"sync"
	"sync/atomic"
	"time"
)

const (
	idleMax  = 256                    // parked goroutines a loop keeps
	idleKeep = 1                      // … without using them
	idleTime = 100 * time.Millisecond // how often those that were not used are let go
)

// goroutines is a loop's stack of parked goroutines. The one that parked last
// works first: its stack has grown to what handlers need and is still in the
// cache.
type goroutines struct {
	busy atomic.Int32 // at work, the leader included

	mu     sync.Mutex
	parked []chan task
	unused int // how many of parked nobody has needed since the last trim
	trim   *time.Timer
	closed bool
}

// task is what a pooled goroutine is woken for: to lead the loop, or to make a
// call for a link.
type task struct {
	lead bool
	long bool // … because the leader's call was long
	ev   event
	link *link
	data *buffer
}

// run has a goroutine do t.
func (g *goroutines) run(l *loop, t task) {
	g.busy.Add(1)
	g.mu.Lock()
	if n := len(g.parked); n > 0 {
		ch := g.parked[n-1]
		g.parked[n-1] = nil
		g.parked = g.parked[:n-1]
		g.unused = min(g.unused, n-1)
		g.mu.Unlock()
		ch <- t
		return
	}
	g.mu.Unlock()
	go g.work(l, t)
}

func (g *goroutines) work(l *loop, t task) {
	ch := make(chan task, 1)
	for ok := true; ok; {
		g.do(l, t)
		t = task{}
		if !g.park(ch) {
			return
		}
		t, ok = <-ch
	}
}

// do does t. A handler may end the goroutine.
func (g *goroutines) do(l *loop, t task) {
	defer g.busy.Add(-1)
	if t.lead {
		l.lead(t.long)
	} else {
		t.link.runOff(t.ev, t.data)
	}
}

// park puts ch on the stack. It reports false when there are enough.
func (g *goroutines) park(ch chan task) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed || len(g.parked) >= idleMax {
		return false
	}
	g.parked = append(g.parked, ch)
	if g.trim == nil && len(g.parked) > idleKeep {
		g.unused = 0
		g.trim = time.AfterFunc(idleTime, g.thin)
	}
	return true
}

// thin lets those go that were parked all the time since it last came, and
// comes again while there are any to spare.
func (g *goroutines) thin() {
	g.mu.Lock()
	defer g.mu.Unlock()
	n := max(g.unused-idleKeep, 0)
	for _, ch := range g.parked[:n] {
		close(ch)
	}
	g.parked = append(g.parked[:0], g.parked[n:]...)
	clear(g.parked[len(g.parked):cap(g.parked)])
	g.unused = len(g.parked)
	if g.unused > idleKeep && !g.closed {
		g.trim.Reset(idleTime)
	} else {
		g.trim = nil
	}
}

// close lets all go; goroutines still at work end when they are done.
func (g *goroutines) close() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.closed = true
	for _, ch := range g.parked {
		close(ch)
	}
	g.parked, g.unused = nil, 0
	if g.trim != nil {
		g.trim.Stop()
	}
}
