package proto

import (
	"crypto/tls"
	"errors"
	"io"
	"net/http"
	"net/textproto"
	"net/url"
	"strings"
	"sync"

	"github.com/windhover-server/windhover/proto/wire"
)

// inlineValues is how many field values live in the request's own allocation.
const inlineValues = 7

// A header map is made for as many fields as there are, distinct or not, from
// minSizedHeader, which every map has room for, to maxSizedHeader.
const (
	minSizedHeader = 8
	maxSizedHeader = 64
)

// request is everything that one http.Request needs and that a handler may
// keep: one allocation, of just 512 bytes with Go 1.26 on 64 bits. What may not
// outlive the handler is in the turn.
type request struct {
	req    http.Request
	url    url.URL
	ctx    reqCtx
	writer responseWriter
}

// requestValues is a request with few field values. Without it, values of its
// own would be an allocation more, and room for them waste where there are none
// or many.
type requestValues struct {
	request
	values [inlineValues]string
}

// makeRequest allocates a request with n field values.
func makeRequest(n int) (*request, []string) {
	switch {
	case n == 0:
		return new(request), nil
	case n <= inlineValues:
		r := new(requestValues)
		return &r.request, r.values[:]
	}
	return new(request), make([]string, n)
}

// template is copied into each request by WithContext: the only way to give a
// Request a context.
var template http.Request

// newRequest makes the http.Request for the parsed head. All its strings are
// parts of one copy of the head.
func (c *Conn) newRequest() (*request, error) {
	h := &c.s.head
	n := len(h.Fields)
	if _, ok := h.Field(wire.FieldHost); ok {
		n-- // it is not in the map
	}
	r, values := makeRequest(n)
	r.ctx.c, r.ctx.w = c, &r.writer
	r.writer.c, r.writer.r = c, &c.s.resp
	// Filled on the stack, where stores need no write barriers.
	req := template.WithContext(&r.ctx)
	text := c.s.headText(h.Raw)
	str := func(s wire.Span) string { return text[s.Off : s.Off+s.Len] }

	req.Method = str(h.Method)
	req.RequestURI = str(h.Target)
	req.ProtoMajor = 1
	if h.Version == wire.HTTP11 {
		req.Proto, req.ProtoMinor = "HTTP/1.1", 1
	} else {
		req.Proto = "HTTP/1.0"
	}
	req.URL = &r.url
	if h.Form == wire.OriginForm && plainPath(h.Bytes(h.Path)) && h.HasQuery == (h.Query.Len > 0) {
		r.url.Path, r.url.RawQuery = str(h.Path), str(h.Query)
	} else if err := parseTarget(&r.url, h.Form, req.RequestURI); err != nil {
		return nil, err
	}
	req.Host = r.url.Host
	setFields(req, h, text, values)
	req.Close = h.ConnectionClose || h.Version == wire.HTTP10 && !h.KeepAlive
	if c.peer == "" {
		if a := c.link.RemoteAddr(); a != nil {
			c.peer = a.String()
		}
		if t, ok := c.link.(tlsLink); ok {
			st := t.ConnectionState()
			c.tls = &st
		}
	}
	req.RemoteAddr = c.peer
	req.TLS = c.tls
	err := c.setBody(r, req)
	r.req = *req
	return r, err
}

// maxKeptHead bounds the head that a turn keeps for headText. A browser's has
// some 1,200 bytes.
const maxKeptHead = 2048

// headText returns the head as a string. The same head again, as a client sends
// that fetches one thing repeatedly, costs no new one: strings never change, so
// requests may share them (Kestrel reuses its header strings alike). It is kept
// with the scratch space, because connections are many and mostly idle.
func (t *turn) headText(raw []byte) string {
	if string(raw) == t.lastHead {
		return t.lastHead
	}
	text := string(raw)
	if len(text) <= maxKeptHead {
		t.lastHead = text
	}
	return text
}

// tlsLink is a link on top of TLS.
type tlsLink interface {
	ConnectionState() tls.ConnectionState
}

// plainPath reports whether URL.Path is p itself and needs no RawPath.
func plainPath(p []byte) bool {
	for _, b := range p {
		if !plainPathByte[b] {
			return false
		}
	}
	return true
}

var plainPathByte = func() (t [256]bool) {
	for _, b := range "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.~/$&+,:;=@" {
		t[b] = true
	}
	return t
}()

// parseTarget fills u as net/http does. Of the target of CONNECT, only the
// authority is used.
func parseTarget(u *url.URL, form wire.TargetForm, target string) error {
	raw := target
	if form == wire.AuthorityForm {
		raw = "http://" + raw
	}
	p, err := url.ParseRequestURI(raw)
	if err != nil {
		return err
	}
	if form == wire.AuthorityForm {
		p.Scheme = ""
	}
	*u = *p
	return nil
}

