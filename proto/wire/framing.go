package wire

const maxInt64 = 1<<63 - 1

// FramingKind says how the end of a body is known (RFC 9112 section 6).
type FramingKind uint8

// The kinds.
const (
	// NoBody: the message ends with its head.
	NoBody FramingKind = iota
	// Length: as many bytes as Content-Length says.
	Length
	// Chunked: the chunked transfer coding.
	Chunked
	// UntilClose: the end of the connection is the end of the body. Only for
	// responses.
	UntilClose
)

// Framing is how the end of one body is known.
type Framing struct {
	Kind FramingKind
	// Length is the number of bytes when Kind is Length, else 0.
	Length int64
}

// resolve finds out what the field section means for host, framing and
// persistence.
func (h *Head) resolve(sp *special) Reason {
	if r := h.resolveHost(sp); r != ReasonNone {
		return r
	}
	if r := h.resolveFraming(sp); r != ReasonNone {
		return r
	}
	h.resolveConnection(sp)
	h.ExpectContinue, h.ExpectOther = false, false
	if sp.has(FieldExpect) {
		h.resolveExpect()
	}
	return ReasonNone
}

// resolveFraming decides on the body as RFC 9112 section 6.3 asks, refusing
// all that two readers could understand differently.
func (h *Head) resolveFraming(sp *special) Reason {
	h.Framing = Framing{}
	if sp.has(FieldContentLength) {
		if sp.twice(FieldContentLength) {
			return ReasonMultipleContentLengths
		}
		n, ok := parseLength(h.Bytes(h.Fields[sp.first[FieldContentLength]].Value))
		if !ok {
			return ReasonInvalidContentLength
		}
		if n > 0 {
			h.Framing = Framing{Length, n}
		}
	}
	if !sp.has(FieldTransferEncoding) {
		return ReasonNone
	}
	if r := h.checkCodings(sp); r != ReasonNone {
		return r
	}
	if sp.has(FieldContentLength) {
		return ReasonLengthWithCoding
	}
	if h.Version == HTTP10 {
		return ReasonCodingInHTTP10
	}
	h.Framing = Framing{Kind: Chunked}
	if sp.has(FieldTrailer) {
		return h.checkTrailerField()
	}
	return ReasonNone
}

// checkTrailerField refuses a Trailer field that announces what may not be in a
// trailer section, as net/http does.
func (h *Head) checkTrailerField() Reason {
	for i := range h.Fields {
		if h.Fields[i].ID != FieldTrailer {
			continue
		}
		for item, rest, more := nextItem(h.Bytes(h.Fields[i].Value)); ; item, rest, more = nextItem(rest) {
			if id := lookupField(item, 0, len(item)); forbiddenTrailers&(1<<id) != 0 {
				return ReasonForbiddenTrailer
			}
			if !more {
				break
			}
		}
	}
	return ReasonNone
}

// parseLength parses 1*DIGIT up to 2^63-1.
func parseLength(b []byte) (int64, bool) {
	if len(b) == 0 {
		return 0, false
	}
	var n int64
	for _, c := range b {
		d := int64(c) - '0'
		if d < 0 || d > 9 || n > (maxInt64-d)/10 {
			return 0, false
		}
		n = n*10 + d
	}
	return n, true
}

// checkCodings accepts "chunked" as the one coding, in any case, and tells
// apart what else there may be: a list that is none, chunked that is not last
// (the end of the body cannot be known) or applied twice, and codings that are
// not implemented.
func (h *Head) checkCodings(sp *special) Reason {
	if !sp.twice(FieldTransferEncoding) &&
		equalFold(h.Bytes(h.Fields[sp.first[FieldTransferEncoding]].Value), "chunked") {
		return ReasonNone
	}
	chunked, codings, last := 0, 0, false
	for i := range h.Fields {
		if h.Fields[i].ID != FieldTransferEncoding {
			continue
		}
		for item, rest, more := nextItem(h.Bytes(h.Fields[i].Value)); ; item, rest, more = nextItem(rest) {
			if !isToken(item) {
				return ReasonInvalidTransferEncoding
			}
			codings++
			if last = equalFold(item, "chunked"); last {
				chunked++
			}
			if !more {
				break
			}
		}
	}
	switch {
	case chunked > 1:
		return ReasonChunkedTwice
	case !last:
		return ReasonChunkedNotFinal
	case codings > 1:
		return ReasonUnsupportedCoding
	}
	return ReasonNone
}

// nextItem splits a comma-separated list (RFC 9110 section 5.6.1) after its
// first element.
func nextItem(b []byte) (item, rest []byte, more bool) {
	for i, c := range b {
		if c == ',' {
			return trimBlanks(b[:i]), b[i+1:], true
		}
	}
	return trimBlanks(b), nil, false
}

// resolveConnection decides on persistence (RFC 9112 section 9.3) and upgrade
// (RFC 9110 section 7.8). It needs the framing.
func (h *Head) resolveConnection(sp *special) {
	h.ConnectionClose, h.Upgrade = false, false
	h.KeepAlive = h.Version == HTTP11
	if !sp.has(FieldConnection) {
		return
	}
	if !sp.twice(FieldConnection) &&
		equalFold(h.Bytes(h.Fields[sp.first[FieldConnection]].Value), "keep-alive") {
		h.KeepAlive = true
		return
	}
	keepAlive, upgrade := false, false
	for i := range h.Fields {
		if h.Fields[i].ID != FieldConnection {
			continue
		}
		for item, rest, more := nextItem(h.Bytes(h.Fields[i].Value)); ; item, rest, more = nextItem(rest) {
			switch len(item) {
			case len("close"):
				h.ConnectionClose = h.ConnectionClose || equalFold(item, "close")
			case len("upgrade"):
				upgrade = upgrade || equalFold(item, "upgrade")
			case len("keep-alive"):
				keepAlive = keepAlive || equalFold(item, "keep-alive")
			}
			if !more {
				break
			}
		}
	}
	h.KeepAlive = !h.ConnectionClose && (h.KeepAlive || keepAlive)
	h.Upgrade = upgrade && sp.has(FieldUpgrade) && h.Version == HTTP11 && h.Framing.Kind == NoBody
}

// resolveExpect reads the expectations (RFC 9110 section 10.1.1).
func (h *Head) resolveExpect() {
	for i := range h.Fields {
		if h.Fields[i].ID != FieldExpect {
			continue
		}
		for item, rest, more := nextItem(h.Bytes(h.Fields[i].Value)); ; item, rest, more = nextItem(rest) {
			switch {
			case equalFold(item, "100-continue"):
				h.ExpectContinue = h.Version == HTTP11 && h.Framing.Kind != NoBody
			case len(item) > 0:
				h.ExpectOther = true
			}
			if !more {
				break
			}
		}
	}
}
