package wire

import "encoding/binary"

// findColon returns the index of the first colon at or after i, or -1.
func findColon(in []byte, i int) int {
	for ; i+8 <= len(in); i += 8 {
		if m := equalBytes(binary.LittleEndian.Uint64(in[i:]), ':'); m != 0 {
			return i + firstMark(m)
		}
	}
	for ; i < len(in); i++ {
		if in[i] == ':' {
			return i
		}
	}
	return -1
}

// scanText returns the index of the first byte at or after i that may not be
// part of a field value, or len(in).
func scanText(in []byte, i int) int {
	for {
		for ; i+8 <= len(in); i += 8 {
			if m := controlBytes(binary.LittleEndian.Uint64(in[i:])); m != 0 {
				i += firstMark(m)
				break
			}
		}
		for i < len(in) && classes[in[i]]&classText != 0 {
			i++
		}
		if i == len(in) || in[i] != '\t' {
			return i
		}
	}
}

// scanToken returns the index of the first byte at or after i that is no tchar,
// or len(in).
func scanToken(in []byte, i int) int {
	for i < len(in) && classes[in[i]]&classToken != 0 {
		i++
	}
	return i
}

// scanTarget returns the index of the first byte at or after i that a
// request-target cannot hold, or len(in).
func scanTarget(in []byte, i int) int {
	for ; i+8 <= len(in); i += 8 {
		x := binary.LittleEndian.Uint64(in[i:])
		if controlBytes(x)|equalBytes(x, ' ')|equalBytes(x, '#') != 0 {
			break
		}
	}
	for i < len(in) && classes[in[i]]&classTarget != 0 {
		i++
	}
	return i
}

// scanPath is like scanTarget but also stops at "?" and "%".
func scanPath(in []byte, i int) int {
	for ; i+8 <= len(in); i += 8 {
		x := binary.LittleEndian.Uint64(in[i:])
		// 0x21, 0x23, 0x25 and 0x27 differ in two bits only, and '!' and
		// "'" are rare: one test serves for '#' and '%'.
		rare := x &^ (ones * 0x06)
		if (controlBytes(x)|equalBytes(rare, 0x21)|equalBytes(x, ' ')|equalBytes(x, '?'))&highs != 0 {
			break
		}
	}
	for i < len(in) && classes[in[i]]&classPath != 0 {
		i++
	}
	return i
}
