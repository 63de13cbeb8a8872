package wire

// Limits bound what a request may be. In each field zero means the default
// (Kestrel's) and a negative value means no limit of its own.
type Limits struct {
	// RequestLine is the most bytes of a request line, its CRLF included.
	// Default 8,192. Beyond it: 414.
	RequestLine int
	// FieldSection is the most bytes of field lines with their CRLFs; the
	// empty line is free. A trailer section draws on what the field section
	// has left. Default 32,768. Beyond it: 431.
	FieldSection int
	// Fields is the most field lines, those of a trailer section included.
	// Default 100. Beyond it: 431.
	Fields int
}

const (
	defaultRequestLine  = 8192
	defaultFieldSection = 32768
	defaultFields       = 100

	// noLimit keeps every offset inside a head within 31 bits, and the number
	// of fields within 16.
	noLimit       = 1 << 29
	noFieldsLimit = 1<<16 - 1

	// maxBlankLines is how many empty lines are skipped in front of a
	// request line.
	maxBlankLines = 8
)

type phase uint8

const (
	phaseHead phase = iota
	phaseLength
	phaseChunked
	phaseTrailers
	phaseEnd
	phaseFailed
)

// Conn reads the requests of one connection. The zero value is not ready; see
// [Conn.Init]. It keeps no input: between two calls the caller holds what Next
// has not consumed. Not safe for concurrent use.
type Conn struct {
	content []byte // the last Content event's piece
	remain  int64  // bytes of content left of a Length body, or of this chunk

	lineMax, sectionMax, fieldsMax uint32 // limits
	sectionLeft, fieldsLeft        uint32 // for the trailer section

	scan   uint32 // bytes of an unfinished head or trailer section seen so far
	mark   uint32 // where the field section begins in them
	fields uint32 // field lines begun in them

	extensions uint16 // bytes of chunk extensions of this body
	digits     uint8  // of an unfinished chunk size
	blanks     uint8  // empty lines skipped

	phase  phase
	state  scanState
	chunk  chunkState
	reason Reason
}

// Init makes c ready for a new connection. l may be nil for the defaults; it is
// not kept.
func (c *Conn) Init(l *Limits) {
	if l == nil {
		l = &Limits{}
	}
	*c = Conn{
		lineMax:    limit(l.RequestLine, defaultRequestLine, noLimit),
		sectionMax: limit(l.FieldSection, defaultFieldSection, noLimit),
		fieldsMax:  limit(l.Fields, defaultFields, noFieldsLimit),
	}
}

func limit(v, standard, most int) uint32 {
	switch {
	case v == 0:
		v = standard
	case v < 0 || v > most:
		v = most
	}
	return uint32(v)
}

// Next looks for the next event in the input. in must begin with the bytes
// that earlier calls have not consumed; a head and a trailer section are
// consumed as a whole, so until they are complete the same bytes come again,
// with more behind them. n bytes are consumed by this call. Bytes behind the
// event, such as pipelined requests, are not looked at.
//
// A Request event fills h, which must be the same until End. For other events h
// is not touched, except that End adds the trailers. After Request, h may be
// nil for a caller that does not want the trailers: they are checked and
// dropped.
func (c *Conn) Next(in []byte, h *Head) (n int, ev Event) {
	c.content = nil
	switch c.phase {
	case phaseHead:
		return c.nextHead(in, h)
	case phaseLength:
		return c.nextContent(in)
	case phaseChunked:
		return c.nextChunk(in)
	case phaseTrailers:
		return c.nextTrailers(in, h)
	case phaseEnd:
		c.phase = phaseHead
		return 0, End
	default:
		return 0, Failed
	}
}

func (c *Conn) nextHead(in []byte, h *Head) (int, Event) {
	if c.scan == 0 && c.state == scanStart && len(in) > 0 && in[0] != '\r' {
		n, r := c.parseHead(in, h)
		if r == ReasonNone {
			return c.begin(n, h)
		}
		if r != retry {
			return c.fail(r)
		}
	}
	skipped, done, r := c.scanHead(in)
	if r != ReasonNone {
		return c.fail(r)
	}
	if !done {
		return skipped, NeedData
	}
	n, r := c.parseHead(in[skipped:], h)
	if r == retry {
		// The scanner has accepted what the parser refuses. They are meant
		// to agree, and fuzzing compares them; if not, refusing is safe.
		r = ReasonInvalidRequestLine
	}
	if r != ReasonNone {
		return c.fail(r)
	}
	n, ev := c.begin(n, h)
	return skipped + n, ev
}

