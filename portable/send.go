package portable

import (
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"time"

	"github.com/windhover-server/windhover/listen"
)

const (
	// minRoom is the least that Begin offers before append must allocate.
	minRoom = 512
	// copyLimit is up to which size Write copies its argument into the queue,
	// to send both with one plain write.
	copyLimit = 8 << 10
	// sendPiece is how much is demanded of the peer under one deadline: with
	// more, it could stop reading for as long as all of it may take.
	sendPiece = 256 << 10
)

// sendRate is what SetSendRate demands. It and link.rateEnd are guarded by mu.
type sendRate struct {
	bytesPerSecond float64
	grace          time.Duration
	// unsettled is how much was sent at once since rateEnd was computed; only
	// the writer uses it.
	unsettled int
}

// maxUnsettled is how many bytes may go to the kernel at once before the clock
// is read for them.
const maxUnsettled = 64 << 10

// Begin implements [listen.Link].
func (l *link) Begin() []byte {
	l.sendMu.Lock()
	if l.out == nil {
		l.out = getSmall()
	} else if b := l.out.b; cap(b)-len(b) < minRoom {
		grown := make([]byte, len(b), 2*cap(b)+minRoom)
		copy(grown, b)
		l.out.b = grown
	}
	return l.out.b
}

// End implements [listen.Link]. When more is queued than Options.SendBuffer,
// it sends that, and waits for the peer as Flush does.
func (l *link) End(b []byte) {
	l.out.b = b
	if len(b) == 0 {
		l.sendMu.Unlock()
		return
	}
	if l.sendErr != nil {
		l.out.b = b[:0]
		l.sendMu.Unlock()
		return
	}
	l.commits++
	again := l.commits > 1
	full := l.opt.SendBuffer >= 0 && len(b) > l.opt.SendBuffer
	l.sendMu.Unlock()
	switch {
	case full:
		_ = l.flush() // sticky
	case again && !l.timerOn.Load():
		// The call goes on after an earlier End: it may be long.
		l.mu.Lock()
		l.startTimer()
		l.mu.Unlock()
	}
}

// take, with sendMu held, makes the caller the writer once there is no other.
// It returns the queue, or nil when it is empty. The caller must call done if
// it got something or forced it.
func (l *link) take(force bool) (*buffer, error) {
	for l.writing {
		if l.sendCond == nil {
			l.sendCond = sync.NewCond(&l.sendMu)
		}
		l.sendCond.Wait()
	}
	if l.sendErr != nil {
		return nil, l.sendErr
	}
	b := l.out
	if b != nil {
		l.out = nil
		if len(b.b) == 0 {
			putSmall(b)
			b = nil
		}
	}
	if b != nil || force {
		l.writing, l.sent = true, true
	}
	return b, nil
}

// done, with sendMu held, ends what take began. It reports whether err is the
// first failure; the caller then calls broken without the lock.
func (l *link) done(b *buffer, err error) bool {
	if b != nil {
		putSmall(b)
	}
	l.writing, l.more = false, false
	if l.sendCond != nil {
		l.sendCond.Broadcast()
	}
	if err == nil || l.sendErr != nil {
		return false
	}
	l.sendErr = err
	if l.out != nil {
		l.out.b = l.out.b[:0]
	}
	return true
}

// broken reports the first failure to send.
func (l *link) broken(err error) {
	if errors.Is(err, listen.ErrSlowPeer) {
		l.abort(err)
		return
	}
	l.gone(err)
}

// flush sends the queue and waits until the kernel has it.
func (l *link) flush() error {
	l.sendMu.Lock()
	for {
		b, err := l.take(false)
		if b == nil {
			l.sendMu.Unlock()
			return err
		}
		l.sendMu.Unlock()
		_, err = l.send(b.b)
		l.sendMu.Lock()
		if l.done(b, err) {
			l.sendMu.Unlock()
			l.broken(err)
			return err
		}
	}
}

// flushTurn sends the queue when a call has returned.
func (l *link) flushTurn() error {
	var err error
	if l.opt.SendBuffer >= 0 {
		err = l.flush()
	} else {
		l.sendQueued()
	}
	l.sendMu.Lock()
	again := l.commits > 1
	l.commits, l.sent = 0, false
	if err == nil {
		err = l.sendErr
	}
	l.sendMu.Unlock()
	if again {
		l.mu.Lock()
		l.stopTimer()
		l.mu.Unlock()
	}
	return err
}

