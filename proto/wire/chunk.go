package wire

// chunkState is where the decoder stands in the framing of a chunked body
// (RFC 9112 section 7.1).
type chunkState uint8

const (
	chunkSizeStart  chunkState = iota // before the first digit of a size
	chunkSize                         // in a size
	chunkExtension                    // behind a value: blank, ";" or CR
	chunkExtBlank                     // behind a blank there: blank or ";"
	chunkExtName                      // behind ";", before a name
	chunkInExtName                    // in a name
	chunkAfterName                    // behind a name and a blank
	chunkExtValue                     // behind "=", before a value
	chunkInExtValue                   // in an unquoted value
	chunkInQuoted                     // in a quoted string
	chunkQuotedPair                   // behind a backslash in it
	chunkSizeLF                       // behind the CR of a size line
	chunkData
	chunkDataCR // behind the data
	chunkDataLF
	chunkLast // behind the line of the last chunk
)

const (
	// maxSizeDigits are enough for 2^63-1. Leading zeros count.
	maxSizeDigits = 16
	// maxExtensions is how many bytes the extensions of one body may have in
	// all. RFC 9112 section 7.1.1 asks for a limit; nothing we know of sends
	// any.
	maxExtensions = 16 << 10
)

// nextChunk takes framing up to the next data, the data as far as it is there,
// and when the chunk ends with it, the framing up to the data of the next
// chunk, so that a chunk of a body costs one call.
func (c *Conn) nextChunk(in []byte) (int, Event) {
	n, r := c.scanChunk(in, 0)
	if r != ReasonNone {
		return c.fail(r)
	}
	if c.chunk == chunkData && n < len(in) {
		from := n
		n = len(in)
		if int64(n-from) >= c.remain {
			n = from + int(c.remain)
			c.chunk = chunkDataCR
		}
		c.content = in[from:n:n]
		c.remain -= int64(n - from)
		if c.chunk == chunkDataCR {
			if n, r = c.scanChunk(in, n); r != ReasonNone {
				// What was read before the error is still delivered.
				c.phase, c.reason = phaseFailed, r
				return n, Content
			}
		}
	}
	if c.chunk == chunkLast {
		c.phase, c.state = phaseTrailers, scanFieldStart
		c.scan, c.mark, c.fields = 0, 0, 0
	}
	if c.content == nil && n == len(in) {
		return n, NeedData
	}
	return n, Content
}

// scanChunk goes on with the framing between the data of two chunks. It stops
// where data begins, behind the last chunk, or at the end of in.
func (c *Conn) scanChunk(in []byte, i int) (int, Reason) {
	for ; i < len(in); i++ {
		b := in[i]
		switch c.chunk {
		case chunkSizeStart, chunkSize:
			if d := hexValue[b]; d != 0xFF {
				if c.digits == maxSizeDigits || c.remain > maxInt64>>4 {
					return i, ReasonInvalidChunkSize
				}
				c.remain = c.remain<<4 | int64(d)
				c.digits++
				c.chunk = chunkSize
				continue
			}
			if c.chunk == chunkSizeStart {
				return i, ReasonInvalidChunkSize
			}
			switch b {
			case '\r':
				c.chunk = chunkSizeLF
			case ';':
				if r := c.scanExtension(b, chunkExtension); r != ReasonNone {
					return i, r
				}
			default:
				return i, ReasonInvalidChunkSize
			}
		case chunkSizeLF:
			if b != '\n' {
				return i, c.badSizeLine()
			}
			c.digits = 0
			if c.remain == 0 {
				c.chunk = chunkLast
			} else {
				c.chunk = chunkData
			}
		case chunkData, chunkLast:
			return i, ReasonNone
		case chunkDataCR:
			if b != '\r' {
				return i, ReasonInvalidChunkEnd
			}
			c.chunk = chunkDataLF
		case chunkDataLF:
			if b != '\n' {
				return i, ReasonInvalidChunkEnd
			}
			c.chunk = chunkSizeStart
		default:
			if r := c.scanExtension(b, c.chunk); r != ReasonNone {
				return i, r
			}
		}
	}
	return i, ReasonNone
}

func (c *Conn) badSizeLine() Reason {
	if c.extensions > 0 {
		return ReasonInvalidChunkExtension
	}
	return ReasonInvalidChunkSize
}

