package wire

// Version is the protocol version of a request.
type Version uint8

// The versions spoken here.
const (
	HTTP10 Version = iota
	HTTP11
)

// String returns "HTTP/1.0" or "HTTP/1.1".
func (v Version) String() string {
	if v == HTTP10 {
		return "HTTP/1.0"
	}
	return "HTTP/1.1"
}

// Span is a part of [Head.Raw] (or of [Head.TrailerRaw] for trailers). It stays
// valid when the bytes are copied elsewhere and Raw is set to the copy.
type Span struct {
	Off, Len uint32
}

// Field is one field line. Name is as it came, Value without the blanks around
// it.
type Field struct {
	Name, Value Span
	ID          FieldID
}

// Head is the head of one request, and what follows from it. [Conn.Next] fills
// it, reusing the Fields and Trailers slices, so a Head that is kept in a pool
// costs no allocation. It must not be copied while Next may still fill it.
type Head struct {
	// Raw is the request line and the field section with the empty line. It
	// is lent: part of the input given to Next.
	Raw []byte

	Method Span
	// Target is the request-target as it came; the spans below are parts of
	// it. Scheme is empty except in absolute-form. Authority is empty except
	// in absolute-form and authority-form. Path is undecoded (see
	// [AppendPath]) and empty in authority-form and asterisk-form, and in an
	// absolute-form without a path. Query does not include the question mark.
	Target, Scheme, Authority, Path, Query Span
	// HasQuery tells "/?" from "/".
	HasQuery bool
	// Form is the form of Target.
	Form TargetForm
	// Version is the version in the request line.
	Version Version

	// Fields are the field lines in order.
	Fields []Field

	// Framing says how the body ends: NoBody, Length (of at least 1) or
	// Chunked.
	Framing Framing

	// Host is who the request is for: the authority of an absolute-form or
	// authority-form target, else the Host field's value; syntactically valid
	// or empty.
	Host Span

	// KeepAlive says that the client wants the connection to persist after
	// this exchange (RFC 9112 section 9.3). ConnectionClose says that it
	// asked for the end with "Connection: close", which wins over
	// "keep-alive".
	KeepAlive, ConnectionClose bool
	// ExpectContinue: HTTP/1.1, a body follows, and the client may be waiting
	// for 100 (Continue). ExpectOther: another expectation than that; 417 is
	// the answer for a server that does not know it.
	ExpectContinue, ExpectOther bool
	// Upgrade: the client offers to change the protocol. True for HTTP/1.1
	// with an Upgrade field, the Connection option "upgrade" and no body; with
	// a body it is an ordinary request.
	Upgrade bool

	// TrailerRaw and Trailers are set with the End event of a chunked body
	// that had a trailer section. TrailerRaw is lent like Raw; the spans in
	// Trailers refer to it.
	TrailerRaw []byte
	Trailers   []Field

	// present has bit 1<<id set for each known field in Fields.
	present uint64
}

// Bytes returns the bytes of a span of h.Raw. They are lent.
func (h *Head) Bytes(s Span) []byte {
	return h.Raw[s.Off : s.Off+s.Len : s.Off+s.Len]
}

// Field returns the value of the first field line with the known field id.
func (h *Head) Field(id FieldID) ([]byte, bool) {
	if id == FieldUnknown || h.present&(1<<id) == 0 {
		return nil, false
	}
	for i := range h.Fields {
		if h.Fields[i].ID == id {
			return h.Bytes(h.Fields[i].Value), true
		}
	}
	return nil, false
}

// Lookup returns the value of the first field line called name, in any case.
func (h *Head) Lookup(name string) ([]byte, bool) {
	if id := LookupField(name); id != FieldUnknown {
		return h.Field(id)
	}
	for i := range h.Fields {
		f := &h.Fields[i]
		if f.ID == FieldUnknown && int(f.Name.Len) == len(name) && sameName(h.Bytes(f.Name), name) {
			return h.Bytes(f.Value), true
		}
	}
	return nil, false
}

