package proto

import "strings"

func trimBlank(s string) string { return strings.Trim(s, " \t") }

// equalFold compares ASCII text; t is in lower case.
func equalFold(s, t string) bool {
	if len(s) != len(t) {
		return false
	}
	for i := range len(s) {
		b := s[i]
		if 'A' <= b && b <= 'Z' {
			b += 'a' - 'A'
		}
		if b != t[i] {
			return false
		}
	}
	return true
}

// hasToken reports whether a comma-separated list has the token, which is in
// lower case (RFC 9110 section 5.6.1).
func hasToken(list, token string) bool {
	for part := range strings.SplitSeq(list, ",") {
		if equalFold(trimBlank(part), token) {
			return true
		}
	}
	return false
}
