package portable

import (
	"io"
	"net"
	"os"
	"time"
)

const (
	// tickDelay is how long queued bytes may wait while a call goes on, and
	// how long nobody must have read before watch does.
	tickDelay = time.Millisecond
	// maxAhead bounds what watch reads ahead, also where
	// Options.ReceiveBuffer would allow more: a request that waits in the
	// kernel costs less.
	maxAhead = 64 << 10
)

// receive waits for input and reads it into l.in[:l.n].
func (l *link) receive() error {
	if l.got {
		l.got = false
		return l.gotErr
	}
	if l.raw != nil {
		return l.receiveRaw()
	}
	if l.in == nil {
		l.in = getSmall()
	}
	b := l.in.b[:cap(l.in.b)]
	n, err := l.conn.Read(b)
	l.in.b = b
	if l.n = n; n > 0 {
		return nil // an error comes again with the next read
	}
	l.releaseIn()
	if err == nil {
		err = io.ErrNoProgress
	}
	return err
}

// releaseIn gives the input buffer back.
func (l *link) releaseIn() {
	if l.in != nil {
		l.putIn(l.in)
		l.in = nil
	}
}

func (l *link) putIn(b *buffer) {
	if l.raw != nil {
		putInput(b)
	} else {
		putSmall(b)
	}
}

// Read implements [listen.Link].
func (l *link) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	l.sendQueued()
	l.mu.Lock()
	l.readLately = true
	for {
		if len(l.ahead) > 0 {
			n := copy(p, l.ahead)
			if l.ahead = l.ahead[n:]; len(l.ahead) == 0 {
				l.ahead = nil
			}
			l.mu.Unlock()
			return n, nil
		}
		if l.flags.Load()&(flagAborted|flagDetached|flagEnded) != 0 {
			l.mu.Unlock()
			return 0, net.ErrClosed
		}
		if err := l.readErr; err != nil {
			l.eofTold = true
			l.mu.Unlock()
			return 0, err
		}
		if !l.watching {
			break
		}
		// watch is reading: its result is ours.
		if l.passed(&l.rdl) {
			l.mu.Unlock()
			return 0, os.ErrDeadlineExceeded
		}
		l.taking = true
		l.syncRead()
		l.sleep()
		l.taking = false
	}
	l.reading = true
	l.syncRead()
	l.mu.Unlock()
	n, err := l.readConn(p)
	l.mu.Lock()
	l.reading = false
	l.readLately = true
	gone := l.readEnd(err)
	if err == io.EOF && n == 0 {
		l.eofTold = true
	}
	l.wake()
	if l.phase.Load() == watched {
		l.startTimer()
	}
	l.mu.Unlock()
	if gone {
		l.gone(err)
	}
	if n > 0 {
		err = nil
	}
	return n, err
}

// readConn reads from conn until the deadline asked for has passed.
func (l *link) readConn(p []byte) (int, error) {
	for odd := 0; ; {
		n, err := l.conn.Read(p)
		if n > 0 || err == nil {
			return n, err
		}
		if f := l.flags.Load(); f&(flagAborted|flagDetached) != 0 {
			return 0, net.ErrClosed
		}
		if !isTimeout(err) {
			return 0, err
		}
		if l.passed(&l.rdl) {
			return 0, os.ErrDeadlineExceeded
		}
		if l.early(l.rdl.told.Load()) {
			if odd++; odd > 2 {
				return 0, err
			}
		}
		if !l.rearmRead(true) {
			return 0, net.ErrClosed
		}
	}
}

// readEnd, with mu held, notes the end of input. It reports whether the
// protocol is to be told that the peer is gone.
func (l *link) readEnd(err error) bool {
	if err == nil || isTimeout(err) || l.flags.Load()&(flagAborted|flagDetached) != 0 {
		return false
	}
	if l.readErr == nil {
		l.readErr = err
	}
	if l.phase.Load() != watched || l.toldGone {
		return false
	}
	l.toldGone = true
	return true
}

