package proto

import (
	"context"
	"net"
	"net/http"
	"time"

	"github.com/windhover-server/windhover/listen"
	"github.com/windhover-server/windhover/proto/wire"
)

// Exchange is one request and its response, as a native [Handler] sees it.
//
// Nothing may be retained: every slice that a method returns lies in the
// connection's receive buffer or scratch space, and is overwritten when the
// handler has returned. An Exchange must not be used by several goroutines at
// once, nor after the handler has returned.
//
// The response goes out when the handler returns, in one piece with those of
// pipelined requests; Flush sends what there is. A response that is never
// touched is 200 with no content.
type Exchange struct {
	reply
	head  *wire.Head
	path  []byte
	goFn  func(*Exchange)
	abort bool
	up    *Upgraded
}

func (x *Exchange) begin(c *Conn) {
	x.reply.begin(c)
	x.head = &c.s.head
	x.status = http.StatusOK
}

func (x *Exchange) reset() {
	if x.head == nil {
		return
	}
	x.reply.reset()
	x.head, x.goFn, x.abort, x.up = nil, nil, false, nil
	recycle(&x.path)
}

// Method returns the request method, such as "GET". Methods are
// case-sensitive.
func (x *Exchange) Method() []byte { return x.head.Bytes(x.head.Method) }

// Target returns the request-target as it came (RFC 9112 section 3.2).
func (x *Exchange) Target() []byte { return x.head.Bytes(x.head.Target) }

// Path returns the path of the target, percent-decoded and without dot
// segments; an escaped slash stays "%2F". It is "/" for an absolute target
// without a path, and empty for "*" and the target of CONNECT.
func (x *Exchange) Path() []byte {
	if len(x.path) > 0 {
		return x.path
	}
	raw := x.head.Bytes(x.head.Path)
	if plainSegments(raw) {
		return raw
	}
	// The wire machine has refused what cannot be decoded.
	x.path, _ = wire.AppendPath(x.path[:0], raw)
	return x.path
}

// plainSegments reports whether decoding and normalising would not change p.
func plainSegments(p []byte) bool {
	for i, b := range p {
		if b == '%' || b == '.' && i > 0 && p[i-1] == '/' {
			return false
		}
	}
	return len(p) > 0
}

// Query returns what follows the question mark, as it came.
func (x *Exchange) Query() []byte { return x.head.Bytes(x.head.Query) }

// Host returns the host the request is for, with its port if it has one: the
// authority of an absolute target, else the Host field.
func (x *Exchange) Host() []byte { return x.head.Bytes(x.head.Host) }

// HTTP10 reports whether this is an HTTP/1.0 request.
func (x *Exchange) HTTP10() bool { return x.head.Version == wire.HTTP10 }

// Field returns the first value of a request field; the name's case does not
// matter.
func (x *Exchange) Field(name string) ([]byte, bool) { return x.head.Lookup(name) }

// NumFields returns how many field lines the request has.
func (x *Exchange) NumFields() int { return len(x.head.Fields) }

// FieldAt returns field line i, in the order they came.
func (x *Exchange) FieldAt(i int) (name, value []byte) {
	f := &x.head.Fields[i]
	return x.head.Bytes(f.Name), x.head.Bytes(f.Value)
}

// NumTrailers returns how many trailer fields followed the body. They are
// known when Read has returned io.EOF.
func (x *Exchange) NumTrailers() int { return len(x.head.Trailers) }

// TrailerAt returns trailer field i.
func (x *Exchange) TrailerAt(i int) (name, value []byte) {
	f := &x.head.Trailers[i]
	return x.head.TrailerRaw[f.Name.Off:][:f.Name.Len], x.head.TrailerRaw[f.Value.Off:][:f.Value.Len]
}

// ContentLength returns the length of the request body in bytes: 0 without
// one, -1 when it is not declared.
func (x *Exchange) ContentLength() int64 { return x.c.s.body.length() }

// Read reads the request body, as io.Reader. It may block for the client, at
// the cost of moving the event loop elsewhere: see Go. Errors other than io.EOF
// are a [*BodyError], io.ErrUnexpectedEOF, or the deadline's; the connection
// ends after the response then.
func (x *Exchange) Read(p []byte) (int, error) { return x.c.s.body.read(p) }

// SetMaxBodySize replaces [Limits].MaxRequestBodySize for this request; 0 or
// [None] means no body, below zero no limit. It has no effect once reading has begun.
func (x *Exchange) SetMaxBodySize(n int64) {
	if b := &x.c.s.body; !b.begun.Load() {
		b.limit = bodyLimit(n)
	}
}