// scanExtension makes one step in
//
//	chunk-ext = *( BWS ";" BWS chunk-ext-name [ BWS "=" BWS chunk-ext-val ] )
//
// but for blanks between a size and the first ";", which neither Kestrel nor
// net/http take. The extensions mean nothing here, but a reader that skips to the next LF sees
// other chunks than one that skips to CRLF (CVE-2025-55315).
func (c *Conn) scanExtension(b byte, s chunkState) Reason {
	if c.extensions == maxExtensions {
		return ReasonChunkExtensionsTooLarge
	}
	c.extensions++
	next, ok := s, true
	switch s {
	case chunkExtension, chunkExtBlank:
		switch {
		case b == ';':
			next = chunkExtName
		case b == '\r' && s == chunkExtension:
			next = chunkSizeLF
		default:
			next, ok = chunkExtBlank, isBlank(b)
		}
	case chunkExtName:
		if classes[b]&classToken != 0 {
			next = chunkInExtName
		} else {
			ok = isBlank(b)
		}
	case chunkInExtName, chunkAfterName:
		switch {
		case b == '=':
			next = chunkExtValue
		case b == ';':
			next = chunkExtName
		case isBlank(b):
			next = chunkAfterName
		case b == '\r' && s == chunkInExtName:
			next = chunkSizeLF
		default:
			ok = s == chunkInExtName && classes[b]&classToken != 0
		}
	case chunkExtValue:
		switch {
		case b == '"':
			next = chunkInQuoted
		case classes[b]&classToken != 0:
			next = chunkInExtValue
		default:
			ok = isBlank(b)
		}
	case chunkInExtValue:
		switch {
		case b == ';':
			next = chunkExtName
		case b == '\r':
			next = chunkSizeLF
		case isBlank(b):
			next = chunkExtBlank
		default:
			ok = classes[b]&classToken != 0
		}
	case chunkInQuoted:
		switch {
		case b == '"':
			next = chunkExtension
		case b == '\\':
			next = chunkQuotedPair
		default:
			ok = classes[b]&classQuoted != 0
		}
	case chunkQuotedPair:
		next, ok = chunkInQuoted, classes[b]&classText != 0
	}
	if !ok {
		return ReasonInvalidChunkExtension
	}
	c.chunk = next
	return ReasonNone
}

// parseTrailers parses a trailer section that the scanner has accepted. Fields
// that decide on framing, routing or authentication make the message invalid
// even here, where nobody would act on them: another reader might merge the
// section into the head. Other fields that mean something only in a head are
// left out (RFC 9110 section 6.5.1).
func parseTrailers(in []byte, h *Head) Reason {
	var fields []Field
	if h != nil {
		fields = h.Trailers[:0]
	}
	var sp special
	fields, _, ok := parseSection(in, 0, fields, noFieldsLimit, &sp)
	if !ok {
		return ReasonInvalidFieldLine
	}
	if sp.present&forbiddenTrailers != 0 {
		return ReasonForbiddenTrailer
	}
	if h == nil {
		return ReasonNone
	}
	if sp.present&droppedTrailers != 0 {
		kept := fields[:0]
		for _, f := range fields {
			if droppedTrailers&(1<<f.ID) == 0 {
				kept = append(kept, f)
			}
		}
		fields = kept
	}
	h.Trailers, h.TrailerRaw = fields, in
	return ReasonNone
}

const (
	forbiddenTrailers = uint64(1)<<FieldHost | 1<<FieldConnection | 1<<FieldContentLength |
		1<<FieldTransferEncoding | 1<<FieldExpect | 1<<FieldUpgrade | 1<<FieldTrailer | 1<<FieldTE |
		1<<FieldAuthorization | 1<<FieldProxyAuthorization | 1<<FieldCookie

	droppedTrailers = uint64(1)<<FieldCacheControl | 1<<FieldContentEncoding | 1<<FieldContentType |
		1<<FieldContentRange | 1<<FieldKeepAlive | 1<<FieldProxyConnection | 1<<FieldMaxForwards |
		1<<FieldPragma | 1<<FieldRange | 1<<FieldIfMatch | 1<<FieldIfNoneMatch | 1<<FieldIfModifiedSince |
		1<<FieldIfUnmodifiedSince | 1<<FieldIfRange | 1<<FieldForwarded | 1<<FieldXForwardedFor |
		1<<FieldXForwardedHost | 1<<FieldXForwardedProto | 1<<FieldXRealIP | 1<<FieldHTTP2Settings
)
