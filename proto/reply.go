package proto

import (
	"context"
	"log/slog"
	"net/http"

	"github.com/windhover-server/windhover/proto/wire"
)

const (
	// stageSize is how much of a response is held back to find its length
	// (net/http's bufferBeforeChunkingSize).
	stageSize = 2048
	// copyLimit is up to which size content is copied into the send queue,
	// rather than sent from the caller's memory.
	copyLimit = 8 << 10
	// queueLimit is how much is queued before it is sent without being asked.
	queueLimit = 32 << 10
)

// reply is the response under way: what both kinds of handler write to. It
// stages the first bytes so that a short response gets a Content-Length and
// leaves in one piece, chooses the framing (RFC 9112 section 6) and enforces it.
type reply struct {
	c      *Conn
	reason string // "" means the standard one
	fields []byte // serialised field lines, without those below
	conn   []byte // the handler's Connection lines
	stage  []byte // content not yet framed
	tail   []byte // trailer lines
	te     string // the handler's Transfer-Encoding
	err    error  // the first failure to send; sticky
	replyState
}

// replyState is the part of a reply without pointers, which is cheap to clear
// while the garbage collector runs.
type replyState struct {
	status   int
	declared int64 // Content-Length, -1 when not set
	written  int64 // content written by the handler
	queued   int   // bytes queued since the last flush
	enc      wire.Encoder
	framing  wire.Framing

	started     bool // the status is fixed
	headSent    bool // the head is in the send queue
	done        bool // the handler has returned
	isHead      bool
	is11        bool
	wants10Keep bool
	sniff       bool // find a Content-Type, as http.Handlers expect
	closeAfter  bool
	connClose   bool // the handler's Connection has the token close
	hasType     bool
	hasCoding   bool
	hasDate     bool
	hasServer   bool
	hasTrailers bool
	noLength    bool // the handler does not want an implicit Content-Length
}

func (r *reply) begin(c *Conn) {
	h := &c.s.head
	r.c = c
	r.declared = -1
	r.isHead = string(h.Bytes(h.Method)) == http.MethodHead
	r.is11 = h.Version == wire.HTTP11
	r.wants10Keep = !r.is11 && h.KeepAlive && !h.ConnectionClose
	r.closeAfter = h.ConnectionClose || !r.is11 && !r.wants10Keep
}

// reset empties r but keeps its memory, within bounds.
func (r *reply) reset() {
	if r.c == nil {
		return
	}
	r.c = nil
	r.replyState = replyState{}
	if r.reason != "" || r.te != "" || r.err != nil {
		r.reason, r.te, r.err = "", "", nil
	}
	recycle(&r.fields)
	recycle(&r.conn)
	recycle(&r.stage)
	recycle(&r.tail)
}

func recycle(b *[]byte) {
	*b = (*b)[:0]
	if cap(*b) > keepScratch {
		*b = nil
	}
}

// setField serialises one field of the response head. name is in canonical
// form. Framing fields are noted, not copied: the head is made of decisions.
func (r *reply) setField(name, value string) {
	switch name {
	case "Content-Length":
		return // declared holds it
	case "Transfer-Encoding":
		r.te = value
		return
	case "Connection":
		r.connClose = r.connClose || hasToken(value, "close")
		r.conn = wire.AppendField(r.conn, name, value)
		return
	case "Content-Type":
		r.hasType = true
	case "Content-Encoding":
		r.hasCoding = r.hasCoding || value != ""
	case "Date":
		r.hasDate = true
	case "Server":
		r.hasServer = true
	case "Trailer":
		r.hasTrailers = true
	}
	r.fields = wire.AppendField(r.fields, name, value)
}