// SetMinBodyRate replaces [Limits].MinRequestBodyDataRate for this request.
func (x *Exchange) SetMinBodyRate(r DataRate) { x.c.s.body.rate = r.withDefaults() }

// SetMinResponseRate replaces [Limits].MinResponseDataRate for this response.
func (x *Exchange) SetMinResponseRate(r DataRate) {
	x.c.setSendRate(r.withDefaults())
	x.c.s.ownRate = true
}

// RemoteAddr returns the client's address.
func (x *Exchange) RemoteAddr() net.Addr { return x.c.link.RemoteAddr() }

// LocalAddr returns the address the client connected to.
func (x *Exchange) LocalAddr() net.Addr { return x.c.link.LocalAddr() }

// Now returns the time at which the transport delivered the request; reading
// it costs nothing.
func (x *Exchange) Now() time.Time { return x.c.s.now }

// ConnID returns the connection's identifier.
func (x *Exchange) ConnID() string { return x.c.ID() }

// Request returns the number of this request on its connection, from 1.
func (x *Exchange) Request() int { return int(x.c.requests) }

// RequestID returns the request's identifier, as the function [RequestID] does.
func (x *Exchange) RequestID() string { return x.c.requestID() }

// Context returns a context that is cancelled when the client goes away or
// the handler has returned. It allocates, and may cost a read-ahead.
func (x *Exchange) Context() context.Context {
	if ctx := x.c.cur.Load(); ctx != nil {
		return ctx
	}
	ctx := &reqCtx{c: x.c}
	x.c.cur.Store(ctx)
	return ctx
}

// SetStatus sets the status code, 200 to 599. It has no effect once the head
// has been sent.
func (x *Exchange) SetStatus(code int) {
	if !x.headSent {
		x.status = code
	}
}

// SetReason replaces the standard reason phrase.
func (x *Exchange) SetReason(text string) { x.reason = text }

// AddHeader adds a response field line. It returns [ErrInvalidField] for a
// name or value that must not be sent, [ErrResponseStarted] after the head
// has gone.
func (x *Exchange) AddHeader(name, value string) error {
	if x.headSent {
		return ErrResponseStarted
	}
	if !wire.ValidFieldName(name) || !wire.ValidFieldValue(value) {
		return ErrInvalidField
	}
	switch {
	case knownName(name):
		x.setField(http.CanonicalHeaderKey(name), value)
		if len(name) == len("Content-Length") && equalFold(name, "content-length") {
			return x.parseLength(value)
		}
	default:
		x.fields = wire.AppendField(x.fields, name, value)
	}
	return nil
}

// knownName reports whether reply has to see the field. The lengths of the
// names that it looks for tell nearly all others apart.
func knownName(name string) bool {
	switch len(name) {
	case len("Date"), len("Server"), len("Trailer"), len("Connection"), len("Content-Type"),
		len("Content-Length"), len("Content-Encoding"), len("Transfer-Encoding"):
		return true
	}
	return false
}

func (x *Exchange) parseLength(value string) error {
	n := int64(0)
	for _, d := range []byte(value) {
		if d < '0' || d > '9' || n > (1<<62)/10 {
			return ErrInvalidField
		}
		n = n*10 + int64(d-'0')
	}
	x.declared = n
	return nil
}

// SetHeader is AddHeader after removing the field lines of that name which
// have been added.
func (x *Exchange) SetHeader(name, value string) error {
	if !x.headSent && len(x.fields)+len(x.conn) > 0 {
		x.fields = removeField(x.fields, name)
		x.conn = removeField(x.conn, name)
	}
	return x.AddHeader(name, value)
}

// SetContentLength declares the length of the content in bytes. Writing more
// fails; writing less closes the connection.
func (x *Exchange) SetContentLength(n int64) {
	if !x.headSent && n >= 0 {
		x.declared = n
	}
}

// AddTrailer adds a field to the trailer section of a chunked response. The
// names should be announced by a Trailer header field, which also keeps a
// short response chunked.
func (x *Exchange) AddTrailer(name, value string) error {
	if !wire.ValidFieldName(name) || !wire.ValidFieldValue(value) || !validTrailer(http.CanonicalHeaderKey(name)) {
		return ErrInvalidField
	}
	x.tail = wire.AppendField(x.tail, name, value)
	return nil
}

// Write appends content to the response. The first 2 KiB are held back to find
// the Content-Length; a longer response without a declared one is chunked. p
// is not kept.
func (x *Exchange) Write(p []byte) (int, error) { return x.write(p, "") }