// begin starts the body after a head of n bytes.
func (c *Conn) begin(n int, h *Head) (int, Event) {
	c.scan, c.state, c.blanks = 0, scanStart, 0
	switch h.Framing.Kind {
	case Length:
		c.phase, c.remain = phaseLength, h.Framing.Length
	case Chunked:
		c.phase, c.remain = phaseChunked, 0
		c.chunk, c.digits, c.extensions = chunkSizeStart, 0, 0
	default:
		c.phase = phaseEnd
	}
	return n, Request
}

func (c *Conn) nextContent(in []byte) (int, Event) {
	if len(in) == 0 {
		return 0, NeedData
	}
	n := len(in)
	if int64(n) > c.remain {
		n = int(c.remain)
	}
	c.content = in[:n:n]
	c.remain -= int64(n)
	if c.remain == 0 {
		c.phase = phaseEnd
	}
	return n, Content
}

func (c *Conn) nextTrailers(in []byte, h *Head) (int, Event) {
	if c.scan == 0 && len(in) >= 2 && in[0] == '\r' && in[1] == '\n' {
		c.phase, c.state = phaseHead, scanStart
		return 2, End
	}
	done, r := c.scanSection(in, c.sectionLeft, c.fieldsLeft)
	if r != ReasonNone {
		return c.fail(r)
	}
	if !done {
		return 0, NeedData
	}
	n := int(c.scan)
	c.scan, c.state = 0, scanStart
	if r := parseTrailers(in[:n:n], h); r != ReasonNone {
		return c.fail(r)
	}
	c.phase = phaseHead
	return n, End
}

func (c *Conn) fail(r Reason) (int, Event) {
	c.phase, c.reason = phaseFailed, r
	return 0, Failed
}

// Content returns the piece of body of the last Content event. It is lent: part
// of the input given to Next, valid until the next call of Next.
func (c *Conn) Content() []byte { return c.content }

// Err returns why the connection failed, or nil.
func (c *Conn) Err() *Error {
	if c.phase != phaseFailed {
		return nil
	}
	return c.reason.Err()
}

// BodyDone reports whether the current message has been read to its end, so
// that no byte of it is still to come: the next event is End with n == 0, or
// End has been reported already.
func (c *Conn) BodyDone() bool { return c.phase == phaseEnd || c.phase == phaseHead }

// SkipEnd makes the End event that is due when BodyDone reports true not
// happen. It does nothing if none is due.
func (c *Conn) SkipEnd() {
	if c.phase == phaseEnd {
		c.phase = phaseHead
	}
}

// MidMessage reports whether bytes of an unfinished head have been seen. Empty
// lines in front of it do not count.
func (c *Conn) MidMessage() bool {
	return c.phase == phaseHead && c.state > scanBlankLF
}

// RemainingContent returns how many bytes of a Length body are still to come,
// 0 when the body is done or there is none, and -1 when a chunked body is not
// done.
func (c *Conn) RemainingContent() int64 {
	switch c.phase {
	case phaseLength:
		return c.remain
	case phaseChunked, phaseTrailers:
		return -1
	}
	return 0
}

// SkipContent says that the caller has taken the next n bytes of a Length body
// from the connection by itself. It panics with a [*MisuseError] if fewer than
// n are to come.
func (c *Conn) SkipContent(n int64) {
	if n == 0 {
		return
	}
	if c.phase != phaseLength || n < 0 || n > c.remain {
		panic(ErrTooMuchContent)
	}
	if c.remain -= n; c.remain == 0 {
		c.phase = phaseEnd
	}
}

// EOF says that the input has ended behind the bytes that Next has been given,
// and returns what that means: nil between two messages, else an error for a
// message that was cut (RFC 9112 section 8).
func (c *Conn) EOF() *Error {
	switch c.phase {
	case phaseHead:
		if c.state == scanStart {
			return nil
		}
		return ReasonIncompleteHead.Err()
	case phaseLength, phaseChunked, phaseTrailers:
		return ReasonIncompleteContent.Err()
	case phaseEnd:
		return nil
	}
	return c.Err()
}
