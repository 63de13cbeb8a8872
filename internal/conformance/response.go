package main

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

type field struct{ name, value string }

// A response is one response as it stood on the wire.
type response struct {
	version  string
	status   int
	reason   string
	headers  []field
	framing  string // length, chunked, close or none
	body     []byte
	trailers []field
	cut      bool // the connection ended before the message was complete
}

func values(fs []field, name string) []string {
	var v []string
	for _, f := range fs {
		if strings.EqualFold(f.name, name) {
			v = append(v, f.value)
		}
	}
	return v
}

// A violation is a response that breaks RFC 9112 on its own account.
type violation struct{ msg string }

func (v violation) Error() string { return v.msg }

func violate(format string, a ...any) error { return violation{fmt.Sprintf(format, a...)} }

// parser reads responses strictly from the wire: CRLF line ends, no folding, no
// whitespace around field names, exactly one framing.
type parser struct {
	w  *wire
	dl *deadline
}

// line returns the next line without its CRLF.
func (p *parser) line(limit int, what string) (string, error) {
	from := p.w.pos
	scanned := from
	for {
		buf := p.w.received()
		if i := bytes.IndexByte(buf[scanned:], '\n'); i >= 0 {
			ln := buf[from : scanned+i]
			p.w.pos = scanned + i + 1
			if len(ln) == 0 || ln[len(ln)-1] != '\r' {
				return "", violate("%s ends with a bare LF: %q", what, clip(ln))
			}
			ln = ln[:len(ln)-1]
			if i := bytes.IndexAny(ln, "\r\x00"); i >= 0 {
				return "", violate("%s contains CR or NUL: %q", what, clip(ln))
			}
			return string(ln), nil
		}
		scanned = len(buf)
		if scanned-from > limit {
			return "", violate("%s is longer than %d bytes", what, limit)
		}
		if err := p.w.waitLen(scanned+1, p.dl); err != nil {
			return "", err
		}
	}
}

func clip(b []byte) string {
	if len(b) > 80 {
		return string(b[:80]) + "..."
	}
	return string(b)
}

const tokenExtra = "!#$%&'*+-.^_`|~"

func isToken(s string) bool {
	for i := 0; i < len(s); i++ {
		c := s[i]
		if !(c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || strings.IndexByte(tokenExtra, c) >= 0) {
			return false
		}
	}
	return s != ""
}

func (p *parser) fields(what string) ([]field, error) {
	var out []field
	total := 0
	for {
		ln, err := p.line(64<<10, what)
		if err != nil {
			return out, err
		}
		if ln == "" {
			return out, nil
		}
		if total += len(ln); total > 256<<10 {
			return out, violate("%s section is larger than 256 KiB", what)
		}
		if ln[0] == ' ' || ln[0] == '\t' {
			return out, violate("%s starts with whitespace: %q", what, clip([]byte(ln)))
		}
		name, value, ok := strings.Cut(ln, ":")
		if !ok || !isToken(name) {
			return out, violate("bad %s %q", what, clip([]byte(ln)))
		}
		value = strings.Trim(value, " \t")
		for i := 0; i < len(value); i++ {
			if c := value[i]; c < 0x20 && c != '\t' || c == 0x7f {
				return out, violate("control byte in %s %q", what, clip([]byte(ln)))
			}
		}
		out = append(out, field{name, value})
	}
}

// head reads a status line and the fields.
func (p *parser) head() (*response, error) {
	if err := p.w.waitLen(p.w.pos+1, p.dl); err != nil {
		return nil, err
	}
	ln, err := p.line(8<<10, "status line")
	if err != nil {
		if err == errEOF {
			return nil, violate("connection closed inside the status line")
		}
		return nil, err
	}
	if len(ln) < 13 || (ln[:9] != "HTTP/1.1 " && ln[:9] != "HTTP/1.0 ") || ln[12] != ' ' {
		return nil, violate("bad status line %q", clip([]byte(ln)))
	}
	code, err := strconv.ParseUint(ln[9:12], 10, 16)
	if err != nil || code < 100 || code > 599 || ln[9] == '+' {
		return nil, violate("bad status line %q", clip([]byte(ln)))
	}
	r := &response{version: ln[:8], status: int(code), reason: ln[13:]}
	for i := 0; i < len(r.reason); i++ {
		if c := r.reason[i]; c < 0x20 && c != '\t' || c == 0x7f {
			return nil, violate("control byte in the reason phrase %q", r.reason)
		}
	}
	r.headers, err = p.fields("header field")
	if err == errEOF {
		return r, violate("connection closed inside the header section of a %d response", r.status)
	}
	return r, err
}

