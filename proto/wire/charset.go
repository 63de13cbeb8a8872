package wire

import "math/bits"

// Byte classes of RFC 9110 section 5.6 and RFC 3986, as bits of one table so
// that a scan costs one load per byte.
const (
	classToken   = 1 << iota // tchar
	classTarget              // any byte a request-target may hold: no controls, no space, no DEL, no '#'
	classText                // field value: HTAB, SP, VCHAR, obs-text
	classQuoted              // qdtext
	classHost                // reg-name characters that Kestrel allows in Host
	classLiteral             // inside "[...]" of an IP literal
	classVersion             // printable ASCII
	classPath                // classTarget without '?' and '%'
)

var classes = buildClasses()

// hexValue maps a hexadecimal digit to its value and every other byte to 0xFF.
var hexValue = buildHexValues()

func buildClasses() (t [256]uint8) {
	for c := range t {
		if c > 0x20 && c != 0x7F && c != '#' {
			t[c] |= classTarget
			if c != '?' && c != '%' {
				t[c] |= classPath
			}
		}
		if c >= 0x20 && c != 0x7F || c == '\t' {
			t[c] |= classText
			if c != '"' && c != '\\' {
				t[c] |= classQuoted
			}
		}
		if c >= 0x20 && c < 0x7F {
			t[c] |= classVersion
		}
		alnum := c >= '0' && c <= '9' || c|0x20 >= 'a' && c|0x20 <= 'z' && c < 0x80
		if alnum {
			t[c] |= classToken | classHost
		}
		if c >= '0' && c <= '9' || c|0x20 >= 'a' && c|0x20 <= 'f' && c < 0x80 {
			t[c] |= classLiteral
		}
	}
	for _, c := range []byte("!#$%&'*+-.^_`|~") {
		t[c] |= classToken
	}
	for _, c := range []byte("!$&'()-._~") {
		t[c] |= classHost
	}
	for _, c := range []byte(":.") {
		t[c] |= classLiteral
	}
	return t
}

func buildHexValues() (t [256]uint8) {
	for c := range t {
		t[c] = 0xFF
	}
	for i := range 10 {
		t['0'+i] = uint8(i)
	}
	for i := range 6 {
		t['a'+i] = uint8(10 + i)
		t['A'+i] = uint8(10 + i)
	}
	return t
}

// Constants for looking at eight bytes at a time. The tests below set the high
// bit of every byte that matches. Other bytes above the lowest match may be
// marked too, because subtraction borrows.
const (
	ones  = 0x0101010101010101
	highs = 0x8080808080808080
)

// controlBytes marks bytes below 0x20 and DEL. It may also mark 0x7E behind a
// 0xFF (addition carries), so a mark has to be looked at again.
func controlBytes(x uint64) uint64 {
	return ((x - ones*0x20) | (x + ones)) &^ x & highs
}

// equalBytes marks the bytes of x that are equal to c.
func equalBytes(x uint64, c byte) uint64 {
	d := x ^ ones*uint64(c)
	return (d - ones) &^ d & highs
}

// firstMark returns the index of the lowest marked byte.
func firstMark(m uint64) int { return bits.TrailingZeros64(m) >> 3 }

func isBlank(c byte) bool { return c == ' ' || c == '\t' }

// trimBlanks removes optional whitespace (RFC 9110 section 5.6.3) at both ends.
func trimBlanks(b []byte) []byte {
	for len(b) > 0 && isBlank(b[0]) {
		b = b[1:]
	}
	for len(b) > 0 && isBlank(b[len(b)-1]) {
		b = b[:len(b)-1]
	}
	return b
}

// equalFold compares ASCII text ignoring the case of letters. lower must be in
// lower case. bytes.EqualFold would fold U+017F and U+212A into s and k.
func equalFold[V string | []byte](b V, lower string) bool {
	if len(b) != len(lower) {
		return false
	}
	for i := range len(lower) {
		c := b[i]
		if c >= 'A' && c <= 'Z' {
			c |= 0x20
		}
		if c != lower[i] {
			return false
		}
	}
	return true
}

// ValidFieldName reports whether name is a token, which is what a field name
// has to be (RFC 9110 section 5.1).
func ValidFieldName[V string | []byte](name V) bool {
	for i := range len(name) {
		if classes[name[i]]&classToken == 0 {
			return false
		}
	}
	return len(name) > 0
}

// ValidFieldValue reports whether value may stand in a field line: no control
// byte except HTAB, so that it can neither end the line nor be cut by a reader
// that stops at NUL (RFC 9110 section 5.5). Bytes above 0x7F are allowed.
func ValidFieldValue[V string | []byte](value V) bool {
	for i := range len(value) {
		if classes[value[i]]&classText == 0 {
			return false
		}
	}
	return true
}
