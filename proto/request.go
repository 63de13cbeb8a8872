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
const inlineValues = 8

// maxSizedHeader bounds how large a header map is made before its fields are
// known to be distinct.
const maxSizedHeader = 64

// request is everything that one http.Request needs and that a handler may
// keep: one allocation. What may not outlive the handler is in the turn.
type request struct {
	req    http.Request
	url    url.URL
	ctx    reqCtx
	writer responseWriter
	body   *bodyReader // nil without a body
	values [inlineValues]string
}

// template is copied into each request by WithContext: the only way to give a
// Request a context.
var template http.Request

// newRequest makes the http.Request for the parsed head. All its strings are
// parts of one copy of the head.
func (c *Conn) newRequest() (*request, error) {
	h := &c.s.head
	r := new(request)
	r.ctx.Context, r.ctx.c, r.ctx.rq = c.base, c, r
	r.req = *template.WithContext(&r.ctx)
	req := &r.req
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
	r.setFields(h, text)
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
	return r, c.setBody(r)
}

// maxKeptHead bounds the head that a turn keeps for headText.
const maxKeptHead = 512

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

// setFields makes the header map from the field lines of h.
func (r *request) setFields(h *wire.Head, text string) {
	values := r.values[:]
	if len(h.Fields) > inlineValues {
		values = make([]string, len(h.Fields))
	}
	hdr := make(http.Header, min(len(h.Fields), maxSizedHeader))
	for i := range h.Fields {
		f := &h.Fields[i]
		if f.ID == wire.FieldHost {
			if r.req.Host == "" { // else an absolute target has named it
				r.req.Host = text[f.Value.Off : f.Value.Off+f.Value.Len]
			}
			continue
		}
		name := f.ID.Canonical()
		if f.ID == wire.FieldUnknown {
			name = textproto.CanonicalMIMEHeaderKey(text[f.Name.Off : f.Name.Off+f.Name.Len])
		}
		values[0] = text[f.Value.Off : f.Value.Off+f.Value.Len]
		if old, ok := hdr[name]; ok {
			hdr[name] = append(old, values[0])
			continue
		}
		hdr[name] = values[:1:1]
		values = values[1:]
	}
	// RFC 9111 section 5.4: treat Pragma: no-cache like Cache-Control.
	if hp := hdr["Pragma"]; len(hp) > 0 && hp[0] == "no-cache" {
		if _, ok := hdr["Cache-Control"]; !ok {
			hdr["Cache-Control"] = []string{"no-cache"}
		}
	}
	r.req.Header = hdr
}

var errTrailerKey = errors.New("proto: a framing field is announced as a trailer")

// setBody gives the request its body, and what goes with it.
func (c *Conn) setBody(r *request) error {
	h := &c.s.head
	req := &r.req
	switch h.Framing.Kind {
	case wire.Length:
		req.ContentLength = h.Framing.Length
		r.body = &bodyReader{b: &c.s.body, req: req}
		req.Body = r.body
	case wire.Chunked:
		req.ContentLength = -1
		req.TransferEncoding = []string{"chunked"}
		delete(req.Header, "Transfer-Encoding")
		if err := announceTrailers(req); err != nil {
			return err
		}
		r.body = &bodyReader{b: &c.s.body, req: req}
		req.Body = r.body
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
