package wire

import (
	"bytes"
	"unicode/utf8"
)

// AppendPath appends the decoded form of a raw path, as Kestrel makes it:
//
//   - percent-escapes are decoded once where they spell well-formed UTF-8, and
//     stay as they are where they do not, or are no escapes at all;
//   - %2F stays, so that a slash in the result was a slash on the wire;
//   - %00 is an error ([ReasonInvalidTarget]);
//   - then dot segments are removed (RFC 3986 section 5.2.4);
//   - nothing else: slashes are not merged, backslashes mean nothing, bytes
//     above 0x7F pass.
//
// An empty raw, the path of an absolute-form target without one, gives "/".
func AppendPath(dst, raw []byte) ([]byte, error) {
	if len(raw) == 0 {
		return append(dst, '/'), nil
	}
	from := len(dst)
	if bytes.IndexByte(raw, '%') < 0 {
		dst = append(dst, raw...)
	} else {
		var ok bool
		if dst, ok = appendUnescaped(dst, raw); !ok {
			return dst[:from], ReasonInvalidTarget.Err()
		}
	}
	return dst[:from+removeDotSegments(dst[from:])], nil
}

// appendUnescaped reports false for an encoded NUL.
func appendUnescaped(dst, raw []byte) ([]byte, bool) {
	for i := 0; i < len(raw); {
		c, ok := unescape(raw, i)
		switch {
		case !ok:
			dst = append(dst, raw[i])
			i++
		case c == 0:
			return dst, false
		case c == '/':
			dst = append(dst, raw[i:i+3]...)
			i += 3
		case c < utf8.RuneSelf:
			dst = append(dst, c)
			i += 3
		default:
			var seq [utf8.UTFMax]byte
			n := unescapeRune(raw, i, &seq)
			if n == 0 {
				dst = append(dst, raw[i:i+3]...)
				i += 3
				continue
			}
			dst = append(dst, seq[:n]...)
			i += 3 * n
		}
	}
	return dst, true
}

// unescape returns the byte that an escape at raw[i] stands for.
func unescape(raw []byte, i int) (byte, bool) {
	if raw[i] != '%' || i+2 >= len(raw) {
		return 0, false
	}
	hi, lo := hexValue[raw[i+1]], hexValue[raw[i+2]]
	return hi<<4 | lo, hi|lo != 0xFF && hi != 0xFF && lo != 0xFF
}

// unescapeRune decodes the escapes at raw[i] that spell one well-formed UTF-8
// sequence of more than one byte into seq, and returns its length or 0.
func unescapeRune(raw []byte, i int, seq *[utf8.UTFMax]byte) int {
	for n := range seq {
		if i+3*n >= len(raw) {
			return 0
		}
		c, ok := unescape(raw, i+3*n)
		if !ok {
			return 0
		}
		seq[n] = c
		if utf8.FullRune(seq[:n+1]) {
			if r, size := utf8.DecodeRune(seq[:n+1]); r != utf8.RuneError || size == n+1 && size > 1 {
				return n + 1
			}
			return 0
		}
	}
	return 0
}

// removeDotSegments removes "." and ".." segments of the absolute path p in
// place and returns the new length.
func removeDotSegments(p []byte) int {
	i := bytes.Index(p, []byte("/."))
	if i < 0 {
		return len(p)
	}
	// p[:w] is the result so far; p[r:] begins with a slash.
	w, r := i, i
	for r < len(p) {
		end := len(p)
		if n := bytes.IndexByte(p[r+1:], '/'); n >= 0 {
			end = r + 1 + n
		}
		switch segment := p[r+1 : end]; string(segment) {
		case ".", "..":
			if len(segment) == 2 {
				w = max(bytes.LastIndexByte(p[:w], '/'), 0)
			}
			if end == len(p) {
				p[w] = '/'
				w++
			}
		default:
			w += copy(p[w:], p[r:end])
		}
		r = end
	}
	return w
}
