package wire

import (
	"bytes"
	"encoding/binary"
)

// TargetForm is one of the four forms of a request-target (RFC 9112 section
// 3.2).
type TargetForm uint8

// The forms.
const (
	// OriginForm is a path with an optional query, with any method.
	OriginForm TargetForm = iota
	// AbsoluteForm is an http or https URI, with any method but CONNECT.
	AbsoluteForm
	// AuthorityForm is host and port, with CONNECT only.
	AuthorityForm
	// AsteriskForm is "*", with OPTIONS only.
	AsteriskForm
)

// String returns the form's name in RFC 9112.
func (f TargetForm) String() string {
	switch f {
	case OriginForm:
		return "origin-form"
	case AbsoluteForm:
		return "absolute-form"
	case AuthorityForm:
		return "authority-form"
	case AsteriskForm:
		return "asterisk-form"
	}
	return "TargetForm(?)"
}

const (
	methodGet = 'G' | 'E'<<8 | 'T'<<16 | ' '<<24

	version10 = 'H' | 'T'<<8 | 'T'<<16 | 'P'<<24 | '/'<<32 | '1'<<40 | '.'<<48 | '0'<<56
	version11 = 'H' | 'T'<<8 | 'T'<<16 | 'P'<<24 | '/'<<32 | '1'<<40 | '.'<<48 | '1'<<56
)

// parseRequestLine parses the request line at the start of in and returns the
// index behind its CRLF, or why the line is refused. When the line is not
// complete the reason is meaningless.
func parseRequestLine(in []byte, h *Head) (int, Reason) {
	i := 3
	if len(in) < 5 || binary.LittleEndian.Uint32(in) != methodGet {
		i = scanToken(in, 0)
		if i == 0 || i+1 >= len(in) || in[i] != ' ' {
			return 0, ReasonInvalidRequestLine
		}
	}
	h.Method = makeSpan(0, i)
	from := i + 1
	// The usual target, an origin-form without escapes, is taken apart on the
	// way; parseTarget does the others.
	plain := in[from] == '/'
	to := from
	if plain {
		to = scanPath(in, from)
		h.Form = OriginForm
		h.Path = makeSpan(from, to)
	}
	if to < len(in) && in[to] != ' ' {
		path := to
		to = scanTarget(in, to)
		if plain = plain && in[path] == '?'; plain {
			h.HasQuery = true
			h.Query = makeSpan(path+1, to)
		}
	}
	if to == from || to >= len(in) || in[to] != ' ' {
		if to < len(in) && in[to] == '#' {
			return 0, ReasonInvalidTarget
		}
		return 0, ReasonInvalidRequestLine
	}
	h.Target = makeSpan(from, to)
	n := to + 11
	if n <= len(in) && binary.LittleEndian.Uint64(in[to+1:]) == version11 && in[to+9] == '\r' && in[to+10] == '\n' {
		h.Version = HTTP11
	} else {
		h.Version = HTTP10
		if r := parseOldVersion(in, to+1); r != ReasonNone {
			return 0, r
		}
	}
	if plain {
		return n, ReasonNone
	}
	return n, h.parseTarget(in)
}

// parseOldVersion accepts "HTTP/1.0" and CRLF at in[i], and tells what is wrong
// with anything else.
func parseOldVersion(in []byte, i int) Reason {
	to := i
	for to < len(in) && classes[in[to]]&classVersion != 0 {
		to++
	}
	if to == i || to+1 >= len(in) || in[to] != '\r' || in[to+1] != '\n' {
		return ReasonInvalidRequestLine
	}
	if to-i != 8 || binary.LittleEndian.Uint64(in[i:]) != version10 {
		return ReasonUnsupportedVersion
	}
	return ReasonNone
}

// parseTarget finds the form of the target and its parts.
func (h *Head) parseTarget(in []byte) Reason {
	from := int(h.Target.Off)
	target := in[from : from+int(h.Target.Len)]
	connect := string(in[:h.Method.Len]) == "CONNECT"
	switch {
	case target[0] == '/':
		h.Form = OriginForm
		return h.splitPath(target, from)
	case len(target) == 1 && target[0] == '*':
		h.Form = AsteriskForm
		if string(in[:h.Method.Len]) != "OPTIONS" {
			return ReasonOptionsRequired
		}
		return ReasonNone
	}
	if n := schemeLength(target); n > 0 {
		h.Form = AbsoluteForm
		if connect {
			return ReasonInvalidTarget
		}
		h.Scheme = makeSpan(from, from+n)
		return h.splitAbsolute(target[n+3:], from+n+3)
	}
	h.Form = AuthorityForm
	if !validHost(target) {
		return ReasonInvalidTarget
	}
	if !connect {
		return ReasonConnectRequired
	}
	if _, port := splitPort(target); len(port) == 0 {
		return ReasonInvalidTarget
	}
	h.Authority = h.Target
	return ReasonNone
}

// schemeLength returns the length of the scheme of an http or https URI, else
// 0.
func schemeLength(target []byte) int {
	n := bytes.IndexByte(target, ':')
	if n < 0 || len(target) < n+3 || target[n+1] != '/' || target[n+2] != '/' {
		return 0
	}
	if equalFold(target[:n], "http") || equalFold(target[:n], "https") {
		return n
	}
	return 0
}

// splitAbsolute splits what follows "://", which begins at index off of the
// input. Userinfo is refused: a client must not send it (RFC 9110 section
// 4.2.4), and it is how one host is made to look like another.
func (h *Head) splitAbsolute(rest []byte, off int) Reason {
	n := bytes.IndexAny(rest, "/?")
	if n < 0 {
		n = len(rest)
	}
	if n == 0 || !validHost(rest[:n]) {
		return ReasonInvalidTarget
	}
	h.Authority = makeSpan(off, off+n)
	return h.splitPath(rest[n:], off+n)
}

// splitPath splits path and query, which begin at index off of the input.
func (h *Head) splitPath(b []byte, off int) Reason {
	path := b
	if q := bytes.IndexByte(b, '?'); q >= 0 {
		path = b[:q]
		h.HasQuery = true
		h.Query = makeSpan(off+q+1, off+len(b))
	}
	h.Path = makeSpan(off, off+len(path))
	if bytes.IndexByte(path, '%') >= 0 && bytes.Contains(path, []byte("%00")) {
		return ReasonInvalidTarget
	}
	return ReasonNone
}