// appendHead decides on framing and persistence, and appends the head. data is
// the beginning of the content; when the handler is done, all of it.
func (r *reply) appendHead(b []byte, data []byte) []byte {
	c := r.c
	r.headSent = true
	bodyOK := wire.BodyAllowed(r.status)
	if r.done && !r.hasTrailers && !r.noLength && r.te == "" && bodyOK && r.declared < 0 && (!r.isHead || len(data) > 0) {
		r.declared = int64(len(data))
	}
	hasLength := r.declared >= 0
	keep := c.svc.keepAlives() && !c.svc.retiring.Load()
	if r.connClose || !keep || r.bodyUnusable() {
		r.closeAfter = true
	}
	switch {
	case !bodyOK:
		r.framing = wire.Framing{Kind: wire.NoBody}
	case r.isHead:
		r.framing = wire.Framing{Kind: wire.UntilClose} // content is discarded
	case hasLength && (r.te == "" || r.te == "identity"):
		r.framing = wire.Framing{Kind: wire.Length, Length: r.declared}
	case r.is11 && r.te != "identity":
		if hasLength {
			c.svc.logf("http: WriteHeader called with both Transfer-Encoding of %q and a Content-Length of %d", r.te, r.declared)
			hasLength, r.declared = false, -1
		}
		r.framing = wire.Framing{Kind: wire.Chunked}
	default:
		r.framing = wire.Framing{Kind: wire.UntilClose}
		r.closeAfter = true
	}
	r.enc.Begin(r.framing, r.isHead)

	version := wire.HTTP11
	if !r.is11 {
		version = wire.HTTP10
	}
	b = wire.AppendStatusLine(b, version, r.status, r.reason)
	b = append(b, r.fields...)
	if !r.hasDate {
		b = c.svc.appendDate(b, c.now())
	}
	if !r.hasServer {
		b = append(b, c.svc.server...)
	}
	if hasLength && (bodyOK || r.isHead) && r.status >= 200 && r.status != http.StatusNoContent {
		b = wire.AppendLengthField(b, r.declared)
	}
	if r.sniff && bodyOK && !r.hasType && !r.hasCoding && r.te == "" && len(data) > 0 {
		b = wire.AppendField(b, "Content-Type", detectContentType(data))
	}
	b = r.appendConnection(b)
	if r.framing.Kind == wire.Chunked {
		if r.te != "" && r.te != "chunked" {
			b = wire.AppendField(b, "Transfer-Encoding", r.te) // the coding applied first comes first
		}
		b = append(b, "Transfer-Encoding: chunked\r\n"...)
	}
	return append(b, "\r\n"...)
}

// appendConnection appends the Connection field: the handler's, unless the
// connection closes and it does not say so.
func (r *reply) appendConnection(b []byte) []byte {
	switch {
	case r.status == http.StatusSwitchingProtocols:
		r.closeAfter = true
		return append(b, r.conn...)
	case r.closeAfter && !r.connClose:
		if r.is11 {
			b = append(b, "Connection: close\r\n"...)
		}
		return b
	case !r.is11 && !r.closeAfter && len(r.conn) == 0:
		return append(b, "Connection: keep-alive\r\n"...)
	}
	return append(b, r.conn...)
}

// bodyUnusable reports whether what is left of the request body forces the
// connection to close after the response.
func (r *reply) bodyUnusable() bool {
	c := r.c
	b := &c.s.body
	if b.head.Framing.Kind == wire.NoBody {
		return false
	}
	if b.unsolicited() && !c.wc.BodyDone() {
		return true
	}
	if !r.done && b.begun.Load() {
		return false // the handler answers while it reads
	}
	return b.err != nil || b.tooLongToDrain()
}

// account checks n more bytes of content against the status and the declared
// length. The caller has fixed the status.
func (r *reply) account(n int) error {
	if !wire.BodyAllowed(r.status) {
		return http.ErrBodyNotAllowed
	}
	if r.declared >= 0 && r.written+int64(n) > r.declared {
		r.written += int64(n) // the response is out of order: finish notices
		return http.ErrContentLength
	}
	r.written += int64(n)
	return r.err
}

// writeContent takes content that account has let through.
func writeContent[V string | []byte](r *reply, p V) error {
	if len(r.stage)+len(p) <= stageSize {
		r.stage = append(r.stage, p...)
		return nil
	}
	if len(p) <= copyLimit {
		return emitCopy(r, p)
	}
	switch p := any(p).(type) {
	case []byte:
		return r.emitDirect(p)
	case string:
		for len(p) > 0 {
			n := min(len(p), copyLimit)
			if err := emitCopy(r, p[:n]); err != nil {
				return err
			}
			p = p[n:]
		}
	}
	return nil
}

