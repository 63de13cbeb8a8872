package wire

// scanState is where the scanner stands in an unfinished head.
type scanState uint8

const (
	scanStart   scanState = iota // before a request line
	scanBlankLF                  // behind the CR of an empty line in front
	scanMethod
	scanTargetPart
	scanVersion
	scanLineLF
	scanFieldStart
	scanName
	scanValue
	scanValueLF
	scanEndLF
)

// The scanner reads a head or a trailer section as far as it has come, one byte
// after the other, and remembers where it stopped. It is the authority on
// syntax: which byte is wrong, which limit is exceeded first, and so which
// Reason a message gets, does not depend on how the input was cut. It keeps
// nothing of what it reads, so that a connection that waits for the rest of a
// head owns no [Head]; when the head is complete, parseHead reads it a second
// time. Heads that arrive whole never come here.

// scanHead goes on with a head. skipped is how many bytes at the start of in
// were empty lines; they are consumed whatever happens next.
func (c *Conn) scanHead(in []byte) (skipped int, done bool, r Reason) {
	if c.state <= scanBlankLF {
		skipped, r = c.scanBlankLines(in)
		if r != ReasonNone || c.state <= scanBlankLF {
			return skipped, false, r
		}
		in = in[skipped:]
	}
	if c.state < scanFieldStart {
		r = c.scanRequestLine(in)
		if r != ReasonNone || c.state < scanFieldStart {
			return skipped, false, r
		}
	}
	done, r = c.scanSection(in, c.sectionMax, c.fieldsMax)
	return skipped, done, r
}

// scanBlankLines skips empty lines in front of a request line, a bounded number
// (RFC 9112 section 2.2).
func (c *Conn) scanBlankLines(in []byte) (skipped int, r Reason) {
	for i := int(c.scan); i < len(in); i++ {
		b := in[i]
		if c.state == scanBlankLF {
			if b != '\n' {
				return skipped, ReasonInvalidRequestLine
			}
			c.state, c.scan = scanStart, 0
			skipped = i + 1
			continue
		}
		switch {
		case b == '\r':
			if c.blanks == maxBlankLines {
				return skipped, ReasonTooManyBlankLines
			}
			c.blanks++
			c.state, c.scan = scanBlankLF, 1
		case b == 0x16:
			return skipped, ReasonTLSHandshake
		default:
			c.state, c.scan, c.fields = scanMethod, 0, 0
			return skipped, ReasonNone
		}
	}
	return skipped, ReasonNone
}

// scanRequestLine goes on with a request line.
func (c *Conn) scanRequestLine(in []byte) Reason {
	window := in
	if len(window) > int(c.lineMax) {
		window = window[:c.lineMax]
	}
	i := int(c.scan)
	for i < len(window) {
		switch c.state {
		case scanMethod:
			if i = scanToken(window, i); i == len(window) {
				continue
			}
			if i == 0 || window[i] != ' ' {
				return ReasonInvalidRequestLine
			}
			c.state = scanTargetPart
		case scanTargetPart:
			if i = scanTarget(window, i); i == len(window) {
				continue
			}
			switch b := window[i]; {
			case b == ' ' && window[i-1] != ' ':
				c.state = scanVersion
			case b == '\r' || b == '\n' || b == ' ':
				return ReasonInvalidRequestLine
			default:
				return ReasonInvalidTarget
			}
		case scanVersion:
			if b := window[i]; b == '\r' {
				c.state = scanLineLF
			} else if classes[b]&classVersion == 0 {
				return ReasonInvalidRequestLine
			}
		case scanLineLF:
			if window[i] != '\n' {
				return ReasonInvalidRequestLine
			}
			var h Head
			if _, r := parseRequestLine(window[:i+1], &h); r != ReasonNone {
				return r
			}
			c.state, c.scan, c.mark = scanFieldStart, uint32(i+1), uint32(i+1)
			return ReasonNone
		}
		i++
	}
	c.scan = uint32(i)
	if i == int(c.lineMax) {
		return ReasonRequestLineTooLong
	}
	return ReasonNone
}

// scanSection goes on with a field or trailer section of at most size bytes and
// count lines. When it is done, c.scan is the index behind it.
func (c *Conn) scanSection(in []byte, size, count uint32) (done bool, r Reason) {
	window := in
	if limit := int(c.mark) + int(size); len(window) > limit {
		window = window[:limit]
	}
	i := int(c.scan)
	for {
		// Only the empty line may lie behind the window.
		if c.state == scanEndLF {
			if i >= len(in) {
				break
			}
			if in[i] != '\n' {
				return false, ReasonInvalidLineEnd
			}
			c.scan = uint32(i + 1)
			return true, ReasonNone
		}
		if c.state == scanFieldStart && i < len(in) && in[i] == '\r' {
			c.state = scanEndLF
			i++
			continue
		}
		if i >= len(window) {
			break
		}
		if i, r = c.scanField(window, i, count); r != ReasonNone {
			return false, r
		}
	}
	c.scan = uint32(i)
	if i < len(in) || c.overfull(i, size) {
		return false, ReasonFieldSectionTooLarge
	}
	return false, ReasonNone
}

// overfull reports whether a field line has used up the size of its section
// without having ended.
func (c *Conn) overfull(i int, size uint32) bool {
	return i == int(c.mark)+int(size) && c.state != scanFieldStart && c.state != scanEndLF
}

// scanField makes one step in a field line and returns where it stopped.
func (c *Conn) scanField(in []byte, i int, count uint32) (int, Reason) {
	switch c.state {
	case scanFieldStart:
		if c.fields == count {
			return i, ReasonTooManyFields
		}
		switch b := in[i]; {
		case classes[b]&classToken != 0:
			c.fields++
			c.state = scanName
		case isBlank(b):
			return i, ReasonLineFolding
		case b == '\n':
			return i, ReasonInvalidLineEnd
		default:
			return i, ReasonInvalidFieldName
		}
	case scanName:
		if i = scanToken(in, i); i == len(in) {
			return i, ReasonNone
		}
		switch b := in[i]; {
		case b == ':':
			c.state = scanValue
		case isBlank(b):
			return i, ReasonSpaceBeforeColon
		case b == '\r' || b == '\n':
			return i, ReasonInvalidFieldLine
		default:
			return i, ReasonInvalidFieldName
		}
	case scanValue:
		if i = scanText(in, i); i == len(in) {
			return i, ReasonNone
		}
		switch in[i] {
		case '\r':
			c.state = scanValueLF
		case '\n':
			return i, ReasonInvalidLineEnd
		default:
			return i, ReasonInvalidFieldValue
		}
	case scanValueLF:
		if in[i] != '\n' {
			return i, ReasonInvalidLineEnd
		}
		c.state = scanFieldStart
	}
	return i + 1, ReasonNone
}