// setFields makes the header map from the field lines of h. values has room
// for all but Host.
func setFields(req *http.Request, h *wire.Head, text string, values []string) {
	var hdr http.Header
	if n := len(values); n > minSizedHeader {
		hdr = make(http.Header, min(n, maxSizedHeader))
	} else {
		hdr = make(http.Header)
	}
	var seen uint64 // bit 1<<ID; all unknown names are one
	for i := range h.Fields {
		f := &h.Fields[i]
		if f.ID == wire.FieldHost {
			if req.Host == "" { // else an absolute target has named it
				req.Host = text[f.Value.Off : f.Value.Off+f.Value.Len]
			}
			continue
		}
		name := f.ID.Canonical()
		if f.ID == wire.FieldUnknown {
			name = textproto.CanonicalMIMEHeaderKey(text[f.Name.Off : f.Name.Off+f.Name.Len])
		}
		values[0] = text[f.Value.Off : f.Value.Off+f.Value.Len]
		if seen&(1<<f.ID) != 0 {
			if old, ok := hdr[name]; ok {
				hdr[name] = append(old, values[0])
				continue
			}
		}
		seen |= 1 << f.ID
		hdr[name] = values[:1:1]
		values = values[1:]
	}
	// RFC 9111 section 5.4: treat Pragma: no-cache like Cache-Control.
	if hp := hdr["Pragma"]; len(hp) > 0 && hp[0] == "no-cache" {
		if _, ok := hdr["Cache-Control"]; !ok {
			hdr["Cache-Control"] = []string{"no-cache"}
		}
	}
	req.Header = hdr
}

var errTrailerKey = errors.New("proto: a framing field is announced as a trailer")

// setBody gives req, which is going to be r.req, its body, and what goes with it.
func (c *Conn) setBody(r *request, req *http.Request) error {
	h := &c.s.head
	switch h.Framing.Kind {
	case wire.Length:
		req.ContentLength = h.Framing.Length
		c.s.reader = &bodyReader{b: &c.s.body, req: &r.req}
		req.Body = c.s.reader
	case wire.Chunked:
		req.ContentLength = -1
		req.TransferEncoding = []string{"chunked"}
		delete(req.Header, "Transfer-Encoding")
		if err := announceTrailers(req); err != nil {
			return err
		}
		c.s.reader = &bodyReader{b: &c.s.body, req: &r.req}
		req.Body = c.s.reader
	default:
		req.Body = http.NoBody
	}
	return nil
}

// announceTrailers makes the keys of Request.Trailer from the Trailer field.
func announceTrailers(req *http.Request) error {
	vv, ok := req.Header["Trailer"]
	if !ok {
		return nil
	}
	delete(req.Header, "Trailer")
	for _, v := range vv {
		for key := range strings.SplitSeq(v, ",") {
			key = textproto.CanonicalMIMEHeaderKey(textproto.TrimString(key))
			switch key {
			case "":
				continue
			case "Transfer-Encoding", "Trailer", "Content-Length":
				return errTrailerKey
			}
			if req.Trailer == nil {
				req.Trailer = make(http.Header)
			}
			req.Trailer[key] = nil
		}
	}
	return nil
}

// bodyReader is Request.Body. It is safe for use by several goroutines, and
// fails once the handler has returned.
type bodyReader struct {
	mu     sync.Mutex
	b      *body // nil once closed
	req    *http.Request
	sawEOF bool
}

func (r *bodyReader) Read(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.b == nil {
		return 0, http.ErrBodyReadAfterClose
	}
	n, err := r.b.read(p)
	if err == io.EOF && !r.sawEOF {
		r.sawEOF = true
		r.mergeTrailers()
	}
	return n, err
}

// mergeTrailers moves the trailer section to Request.Trailer.
func (r *bodyReader) mergeTrailers() {
	h := r.b.head
	if len(h.Trailers) == 0 {
		return
	}
	if r.req.Trailer == nil {
		r.req.Trailer = make(http.Header, len(h.Trailers))
	}
	text := string(h.TrailerRaw)
	for i := range h.Trailers {
		f := &h.Trailers[i]
		name := textproto.CanonicalMIMEHeaderKey(text[f.Name.Off : f.Name.Off+f.Name.Len])
		r.req.Trailer[name] = append(r.req.Trailer[name], text[f.Value.Off:f.Value.Off+f.Value.Len])
	}
}

// Close ends reading; what is left is drained after the response.
func (r *bodyReader) Close() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.b = nil
	return nil
}