// sendQueued sends the queue without waiting for the peer: what the kernel
// does not take, another goroutine sends.
func (l *link) sendQueued() {
	l.sendMu.Lock()
	if l.writing {
		l.more = true
		l.sendMu.Unlock()
		return
	}
	b, _ := l.take(false)
	l.sendMu.Unlock()
	if b == nil {
		return
	}
	n := 0
	if l.raw != nil && !l.passed(&l.wdl) {
		n, _ = l.sendNow(b.b)
		l.account(n)
	}
	if n < len(b.b) {
		go l.sendRest(b, n)
		return
	}
	l.sendMu.Lock()
	again := l.more
	l.done(b, nil)
	l.sendMu.Unlock()
	if again {
		l.sendQueued()
	}
}

// sendRest sends b from n on, and what has been queued meanwhile if somebody
// wanted it sent.
func (l *link) sendRest(b *buffer, n int) {
	for {
		_, err := l.sendBlocking(b.b[n:])
		l.sendMu.Lock()
		again := l.more || l.opt.SendBuffer < 0
		if l.done(b, err) {
			l.sendMu.Unlock()
			l.broken(err)
			return
		}
		b, n = nil, 0
		if again {
			b, _ = l.take(false)
		}
		l.sendMu.Unlock()
		if b == nil {
			return
		}
	}
}

// dropQueue gives the queue's buffer back when the link has ended.
func (l *link) dropQueue() {
	l.sendMu.Lock()
	defer l.sendMu.Unlock()
	if l.sendErr == nil {
		l.sendErr = net.ErrClosed
	}
	if l.out != nil {
		putSmall(l.out)
		l.out = nil
	}
}

// Flush implements [listen.Link].
func (l *link) Flush() error {
	if l.opt.SendBuffer < 0 {
		l.sendQueued()
		l.sendMu.Lock()
		defer l.sendMu.Unlock()
		return l.sendErr
	}
	return l.flush()
}

// Write implements [listen.Link].
func (l *link) Write(p []byte) (int, error) {
	if len(p) <= copyLimit || l.opt.SendBuffer < 0 {
		l.out.b = append(l.Begin(), p...)
		l.sendMu.Unlock()
		if err := l.Flush(); err != nil {
			return 0, err
		}
		return len(p), nil
	}
	l.sendMu.Lock()
	b, err := l.take(true)
	l.sendMu.Unlock()
	if err != nil {
		return 0, err
	}
	n, err := l.sendBoth(b, p)
	return n, l.wrote(b, err)
}

// wrote ends a write that began with a forced take.
func (l *link) wrote(b *buffer, err error) error {
	l.sendMu.Lock()
	again := l.more
	first := l.done(b, err)
	l.sendMu.Unlock()
	if first {
		l.broken(err)
	} else if again {
		l.sendQueued()
	}
	return err
}

// sendBoth sends the queue and p, with one system call if it can.
func (l *link) sendBoth(b *buffer, p []byte) (int, error) {
	if b == nil {
		return l.send(p)
	}
	if l.raw == nil {
		if _, err := l.send(b.b); err != nil {
			return 0, err
		}
		return l.send(p)
	}
	if l.passed(&l.wdl) {
		return 0, os.ErrDeadlineExceeded
	}
	first := p[:min(len(p), sendPiece)]
	b.pair = [2][]byte{b.b, first}
	b.bufs = b.pair[:]
	l.beginWait(len(b.b) + len(first))
	var err error
	for len(b.bufs) > 0 && err == nil {
		_, err = b.bufs.WriteTo(l.conn)
		err = l.waited(err)
	}
	l.endWait()
	unsent := 0
	for _, rest := range b.bufs {
		unsent += len(rest)
	}
	b.pair, b.bufs = [2][]byte{}, nil
	if err == nil {
		n, err := l.send(p[len(first):])
		return len(first) + n, err
	}
	return max(len(first)-unsent, 0), err
}

// send sends p. Most often the kernel takes it at once, and no deadline needs
// to be set.
func (l *link) send(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	if l.raw == nil {
		return l.sendBlocking(p)
	}
	if l.passed(&l.wdl) {
		return 0, os.ErrDeadlineExceeded
	}
	n, err := l.sendNow(p)
	l.account(n)
	if n == len(p) || err != nil {
		return n, err
	}
	m, err := l.sendBlocking(p[n:])
	return n + m, err
}

// sendBlocking sends p, waiting for the peer if need be. The kernel is offered
// all of it, but the peer's time is measured by the piece.
func (l *link) sendBlocking(p []byte) (done int, err error) {
	for done < len(p) && err == nil {
		piece, taken := min(len(p)-done, sendPiece), 0
		l.beginWait(piece)
		for done < len(p) && err == nil {
			var n int
			n, err = l.conn.Write(p[done:])
			done += n
			if taken += n; done == len(p) || taken >= piece && err != nil && isTimeout(err) {
				err = nil // the deadline was that of bytes which have been taken
				break
			}
			err = l.waited(err)
		}
		l.endWait()
		l.account(max(taken-piece, 0))
	}
	return done, err
}

