package wire

import (
	"encoding/binary"
	"math/rand"
	"strings"
	"testing"
)

func TestClassesMatchTheGrammar(t *testing.T) {
	const token = "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
	const host = "!$&'()-._~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
	const literal = "0123456789abcdefABCDEF:."
	for c := range 256 {
		in := func(set string) bool { return strings.IndexByte(set, byte(c)) >= 0 }
		control := c < 0x20 || c == 0x7F
		for _, class := range []struct {
			name string
			bit  uint8
			want bool
		}{
			{"token", classToken, in(token)},
			{"host", classHost, in(host)},
			{"literal", classLiteral, in(literal)},
			{"text", classText, !control || c == '\t'},
			{"quoted", classQuoted, (!control || c == '\t') && c != '"' && c != '\\'},
			{"target", classTarget, !control && c != ' ' && c != '#'},
			{"path", classPath, !control && !in(" #?%")},
			{"version", classVersion, !control && c < 0x80},
		} {
			if got := classes[c]&class.bit != 0; got != class.want {
				t.Errorf("byte %#x in class %s: %v", c, class.name, got)
			}
		}
	}
}

// TestScansFindTheFirstByteOutside compares the word-wise scans with the table,
// for every byte at every place of a word, between bytes that make additions
// and subtractions carry.
func TestScansFindTheFirstByteOutside(t *testing.T) {
	scans := []struct {
		name string
		scan func([]byte, int) int
		bit  uint8
	}{
		{"text", scanText, classText},
		{"target", scanTarget, classTarget},
		{"path", scanPath, classPath},
		{"token", scanToken, classToken},
	}
	rnd := rand.New(rand.NewSource(1))
	fill := []byte{'a', '~', 0xFF, 0x80, '!', '\'', 'z', '0'}
	for _, s := range scans {
		for length := range 40 {
			for c := range 256 {
				in := make([]byte, length)
				for i := range in {
					in[i] = fill[rnd.Intn(len(fill))]
				}
				if length > 0 {
					in[rnd.Intn(length)] = byte(c)
				}
				from := rnd.Intn(length + 1)
				want := from
				for want < length && classes[in[want]]&s.bit != 0 {
					want++
				}
				if got := s.scan(in, from); got != want {
					t.Fatalf("%s of %q from %d: got %d, want %d", s.name, in, from, got, want)
				}
			}
		}
	}
}

func TestFindColon(t *testing.T) {
	for length := range 30 {
		for at := range length + 1 {
			in := []byte(strings.Repeat(";", length))
			want := -1
			if at < length {
				in[at] = ':'
				want = at
			}
			for from := range length + 1 {
				w := want
				if from > at {
					w = -1
				}
				if got := findColon(in, from); got != w {
					t.Fatalf("%q from %d: got %d, want %d", in, from, got, w)
				}
			}
		}
	}
}

func TestEqualBytesMarksTheFirstMatch(t *testing.T) {
	rnd := rand.New(rand.NewSource(2))
	for range 100000 {
		var b [8]byte
		for i := range b {
			b[i] = byte(rnd.Intn(4)) + ':' - 1
		}
		m := equalBytes(binary.LittleEndian.Uint64(b[:]), ':')
		want := strings.IndexByte(string(b[:]), ':')
		if m == 0 && want >= 0 || m != 0 && firstMark(m) != want {
			t.Fatalf("%q: %#x, want %d", b, m, want)
		}
	}
}

func TestValidFieldNameAndValue(t *testing.T) {
	for _, name := range []string{"Host", "x", "!#$%&'*+-.^_`|~09azAZ"} {
		if !ValidFieldName(name) || !ValidFieldName([]byte(name)) {
			t.Errorf("name %q refused", name)
		}
	}
	for _, name := range []string{"", "a b", "a:", "a\r", "a\n", "a\x00", "caf\xc3\xa9", "a\x7f", "(a)", "a/b"} {
		if ValidFieldName(name) {
			t.Errorf("name %q accepted", name)
		}
	}
	for _, value := range []string{"", " ", "a\tb", "caf\xc3\xa9", "\xff"} {
		if !ValidFieldValue(value) || !ValidFieldValue([]byte(value)) {
			t.Errorf("value %q refused", value)
		}
	}
	for _, value := range []string{"a\rb", "a\nb", "a\x00", "\x1f", "\x7f", "a\r\nSet-Cookie: x"} {
		if ValidFieldValue(value) {
			t.Errorf("value %q accepted", value)
		}
	}
}