// response reads one whole response (interim or final). to is the method of the
// request it answers, "" when it does not matter.
func (p *parser) response(to string) (*response, error) {
	r, err := p.head()
	if err != nil {
		return r, err
	}
	te := values(r.headers, "Transfer-Encoding")
	cl := values(r.headers, "Content-Length")
	if len(cl) > 1 {
		return r, violate("%d Content-Length fields in a %d response", len(cl), r.status)
	}
	if len(te) > 0 && len(cl) > 0 {
		return r, violate("both Content-Length and Transfer-Encoding in a %d response", r.status)
	}
	var n int
	if len(cl) == 1 {
		v, err := strconv.ParseUint(cl[0], 10, 40)
		if err != nil || cl[0][0] == '+' {
			return r, violate("bad Content-Length %q", cl[0])
		}
		n = int(v)
	}
	noBody := r.status/100 == 1 || r.status == 204
	if noBody && (len(te) > 0 || len(cl) > 0) {
		return r, violate("%d response with Content-Length or Transfer-Encoding", r.status)
	}
	if noBody || r.status == 304 || to == "HEAD" || to == "CONNECT" && r.status/100 == 2 {
		r.framing = "none"
		return r, nil
	}
	switch {
	case len(te) > 0:
		if len(te) != 1 || !strings.EqualFold(te[0], "chunked") {
			return r, violate("Transfer-Encoding %q in a response", strings.Join(te, ", "))
		}
		r.framing = "chunked"
		err = p.chunked(r)
	case len(cl) > 0:
		r.framing = "length"
		err = p.take(r, n)
	default:
		r.framing = "close"
		if err = p.w.waitClosed(p.dl); err == nil {
			buf := p.w.received()
			r.body = append(r.body, buf[p.w.pos:]...)
			p.w.pos = len(buf)
		} else {
			err = fmt.Errorf("a %d response with neither Content-Length nor chunked coding is not ended by closing the connection", r.status)
		}
	}
	if errors.Is(err, errEOF) {
		r.cut = true
		return r, nil
	}
	if errors.Is(err, errTimeout) {
		return r, fmt.Errorf("the body of a %d response is incomplete after the time limit (%d bytes came)", r.status, len(r.body))
	}
	return r, err
}

// take moves n bytes of body from the wire to r.
func (p *parser) take(r *response, n int) error {
	err := p.w.waitLen(p.w.pos+n, p.dl)
	buf := p.w.received()
	k := min(n, len(buf)-p.w.pos)
	r.body = append(r.body, buf[p.w.pos:p.w.pos+k]...)
	p.w.pos += k
	return err
}

func (p *parser) chunked(r *response) error {
	for {
		ln, err := p.line(1<<10, "chunk size line")
		if err != nil {
			return err
		}
		size, _, _ := strings.Cut(ln, ";")
		if len(size) == 0 || len(size) > 8 || strings.Trim(size, "0123456789abcdefABCDEF") != "" {
			return violate("bad chunk size line %q in a response", clip([]byte(ln)))
		}
		n, _ := strconv.ParseUint(size, 16, 40)
		if n == 0 {
			r.trailers, err = p.fields("trailer field")
			return err
		}
		if err := p.take(r, int(n)); err != nil {
			return err
		}
		if err := p.w.waitLen(p.w.pos+2, p.dl); err != nil {
			return err
		}
		if b := p.w.received()[p.w.pos:]; b[0] != '\r' || b[1] != '\n' {
			return violate("chunk of a response is not followed by CRLF but by %q", b[:2])
		}
		p.w.pos += 2
	}
}
