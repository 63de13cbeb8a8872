package proto

import "net/http"

// detectContentType is http.DetectContentType, which compares the content with
// some fifty signatures before it finds that it is text. Text is what most
// handlers that leave the finding to the server send.
func detectContentType(data []byte) string {
	if isPlainText(data[:min(len(data), sniffLength)]) {
		return "text/plain; charset=utf-8"
	}
	return http.DetectContentType(data)
}

// noText has the bit of each control character that is not text.
const noText uint32 = 1<<0x20 - 1 - (1<<'\t' | 1<<'\n' | 1<<'\f' | 1<<'\r' | 1<<0x1b)

// isPlainText reports whether http.DetectContentType would try all signatures
// in vain and then find text. It may say no where it would, but not yes where it
// would not.
func isPlainText(data []byte) bool {
	// Signatures begin with '<', perhaps after white space, with a byte outside
	// printable ASCII or with one of these pairs, or contain what is not text.
	// That of MP4 begins with the size of a box, which printable characters make
	// too large.
	if len(data) < 2 || data[0] <= ' ' || data[0] == '<' || data[0] > '~' {
		return false
	}
	switch string(data[:2]) {
	case "%!", "%P", "BM", "FO", "GI", "ID", "OT", "RI", "tt", "wO":
		return false
	}
	// But this one is in the middle.
	if len(data) >= 36 && data[34] == 'L' && data[35] == 'P' {
		return false
	}
	for _, b := range data {
		if b < ' ' && noText&(1<<b) != 0 {
			return false
		}
	}
	return true
}