// gone calls Gone, unless Lost is under way.
func (l *link) gone(err error) {
	l.mu.Lock()
	if l.flags.Load()&(flagAccepted|flagEnded) != flagAccepted {
		l.mu.Unlock()
		return
	}
	l.gones++
	l.mu.Unlock()
	l.proto.Gone(err)
	l.mu.Lock()
	l.gones--
	l.wake()
	l.mu.Unlock()
}

// Watch implements [listen.Link]. Reading ahead begins a moment later, so that
// a call which returns soon costs no goroutine.
func (l *link) Watch() {
	if l.phase.CompareAndSwap(calling, watched) {
		l.mu.Lock()
		l.startTimer()
		l.mu.Unlock()
	}
}

// startTimer, with mu held, has tick called soon.
func (l *link) startTimer() {
	if l.timerOn.Load() || l.flags.Load()&(flagDetached|flagEnded|flagClosing) != 0 {
		return
	}
	l.timerOn.Store(true)
	if l.timer == nil {
		l.timer = time.AfterFunc(tickDelay, l.tick)
	} else {
		l.timer.Reset(tickDelay)
	}
}

// stopTimer is called with mu held.
func (l *link) stopTimer() {
	if l.timerOn.Load() {
		l.timerOn.Store(false)
		l.timer.Stop()
	}
}

// tick does what a call that lasts has asked for: it sends what is queued, and
// watches the peer if nobody reads.
func (l *link) tick() {
	l.mu.Lock()
	l.timerOn.Store(false)
	if l.phase.Load() != watched || l.reading || l.taking || l.watching || l.stopping ||
		l.flags.Load()&(flagAborted|flagDetached|flagEnded|flagClosing) != 0 { // closing: discard reads
		l.mu.Unlock()
		l.sendQueued()
		return
	}
	if l.readLately {
		l.readLately = false
		l.startTimer()
		l.mu.Unlock()
		l.sendQueued()
		return
	}
	if err := l.readErr; err != nil {
		first := !l.toldGone
		l.toldGone = true
		l.mu.Unlock()
		if first {
			l.gone(err)
		}
		l.sendQueued()
		return
	}
	l.watching = true
	l.mu.Unlock()
	l.sendQueued()
	l.watch()
}

// watch reads ahead while the protocol is busy, to notice that the peer goes.
// When the call returns meanwhile, it goes on as the connection's goroutine.
func (l *link) watch() {
	for {
		err := l.receive()
		l.mu.Lock()
		l.wake()
		switch {
		case l.handover:
			l.handover, l.watching = false, false
			l.mu.Unlock()
			l.got, l.gotErr = true, err
			l.run()
			return
		case err == nil:
			l.ahead = append(l.ahead, l.in.b[:l.n]...)
			l.releaseIn()
		case isTimeout(err) && !l.stopping && l.flags.Load()&flagAborted == 0:
			if l.taking && l.passed(&l.rdl) {
				// Read returns; nobody minds the deadline after that.
				l.rearmReadLocked(false)
			} else {
				l.rearmReadLocked(l.taking)
			}
			l.mu.Unlock()
			continue
		}
		if err != nil || l.stopping || l.taking || len(l.ahead) >= l.aheadLimit() {
			l.watching = false
			gone := l.readEnd(err)
			if err == nil && l.taking && l.phase.Load() == watched {
				l.startTimer()
			}
			l.mu.Unlock()
			if gone {
				l.gone(err)
			}
			return
		}
		l.mu.Unlock()
	}
}

func (l *link) aheadLimit() int {
	if r := l.opt.ReceiveBuffer; r >= 0 && r < maxAhead {
		return r
	}
	return maxAhead
}

// stopWatch, with mu held, ends a read that is under way in watch or Read. No
// byte is lost: what was read is in ahead.
func (l *link) stopWatch() {
	if l.watching || l.reading {
		l.stopping = true
		l.kickLocked()
		for l.watching || l.reading {
			l.sleep()
		}
		l.stopping = false
	}
}

// Leave implements [listen.Link]: what is queued need not wait for the timer.
func (l *link) Leave() { l.sendQueued() }