// beginWait has conn's write deadline set as the deadline and the rate demand
// for a send of size bytes that may wait.
func (l *link) beginWait(size int) {
	l.mu.Lock()
	l.demand(size)
	l.blocking = true
	l.syncWrite()
	l.mu.Unlock()
}

func (l *link) endWait() {
	l.mu.Lock()
	l.blocking = false
	l.mu.Unlock()
}

// waited judges what a write between beginWait and endWait returned. nil means
// that it is to go on with what is left.
func (l *link) waited(err error) error {
	switch {
	case err == nil:
		return nil
	case l.flags.Load()&flagAborted != 0:
		return net.ErrClosed
	case !isTimeout(err):
		return err
	}
	return l.rearmWrite(err)
}

// rearmWrite is called when conn's write deadline has passed. It returns the
// error to give up with, or nil after setting the deadline that counts.
func (l *link) rearmWrite(err error) error {
	if l.passed(&l.wdl) {
		return os.ErrDeadlineExceeded
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.rateEnd != unset && l.now() >= l.rateEnd {
		return listen.ErrSlowPeer
	}
	if l.early(l.wdl.told.Load()) {
		return err
	}
	l.wdl.told.Store(never)
	l.syncWrite()
	if l.wdl.told.Load() == never {
		_ = l.conn.SetWriteDeadline(time.Time{})
	}
	return nil
}

// SetSendRate implements [listen.Link].
func (l *link) SetSendRate(bytesPerSecond float64, grace time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.rate.bytesPerSecond, l.rate.grace = bytesPerSecond, grace
	l.rateEnd = unset
}

// demand, with mu held, adds n bytes to what the peer must take in time: its
// deadline starts no earlier than now plus grace, and every byte moves it on.
func (l *link) demand(n int) {
	r := &l.rate
	if r.bytesPerSecond <= 0 {
		return
	}
	n += r.unsettled
	r.unsettled = 0
	l.rateEnd = max(l.rateEnd, l.now()+int64(r.grace)) + int64(float64(n)/r.bytesPerSecond*float64(time.Second))
}

// account notes n bytes that the kernel has taken at once.
func (l *link) account(n int) {
	if l.rate.unsettled += n; l.rate.unsettled > maxUnsettled {
		l.mu.Lock()
		l.demand(0)
		l.rate.unsettled = 0
		l.mu.Unlock()
	}
}

// CloseWrite implements [listen.Link].
func (l *link) CloseWrite() error {
	if err := l.flush(); err != nil {
		return err
	}
	if cw, ok := l.conn.(interface{ CloseWrite() error }); ok {
		return cw.CloseWrite()
	}
	return errors.ErrUnsupported
}

// ReadFrom sends what [listen.FileOf] finds a file in with the system's
// sendfile over TCP, sections on Linux only; it leaves anything else to the
// caller, with errors.ErrUnsupported.
func (l *link) ReadFrom(r io.Reader) (int64, error) {
	tc, ok := l.conn.(*net.TCPConn)
	if !ok {
		return 0, errors.ErrUnsupported
	}
	f, ok := listen.FileOf(r)
	if !ok || f.Offset >= 0 && (!sendsSections || l.raw == nil) {
		return 0, errors.ErrUnsupported
	}
	l.sendMu.Lock()
	b, err := l.take(true)
	l.sendMu.Unlock()
	if err != nil {
		return 0, err
	}
	if b != nil {
		_, err = l.sendMore(b.b)
	}
	var total int64
	for err == nil && f.Count > 0 {
		var n int64
		n, err = l.sendPiece(tc, &f)
		total += n
		if n == 0 {
			break
		}
	}
	if total == 0 && errors.Is(err, errors.ErrUnsupported) {
		_ = l.wrote(b, nil) // nothing is wrong with the connection
		return 0, err
	}
	return total, l.wrote(b, err)
}

// sendPiece sends the next piece of f. It returns 0 at the end.
func (l *link) sendPiece(tc *net.TCPConn, f *listen.FileRange) (done int64, err error) {
	if l.passed(&l.wdl) {
		return 0, os.ErrDeadlineExceeded
	}
	left := min(f.Count, sendPiece)
	l.beginWait(int(left))
	for left > 0 && err == nil {
		var n int64
		if f.Offset >= 0 {
			n, err = l.sendSection(f.File, f.Offset+done, left)
		} else {
			n, err = tc.ReadFrom(&io.LimitedReader{R: f.File, N: left})
		}
		done += n
		left -= n
		if n == 0 && err == nil {
			break
		}
		err = l.waited(err)
	}
	l.endWait()
	if aerr := f.Advance(done); err == nil {
		err = aerr
	}
	return done, err
}