// sameName compares two texts of equal length ignoring the case of letters.
func sameName(a []byte, b string) bool {
	for i := range a {
		x, y := a[i], b[i]
		if x == y {
			continue
		}
		if x|0x20 != y|0x20 || x|0x20 < 'a' || x|0x20 > 'z' {
			return false
		}
	}
	return true
}

// reset prepares h for a new request. What parseHead always sets is not
// cleared twice.
func (h *Head) reset() {
	h.Scheme, h.Authority, h.Path, h.Query = Span{}, Span{}, Span{}, Span{}
	h.HasQuery = false
	h.Host = Span{}
	h.TrailerRaw = nil
	h.Trailers = h.Trailers[:0]
}

func makeSpan(from, to int) Span { return Span{uint32(from), uint32(to - from)} }

// special remembers, while a field section is parsed, where the fields are
// that decide on framing, routing and persistence.
type special struct {
	present, repeated uint64
	first             [lastSpecial + 1]uint16
}

func (s *special) has(id FieldID) bool   { return s.present&(1<<id) != 0 }
func (s *special) twice(id FieldID) bool { return s.repeated&(1<<id) != 0 }

// parseHead parses a whole head at the start of in, in one pass. It answers
// with the head's length and ReasonNone, with a Reason if the head is complete
// and well-formed but must be refused, and with retry for everything else:
// incomplete input, syntax errors, exceeded limits. The scanner then knows
// which it is.
func (c *Conn) parseHead(in []byte, h *Head) (int, Reason) {
	h.reset()
	i, r := parseRequestLine(in, h)
	if r != ReasonNone || i > int(c.lineMax) {
		return 0, retry
	}
	var sp special
	if h.Fields == nil {
		h.Fields = make([]Field, 0, 32)
	}
	fields, n, ok := parseSection(in, i, h.Fields[:0], int(c.fieldsMax), &sp)
	h.Fields = fields
	if !ok || n-i-2 > int(c.sectionMax) {
		return 0, retry
	}
	h.Raw = in[:n:n]
	h.present = sp.present
	if r := h.resolve(&sp); r != ReasonNone {
		return 0, r
	}
	if h.Framing.Kind == Chunked {
		c.sectionLeft = c.sectionMax - uint32(n-i-2)
		c.fieldsLeft = c.fieldsMax - uint32(len(fields))
	}
	return n, ReasonNone
}

// parseSection parses field lines from in[i] up to and with the empty line. It
// returns the index behind that, or ok == false if there is anything wrong or
// missing.
func parseSection(in []byte, i int, fields []Field, maxFields int, sp *special) (_ []Field, n int, ok bool) {
	for {
		if i+1 >= len(in) {
			return fields, 0, false
		}
		if in[i] == '\r' {
			return fields, i + 2, in[i+1] == '\n'
		}
		if len(fields) == maxFields {
			return fields, 0, false
		}
		colon := findColon(in, i)
		if colon < 0 {
			return fields, 0, false
		}
		id := lookupField(in, i, colon-i)
		if id == FieldUnknown && !isToken(in[i:colon]) {
			return fields, 0, false
		}
		from := skipBlanks(in, colon+1)
		to := scanText(in, from)
		if to+1 >= len(in) || in[to] != '\r' || in[to+1] != '\n' {
			return fields, 0, false
		}
		next := to + 2
		for to > from && isBlank(in[to-1]) {
			to--
		}
		if id != FieldUnknown {
			sp.repeated |= sp.present & (1 << id)
			if id <= lastSpecial && !sp.has(id) {
				sp.first[id] = uint16(len(fields))
			}
			sp.present |= 1 << id
		}
		fields = append(fields, Field{makeSpan(i, colon), makeSpan(from, to), id})
		i = next
	}
}

func isToken(b []byte) bool {
	for _, c := range b {
		if classes[c]&classToken == 0 {
			return false
		}
	}
	return len(b) > 0
}

func skipBlanks(in []byte, i int) int {
	for i < len(in) && isBlank(in[i]) {
		i++
	}
	return i
}
