package proto

import (
	"context"
	"crypto/tls"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/windhover-server/windhover/listen"
	"github.com/windhover-server/windhover/proto/wire"
)

// Conn is the server side of one HTTP/1.1 connection. Its methods are the
// calls of [listen.Protocol], for transports only.
type Conn struct {
	svc  *Service
	link listen.Link
	wc   wire.Conn
	base context.Context        // what request contexts descend from
	tls  *tls.ConnectionState   // nil without TLS
	peer string                 // RemoteAddr as text; made by the first http.Request
	cur  atomic.Pointer[reqCtx] // the request that Gone cancels

	// dmu guards deadlines and limits, which a handler may set while a Write
	// blocks, against its return.
	dmu sync.Mutex

	// Input. in is what has arrived and is not consumed: part of what Data was
	// lent, or of buf, which the connection owns.
	in  []byte
	buf []byte

	s         *turn  // scratch space while a call runs
	id        uint64 // Kestrel's connection id, as a number
	requests  uint32
	owned     bool // in lies in buf
	closing   closing
	state     http.ConnState
	headTimer bool // the deadline for the request head is armed
	drained   bool // Drain was called
	left      bool // the connection has left HTTP: upgraded or hijacked
	tunnel    bool // by Upgrade: it counts as upgraded
	gone      atomic.Bool
}

var _ listen.Protocol = (*Conn)(nil)

func newConn(s *Service, link listen.Link, base context.Context) *Conn {
	c := &Conn{svc: s, link: link, base: base, id: s.connIDs.Add(1)}
	c.wc.Init(&s.wlim)
	if s.ConnContext != nil {
		ctx := s.ConnContext(context.WithValue(base, http.ServerContextKey, s.HTTPServer), link.NetConn())
		if ctx == nil {
			panic("ConnContext returned nil")
		}
		c.base = ctx
	}
	if r := s.lim.MinResponseDataRate; !r.off() {
		c.setSendRate(r)
	}
	// The first request has to begin within the keep-alive timeout too
	// (Kestrel), or its head has to come within the timeout that was given in
	// http.Server's way.
	first := s.lim.KeepAliveTimeout
	if s.silentHeadTimeout {
		first = s.lim.RequestHeadersTimeout
	}
	link.SetReadDeadline(after(time.Now(), first))
	c.setState(http.StateNew)
	c.log(evConnectionStart)
	return c
}

// after returns the deadline for a timeout that starts at t; a timeout below
// zero is none.
func after(t time.Time, d time.Duration) time.Time {
	if d < 0 {
		return time.Time{}
	}
	return t.Add(d)
}

// ID returns the connection's identifier: 13 characters of base 32, increasing
// in the order of acceptance (Kestrel ConnectionId).
func (c *Conn) ID() string { return formatID(c.id) }

// Context returns what the contexts of the connection's requests descend from:
// the server's, as ConnContext may have replaced it.
func (c *Conn) Context() context.Context { return c.base }

func formatID(id uint64) string {
	const alphabet = "0123456789ABCDEFGHIJKLMNOPQRSTUV"
	var b [13]byte
	for i := range b {
		b[i] = alphabet[id>>(60-5*i)&31]
	}
	return string(b[:])
}

// setState reports a change of state to the hook.
func (c *Conn) setState(st http.ConnState) {
	if c.state == st && st != http.StateNew {
		return
	}
	c.state = st
	if c.svc.ConnState != nil {
		c.svc.ConnState(c.link.NetConn(), st)
	}
}

// Data implements [listen.Protocol].
func (c *Conn) Data(p []byte) listen.Verdict {
	s := getTurn()
	c.s = s
	s.now, s.fresh = time.Time{}, false
	if c.svc.Native != nil {
		s.now = time.Now() // Exchange.Now
	}
	completed := false
	defer func() {
		if !completed {
			// A handler ended the goroutine with runtime.Goexit.
			c.link.Abort()
		}
	}()
	if len(c.buf) > 0 {
		c.buf = append(c.buf, p...)
		c.in, c.owned = c.buf, true
	} else {
		c.in, c.owned = p, false
	}
	v := c.serve()
	c.endTurn(v)
	completed = true
	return v
}