// emitCopy queues the head if it has not been sent, the staged content and p.
func emitCopy[V string | []byte](r *reply, p V) error {
	b := r.c.link.Begin()
	start := len(b)
	r.stage = append(r.stage, p...)
	b = r.appendStage(b)
	r.c.link.End(b)
	r.queued += len(b) - start
	if r.queued >= queueLimit {
		return r.flushLink()
	}
	return r.err
}

// appendStage appends the head if it is due, and the staged content.
func (r *reply) appendStage(b []byte) []byte {
	if !r.headSent {
		r.answered()
		b = r.appendHead(b, r.stage)
	}
	if len(r.stage) > 0 {
		if out, err := r.enc.AppendContent(b, r.stage); err == nil {
			b = out
		} else {
			r.fail(err)
		}
		r.stage = r.stage[:0]
	}
	return b
}

// emitDirect sends the head if it is due, the staged content and p, the latter
// from the caller's memory.
func (r *reply) emitDirect(p []byte) error {
	c := r.c
	b := c.link.Begin()
	if !r.headSent {
		r.answered()
		data := r.stage
		if len(data) == 0 {
			data = p
		}
		b = r.appendHead(b, data)
	}
	n := len(r.stage) + len(p)
	if r.isHead {
		r.stage = r.stage[:0]
		c.link.End(b)
		return nil
	}
	if err := r.enc.Account(n); err != nil {
		c.link.End(b)
		return r.fail(err)
	}
	chunked := r.framing.Kind == wire.Chunked
	if chunked {
		b = r.enc.AppendChunkHead(b, n)
	}
	b = append(b, r.stage...)
	r.stage = r.stage[:0]
	c.link.End(b)
	if _, err := c.link.Write(p); err != nil {
		return r.fail(err)
	}
	r.queued = 0
	if chunked {
		b = c.link.Begin()
		c.link.End(append(b, '\r', '\n'))
	}
	return r.err
}

// answered ends the chance of a 100 (Continue). The send queue is locked.
func (r *reply) answered() { r.c.s.body.owed.CompareAndSwap(continueOwed, continueRefused) }

// flush sends everything written so far.
func (r *reply) flush() error {
	if r.err != nil {
		return r.err
	}
	b := r.c.link.Begin()
	b = r.appendStage(b)
	r.c.link.End(b)
	return r.flushLink()
}

func (r *reply) flushLink() error {
	r.queued = 0
	if err := r.c.link.Flush(); err != nil {
		return r.fail(err)
	}
	return r.err
}

// fail notes the first failure to send. The client is gone, for all that the
// handler needs to know.
func (r *reply) fail(err error) error {
	if r.err == nil {
		r.err = err
		if ctx := r.c.cur.Load(); ctx != nil {
			ctx.cancel(context.Canceled)
		}
	}
	return err
}

// finish completes the response after the handler has returned. It reports
// whether the connection may be used again.
func (r *reply) finish() bool {
	r.done = true
	b := r.c.link.Begin()
	b = r.appendStage(b)
	out, err := r.enc.AppendEnd(b, r.tail)
	if err != nil {
		r.closeAfter = true
		r.c.log(evApplicationError, errAttr(err))
	} else {
		b = out
	}
	r.c.link.End(b)
	if r.declared >= 0 && r.written > r.declared {
		r.closeAfter = true
	}
	if r.isHead && r.written > 0 {
		r.c.log(evHeadBodyWrite, slog.Int64("bytes", r.written))
	}
	return !r.closeAfter && r.err == nil
}

// interim queues a 1xx response and sends it.
func (r *reply) interim(status int, fields []byte) error {
	if !r.is11 {
		return nil // RFC 9110 section 15.2: never to an HTTP/1.0 client
	}
	b := r.c.link.Begin()
	if status == http.StatusContinue {
		r.c.s.body.owed.CompareAndSwap(continueOwed, continueSent)
	}
	b = wire.AppendStatusLine(b, wire.HTTP11, status, "")
	b = append(b, fields...)
	r.c.link.End(append(b, '\r', '\n'))
	return r.flushLink()
}
