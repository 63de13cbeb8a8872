package proto

import (
	"errors"
	"io"
	"net/http"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/windhover-server/windhover/proto/wire"
)

// maxDrainBytes bounds what a body may have left, by its declared length, to be
// worth reading so that the connection can be used again; if it has more, the
// response says that the connection closes (net/http's maxPostHandlerReadBytes).
// What is left of a chunked body is not known when the response goes out, so
// there only time and the body limit bound it, as in Kestrel.
const maxDrainBytes = 256 << 10

// States of body.owed.
const (
	continueNone = iota
	continueOwed // the client waits for 100 (Continue)
	continueSent
	continueRefused // the final response came first
)

// body reads the content of the request under way. It belongs to the turn; the
// readers that handlers see check that the request is still theirs.
type body struct {
	c       *Conn
	head    *wire.Head
	pending []byte // decoded content not yet delivered; lies in c.in's memory
	err     error  // sticky
	bodyState

	mu       sync.Mutex // guards deadline against a read under way
	deadline time.Time  // ReadTimeout or what the handler set
}

// bodyState is the part of a body without pointers, like replyState.
type bodyState struct {
	eof   bool
	begun atomic.Bool // a read was tried: limits are fixed

	// owed says whether the client waits for 100 (Continue). It changes while
	// the send queue is locked, so that no 100 follows the final response.
	owed atomic.Int32

	limit   int64 // on taken; below zero: none
	taken   int64 // bytes of framing and content consumed
	content int64 // bytes of content received, for the rate
	rate    DataRate
	waited  time.Duration // time spent waiting for the client
}

func (b *body) begin(c *Conn, h *wire.Head) {
	b.clear()
	b.c, b.head = c, h
	b.eof = h.Framing.Kind == wire.NoBody
	if b.eof {
		return
	}
	b.owed.Store(continueNone)
	if h.ExpectContinue {
		b.owed.Store(continueOwed)
	}
	b.limit = c.svc.lim.MaxRequestBodySize
	b.rate = c.svc.lim.MinRequestBodyDataRate
	if d := c.svc.ReadTimeout; d > 0 {
		b.deadline = c.now().Add(d)
	}
}

// bodyLimit is a limit on bodies with None as a number.
func bodyLimit(n int64) int64 {
	if n == None {
		return 0
	}
	return n
}

// reset parts with what b refers to.
func (b *body) reset() {
	b.clear()
	b.c, b.head = nil, nil
}

// clear ends what there was of a body.
func (b *body) clear() {
	b.bodyState = bodyState{}
	if b.pending != nil || b.err != nil || !b.deadline.IsZero() {
		b.pending, b.err, b.deadline = nil, nil, time.Time{}
	}
}

// unsolicited reports whether the client was to wait for 100 (Continue) and
// never got it.
func (b *body) unsolicited() bool {
	owed := b.owed.Load()
	return owed == continueOwed || owed == continueRefused
}

// length is the declared length, 0 without a body, -1 when it is chunked.
func (b *body) length() int64 {
	switch b.head.Framing.Kind {
	case wire.Length:
		return b.head.Framing.Length
	case wire.Chunked:
		return -1
	}
	return 0
}

// read delivers content as io.Reader does. With the last bytes of a body of
// known length it returns io.EOF.
func (b *body) read(p []byte) (int, error) {
	if b.err != nil {
		return 0, b.err
	}
	if !b.begun.Load() {
		b.begun.Store(true)
		if b.head.Framing.Kind != wire.NoBody {
			b.c.log(evBodyStart)
		}
		if b.limit >= 0 && b.head.Framing.Kind == wire.Length && b.head.Framing.Length > b.limit {
			return 0, b.fail(bodyTooLarge(b.limit))
		}
	}
	if len(p) == 0 {
		return 0, nil
	}
	for len(b.pending) == 0 {
		if b.eof || b.c.wc.BodyDone() {
			b.eof = true
			return 0, io.EOF
		}
		if len(b.c.in) == 0 && b.head.Framing.Kind == wire.Length {
			return b.readThrough(p)
		}
		if err := b.next(); err != nil {
			return 0, b.fail(err)
		}
	}
	n := copy(p, b.pending)
	b.pending = b.pending[n:]
	if len(b.pending) == 0 && b.head.Framing.Kind == wire.Length && b.c.wc.BodyDone() {
		b.eof = true
		return n, io.EOF
	}
	return n, nil
}

// readThrough reads content of known length past the window, straight into p.
func (b *body) readThrough(p []byte) (int, error) {
	left := b.c.wc.RemainingContent()
	if int64(len(p)) > left {
		p = p[:left]
	}
	n, err := b.receive(p)
	if n > 0 {
		b.taken += int64(n)
		b.content += int64(n)
		b.c.wc.SkipContent(int64(n))
		if b.eof = int64(n) == left; b.eof {
			return n, io.EOF
		}
		return n, nil
	}
	return 0, b.fail(err)
}