// endTurn gives back what was borrowed for a call and keeps unconsumed input.
func (c *Conn) endTurn(v listen.Verdict) {
	switch {
	case v != listen.Wait:
		if v != listen.Abort && c.closing == notClosing {
			c.closing = closingServed
		}
		fallthrough
	case len(c.in) == 0:
		putBuffer(c.buf)
		c.buf = nil
	case c.owned:
		c.buf = append(c.buf[:0], c.in...)
	default:
		c.buf = append(getBuffer(len(c.in)), c.in...)
	}
	c.in, c.owned = nil, false
	putTurn(c.s)
	c.s = nil
}

// serve consumes input until there is none, or the connection ends.
func (c *Conn) serve() listen.Verdict {
	for begun := 0; ; {
		if len(c.in) == 0 && !c.wc.MidMessage() {
			return c.idle()
		}
		n, ev := c.wc.Next(c.in, &c.s.head)
		c.in = c.in[n:]
		switch ev {
		case wire.NeedData:
			return c.awaitHead()
		case wire.Failed:
			c.setState(http.StateActive)
			return c.reject(c.wc.Err())
		case wire.End: // of a request whose body was done
		case wire.Request:
			if begun++; begun == 2 {
				// Pipelined: the first response is not to wait for this
				// handler, should it block.
				c.link.End(c.link.Begin())
			}
			c.headTimer = false
			c.requests++
			c.s.headOwned = c.owned
			c.setState(http.StateActive)
			if v := c.exchange(); v != listen.Wait {
				return c.ending(v)
			}
			c.setState(http.StateIdle)
			if !c.svc.keepAlives() {
				return c.close(closingDrain)
			}
		}
	}
}

// ending is the verdict at the end of an exchange that wanted v. A client that
// has sent "Connection: close" sends nothing more (RFC 9112 section 9.6), unless
// it was a body: there were some that put an empty line behind it (section 2.2).
func (c *Conn) ending(v listen.Verdict) listen.Verdict {
	h := &c.s.head
	if v == listen.Close && h.ConnectionClose && h.Framing.Kind == wire.NoBody && len(c.in) == 0 && !c.left {
		return listen.Finish
	}
	return v
}

// exchange serves the request that has just been parsed. Wait means that the
// connection goes on with the next one.
func (c *Conn) exchange() listen.Verdict {
	s := c.s
	s.fresh = false
	s.body.begin(c, &s.head)
	if d := c.svc.WriteTimeout; d > 0 {
		c.link.SetWriteDeadline(time.Now().Add(d))
		s.writeDeadline = true
	}
	var v listen.Verdict
	if c.svc.Native != nil {
		v = c.serveNative()
	} else {
		v = c.serveHTTP()
	}
	if v != listen.Wait {
		return v
	}
	if s.head.Framing.Kind != wire.NoBody {
		s.fresh = false
		if !c.finishBody() {
			return listen.Close
		}
		if s.body.begun.Load() {
			c.log(evBodyDone)
		}
	}
	if s.writeDeadline {
		// The deadline holds for all of the response.
		s.fresh = false
		if c.link.Flush() != nil {
			return listen.Close
		}
		c.link.SetWriteDeadline(time.Time{})
		s.writeDeadline = false
	}
	if s.ownRate {
		s.fresh = false
		if c.link.Flush() != nil {
			return listen.Close
		}
		c.setSendRate(c.svc.lim.MinResponseDataRate)
		s.ownRate = false
	}
	c.freeHead()
	return listen.Wait
}

// idle waits for the first byte of the next request.
func (c *Conn) idle() listen.Verdict {
	if !c.svc.keepAlives() && c.requests > 0 {
		return c.close(closingDrain)
	}
	if c.requests > 0 {
		c.log(evKeepAlive)
	}
	c.link.SetReadDeadline(after(c.freshNow(), c.svc.lim.KeepAliveTimeout))
	return listen.Wait
}

// now is the time for what a request's arrival or the Date field counts from:
// when the last handler returned, else when somebody asked first. It is read as
// seldom as can be, since reading the clock costs as much as parsing a line.
func (c *Conn) now() time.Time {
	if c.s.now.IsZero() {
		c.restamp()
	}
	return c.s.now
}

// restamp renews now, for a handler that may have taken long.
func (c *Conn) restamp() { c.s.now, c.s.fresh = time.Now(), true }