// WriteString is Write for a string.
func (x *Exchange) WriteString(s string) (int, error) { return x.write(nil, s) }

func (x *Exchange) write(p []byte, s string) (int, error) {
	n := len(p) + len(s)
	x.started = true
	if n == 0 {
		return 0, nil
	}
	if err := x.account(n); err != nil {
		return 0, err
	}
	var err error
	if p != nil {
		err = writeContent(&x.reply, p)
	} else {
		err = writeContent(&x.reply, s)
	}
	if err != nil {
		return 0, err
	}
	return n, nil
}

// Flush sends what has been written, head included, and waits while more than
// the response buffer holds is unsent.
func (x *Exchange) Flush() error {
	x.started = true
	return x.flush()
}

// Respond gives the whole answer at once: the cheapest way. An empty
// contentType sends no such field. body is not kept.
func (x *Exchange) Respond(status int, contentType string, body []byte) {
	x.SetStatus(status)
	if contentType != "" && !x.headSent {
		x.hasType = true
		x.fields = wire.AppendField(x.fields, "Content-Type", contentType)
	}
	if x.declared < 0 && !x.headSent && wire.BodyAllowed(status) {
		x.declared = int64(len(body))
	}
	_, _ = x.Write(body)
}

// Interim sends an informational response (1xx other than 101) with the fields
// added so far, such as 103 (Early Hints).
func (x *Exchange) Interim(status int) error {
	if x.headSent {
		return ErrResponseStarted
	}
	if status < 100 || status > 199 || status == http.StatusSwitchingProtocols {
		return ErrInvalidField
	}
	return x.interim(status, x.fields)
}

// Go has fn called when the handler has returned, with the same Exchange, in
// a place where it may block or compute for as long as it needs. Whatever the
// handler did to the response stands. The last call counts.
func (x *Exchange) Go(fn func(*Exchange)) { x.goFn = fn }

// Upgrade leaves HTTP for the named protocol, as the function [Upgrade] does.
// It is for functions given to Go: the connection ends when that returns.
func (x *Exchange) Upgrade(protocol string) (net.Conn, error) {
	if x.up != nil {
		return nil, http.ErrHijacked
	}
	if x.started {
		return nil, ErrResponseStarted
	}
	u, err := x.c.upgrade(protocol, x.fields)
	if err != nil {
		return nil, err
	}
	x.up = u
	return u, nil
}

// Abort drops the connection without finishing the response.
func (x *Exchange) Abort() { x.abort = true }

// serveNative runs the native handler for the request in the turn.
func (c *Conn) serveNative() listen.Verdict {
	x := &c.s.ex
	x.begin(c)
	panicked := c.callNative(c.svc.Native.ServeExchange, x)
	for x.goFn != nil && !panicked && !x.abort {
		fn := x.goFn
		x.goFn = nil
		c.link.Leave()
		panicked = c.callNative(fn, x)
		c.restamp()
	}
	if ctx := c.cur.Load(); ctx != nil {
		c.cur.Store(nil)
		ctx.end()
	}
	v := listen.Wait
	switch {
	case x.abort:
		c.log(evApplicationAborted)
		v = listen.Abort
	case x.up != nil:
		x.up.closed.Store(true)
		v = listen.Close
	case panicked && !x.headSent:
		c.writeError(http.StatusInternalServerError, "", "", c.now())
		v = listen.Close
	case panicked || !x.finish():
		v = listen.Close
	}
	x.reset()
	return v
}

// callNative calls fn and reports whether it panicked.
func (c *Conn) callNative(fn func(*Exchange), x *Exchange) (panicked bool) {
	panicked = true // also by panic(nil), which GODEBUG can make unrecognisable
	defer func() {
		if v := recover(); v != nil {
			x.abort = x.abort || v == http.ErrAbortHandler
			c.reportPanic(v)
		}
	}()
	fn(x)
	return false
}

// removeField removes the lines of a serialised field.
func removeField(fields []byte, name string) []byte {
	out := fields[:0]
	for len(fields) > 0 {
		end := 0
		for fields[end] != '\n' {
			end++
		}
		line := fields[:end+1]
		fields = fields[end+1:]
		if len(line) > len(name) && line[len(name)] == ':' && foldEqual(line[:len(name)], name) {
			continue
		}
		out = append(out, line...)
	}
	return out
}

// foldEqual compares ASCII text without regard to case.
func foldEqual(b []byte, s string) bool {
	for i := range b {
		x, y := b[i], s[i]
		if x != y && (x|0x20 != y|0x20 || x|0x20 < 'a' || x|0x20 > 'z') {
			return false
		}
	}
	return true
}