// next takes one step of the wire machine, waiting for input if there is none.
func (b *body) next() error {
	c := b.c
	n, ev := c.wc.Next(c.in, b.head)
	c.in = c.in[n:]
	switch ev {
	case wire.Content:
		b.taken += int64(n)
		b.pending = c.wc.Content()
		b.content += int64(len(b.pending))
		return b.checkSize()
	case wire.End:
		b.eof = true
		return nil
	case wire.NeedData:
		b.taken += int64(n)
		if err := b.checkSize(); err != nil {
			return err
		}
		return c.fill()
	case wire.Failed:
		return malformedBody(c.wc.Err())
	}
	return errors.New("proto: request inside a body") // cannot happen
}

func (b *body) checkSize() error {
	if b.limit >= 0 && b.taken > b.limit {
		return bodyTooLarge(b.limit)
	}
	return nil
}

// fail makes err the result of this and every later read. The rest of the
// body cannot be told from a request, so the connection ends.
func (b *body) fail(err error) error {
	if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	b.err = err
	return err
}

// fill waits for more input and appends it to the window.
func (c *Conn) fill() error {
	rest := c.in
	if c.s.headOwned && c.s.headBuf == nil {
		// The head lies in buf, and is to stay until the request ends.
		c.s.headBuf, c.buf = c.buf, nil
		c.s.headOwned = false
	}
	if cap(c.buf) < len(rest)+smallBuffer/2 {
		old := c.buf
		c.buf = append(getBuffer(max(len(rest)+smallBuffer/2, largeBuffer)), rest...)
		putBuffer(old)
	} else {
		c.buf = append(c.buf[:0], rest...)
	}
	n, err := c.s.body.receive(c.buf[len(c.buf):cap(c.buf)])
	c.buf = c.buf[:len(c.buf)+n]
	c.in, c.owned = c.buf, true
	if n > 0 {
		return nil
	}
	return err
}

// receive waits for bytes from the peer, as long as the deadline and the
// minimum rate allow.
func (b *body) receive(p []byte) (int, error) {
	c := b.c
	if b.owed.Load() == continueOwed {
		out := c.link.Begin()
		if b.owed.CompareAndSwap(continueOwed, continueSent) {
			out = append(out, "HTTP/1.1 100 Continue\r\n\r\n"...)
		}
		c.link.End(out)
	}
	b.mu.Lock()
	dl := b.deadline
	slow := false
	var start time.Time
	if !b.rate.off() {
		start = time.Now()
		allowed := max(b.rate.GracePeriod, time.Duration(float64(b.content)/b.rate.BytesPerSecond*float64(time.Second)))
		if rdl := start.Add(allowed - b.waited); dl.IsZero() || rdl.Before(dl) {
			dl, slow = rdl, true
		}
	}
	c.link.SetReadDeadline(dl)
	b.mu.Unlock()
	n, err := c.link.Read(p)
	if !b.rate.off() {
		b.waited += time.Since(start)
	}
	if n == 0 && slow && isTimeout(err) {
		c.svc.Counters.Timeouts.Add(1)
		c.log(evBodyRateNotSatisfied)
		err = &BodyError{http.StatusRequestTimeout, os.ErrDeadlineExceeded}
	}
	return n, err
}

// setDeadline is http.ResponseController's SetReadDeadline: it also reaches a
// read that is under way, so it may be called from another goroutine.
func (b *body) setDeadline(t time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.deadline = t
	b.c.link.SetReadDeadline(t)
}

// finishBody makes the connection ready for the next request by reading what
// the handler left of the body. It reports whether that worked.
func (c *Conn) finishBody() bool {
	b := &c.s.body
	b.pending = nil
	if b.err != nil {
		return false
	}
	return c.wc.BodyDone() || c.drain()
}

// tooLongToDrain reports whether the rest of the body is known to be too much.
func (b *body) tooLongToDrain() bool {
	left := b.c.wc.RemainingContent()
	return left > maxDrainBytes && left > int64(len(b.c.in))
}

// drain reads and discards the rest of a body, bounded in time and size. The
// response is on its way by then (waiting for input sends what is queued): a
// client that waits for it before it sends on is not kept waiting.
func (c *Conn) drain() bool {
	b := &c.s.body
	if b.unsolicited() && len(c.in) == 0 {
		// The client was never asked to send it, and cannot be told to not.
		return false
	}
	if b.tooLongToDrain() {
		return false
	}
	b.rate.BytesPerSecond = -1
	if d := c.svc.lim.DrainTimeout; d >= 0 {
		b.deadline = time.Now().Add(d)
	}
	logged := false
	for !c.wc.BodyDone() {
		if len(c.in) == 0 && !logged {
			c.log(evBodyNotEntirelyRead)
			logged = true
		}
		if err := b.next(); err != nil {
			if isTimeout(err) {
				c.svc.Counters.Timeouts.Add(1)
				c.log(evBodyDrainTimedOut)
			} else {
				c.log(evBadRequest, errAttr(err))
			}
			return false
		}
		b.pending = nil
	}
	return true
}