// freshNow is the time even when much of it has passed since now was read. For
// deadlines only: it knows the wall clock no better than now does.
func (c *Conn) freshNow() time.Time {
	now := c.now()
	if !c.s.fresh {
		now = now.Add(time.Since(now)) // half the cost of time.Now
	}
	return now
}

// awaitHead waits for the rest of a request head. The deadline counts from the
// head's first byte and is not extended (Kestrel RequestHeadersTimeout).
func (c *Conn) awaitHead() listen.Verdict {
	if !c.headTimer && c.wc.MidMessage() {
		c.headTimer = true
		if c.requests == 0 && c.svc.silentHeadTimeout {
			return listen.Wait // armed at the acceptance
		}
		c.link.SetReadDeadline(after(c.now(), c.svc.lim.RequestHeadersTimeout))
	}
	return listen.Wait
}

// EOF implements [listen.Protocol]. A head that is not complete never will be.
func (c *Conn) EOF() listen.Verdict {
	c.log(evReadFin)
	return c.close(closingFin)
}

// Expired implements [listen.Protocol].
func (c *Conn) Expired() listen.Verdict {
	c.svc.Counters.Timeouts.Add(1)
	if c.headTimer && !c.svc.silentHeadTimeout {
		c.log(evRequestHeadersTimeout)
		c.writeError(http.StatusRequestTimeout, "", "", time.Now())
	}
	return c.close(closingTimeout)
}

// newConnGrace is how long a draining server waits for the first byte of a
// connection that has just been made, as http.Server.Shutdown does.
const newConnGrace = 5 * time.Second

// Drain implements [listen.Protocol].
func (c *Conn) Drain() listen.Verdict {
	first := !c.drained
	c.drained = true
	switch {
	case c.wc.MidMessage():
		return listen.Wait
	case c.requests == 0:
		// The first request may be on its way.
		if first {
			c.link.SetReadDeadline(time.Now().Add(newConnGrace))
		}
		return listen.Wait
	}
	return c.close(closingDrain)
}

// close ends the connection, and keeps why for the log.
func (c *Conn) close(why closing) listen.Verdict {
	c.closing = why
	return listen.Close
}

// Gone implements [listen.Protocol].
func (c *Conn) Gone(error) {
	c.gone.Store(true)
	if ctx := c.cur.Load(); ctx != nil {
		ctx.peerGone()
	}
}

// Lost implements [listen.Protocol].
func (c *Conn) Lost(err error) {
	if c.left {
		if c.tunnel {
			c.svc.upgraded.release()
		}
		return
	}
	c.svc.conns.release()
	putBuffer(c.buf)
	c.buf = nil
	c.setState(http.StateClosed)
	if err == listen.ErrSlowPeer {
		c.svc.Counters.Timeouts.Add(1)
	}
	c.logLost(err)
}

// reject answers a request that cannot be accepted, and ends the connection.
func (c *Conn) reject(err *wire.Error) listen.Verdict {
	c.closing = closingRefused
	c.svc.Counters.BadRequests.Add(1)
	c.log(evBadRequest, errAttr(err))
	c.writeError(err.Status(), strings.TrimPrefix(err.Error(), "wire: "), err.Reason.Allow(), c.now())
	return listen.Close
}

// writeError queues an answer made by the server itself, after which the
// connection closes. detail, if any, says what is wrong; it never quotes the
// request.
func (c *Conn) writeError(status int, detail, allow string, now time.Time) {
	text := strconv.Itoa(status) + " " + http.StatusText(status)
	if detail != "" {
		text += ": " + detail
	}
	b := c.link.Begin()
	b = wire.AppendStatusLine(b, wire.HTTP11, status, "")
	b = append(b, "Content-Type: text/plain; charset=utf-8\r\nConnection: close\r\n"...)
	if status == http.StatusNotImplemented {
		// To the byte what net/http says of a transfer coding; people match it.
		c.link.End(append(b, "\r\nUnsupported transfer encoding"...))
		return
	}
	b = c.svc.appendDate(b, now)
	b = append(b, c.svc.server...)
	if allow != "" {
		b = wire.AppendField(b, "Allow", allow)
	}
	b = wire.AppendLengthField(b, int64(len(text)))
	b = append(b, "\r\n"...)
	b = append(b, text...)
	c.link.End(b)
}

// isTimeout tells a passed deadline from other errors of a link.
func isTimeout(err error) bool { return os.IsTimeout(err) }
