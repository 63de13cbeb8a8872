package windhover

import (
	"net/http"
	"strings"
)

// forwardedEntry is what one proxy has said. Empty fields were not said.
type forwardedEntry struct {
	forNode, proto, host, prefix string

	malformed bool // a Forwarded header that cannot be read
}

// forwardedSource is a family of headers, seen as entries that are counted
// from the right.
type forwardedSource interface {
	entries() int
	entry(i int) forwardedEntry
	// symmetric reports whether each header asked for has as many entries as
	// the others.
	symmetric(fields ForwardedFields) bool
	// truncate removes the entries that the walk has used from h.
	truncate(h http.Header, w *forwardWalk)
}

func (f *ForwardedHeaders) source(h http.Header) forwardedSource {
	if f.Standard {
		return parseForwarded(h.Values("Forwarded"))
	}
	src := &xForwarded{}
	src.add(h, f.Fields&ForwardedFor != 0, f.ForHeader, "X-Forwarded-For")
	src.add(h, f.Fields&ForwardedProto != 0, f.ProtoHeader, "X-Forwarded-Proto")
	src.add(h, f.Fields&ForwardedHost != 0, f.HostHeader, "X-Forwarded-Host")
	src.add(h, f.Fields&ForwardedPrefix != 0, f.PrefixHeader, "X-Forwarded-Prefix")
	return src
}

// xForwarded holds the X-Forwarded family: four lists that belong together by
// position, in the order For, Proto, Host, Prefix.
type xForwarded struct {
	lists [4]xForwardedList
	n     int
}

type xForwardedList struct {
	name   string
	on     bool
	values []string
}

func (l *xForwardedList) fromRight(i int) string {
	if i >= len(l.values) {
		return ""
	}
	return l.values[len(l.values)-1-i]
}

func (s *xForwarded) add(h http.Header, on bool, name, usual string) {
	if name == "" {
		name = usual
	}
	list := xForwardedList{name: name, on: on}
	if on {
		for _, line := range h.Values(name) {
			for value := range strings.SplitSeq(line, ",") {
				if value = unquote(strings.TrimSpace(value)); value != "" {
					list.values = append(list.values, value)
				}
			}
		}
	}
	s.lists[s.n] = list
	s.n++
}

// unquote takes the quotes off a value that is quoted whole.
func unquote(s string) string {
	if len(s) >= 2 && s[0] == '"' && s[len(s)-1] == '"' {
		return s[1 : len(s)-1]
	}
	return s
}

func (s *xForwarded) entries() int {
	n := 0
	for i := range s.lists {
		n = max(n, len(s.lists[i].values))
	}
	return n
}

func (s *xForwarded) entry(i int) forwardedEntry {
	return forwardedEntry{
		forNode: s.lists[0].fromRight(i),
		proto:   s.lists[1].fromRight(i),
		host:    s.lists[2].fromRight(i),
		prefix:  s.lists[3].fromRight(i),
	}
}

func (s *xForwarded) symmetric(ForwardedFields) bool {
	n := s.entries()
	for i := range s.lists {
		if s.lists[i].on && len(s.lists[i].values) != n {
			return false
		}
	}
	return true
}

func (s *xForwarded) truncate(h http.Header, w *forwardWalk) {
	applied := [4]bool{w.client.IsValid(), w.proto != "", w.host != "", w.prefix != ""}
	for i := range s.lists {
		list := &s.lists[i]
		switch left := len(list.values) - w.consumed; {
		case !applied[i]:
		case left <= 0:
			h.Del(list.name)
		default:
			h.Set(list.name, strings.Join(list.values[:left], ", "))
		}
	}
}

// forwardedElements holds the elements of all Forwarded lines, leftmost first.
type forwardedElements struct {
	elements []forwardedElement
}

type forwardedElement struct {
	text  string
	entry forwardedEntry
}

// parseForwarded reads each line by itself, so that a line with an open quote,
// which a client may send, cannot swallow the lines that proxies add. When the
// proxy appends to the client's line instead, the line as a whole is malformed
// and ends the walk before anything of it is believed.
func parseForwarded(lines []string) *forwardedElements {
	s := &forwardedElements{}
	for _, line := range lines {
		elements, ok := splitQuoted(line, ',')
		if !ok {
			s.elements = append(s.elements, forwardedElement{line, forwardedEntry{malformed: true}})
			continue
		}
		for _, text := range elements {
			if text = strings.Trim(text, " \t"); text != "" {
				s.elements = append(s.elements, forwardedElement{text, parseForwardedElement(text)})
			}
		}
	}
	return s
}

// parseForwardedElement reads forwarded-element (RFC 7239 section 4): pairs of
// a token and a token or quoted string, separated by semicolons, each name at
// most once.
func parseForwardedElement(text string) forwardedEntry {
	var e forwardedEntry
	pairs, _ := splitQuoted(text, ';') // the quotes have been checked
	seen := make(map[string]bool, len(pairs))
	for _, pair := range pairs {
		if pair == "" {
			continue // the grammar allows empty pairs
		}
		name, value, ok := strings.Cut(pair, "=")
		value, valid := forwardedValue(value)
		name = strings.ToLower(name)
		if !ok || !valid || !isToken(name) || seen[name] {
			return forwardedEntry{malformed: true}
		}
		seen[name] = true
		switch name {
		case "for":
			e.forNode = value
		case "proto":
			e.proto = value
		case "host":
			e.host = value
		}
	}
	return e
}

// forwardedValue reads a token or a quoted string (RFC 9110 section 5.6.4).
func forwardedValue(s string) (string, bool) {
	if s == "" || s[0] != '"' {
		return s, isToken(s)
	}
	var b strings.Builder
	for i := 1; i < len(s); i++ {
		switch c := s[i]; {
		case c == '"':
			return b.String(), i == len(s)-1
		case c == '\\' && i+1 < len(s):
			i++
			b.WriteByte(s[i])
		default:
			b.WriteByte(c)
		}
	}
	return "", false
}

// splitQuoted splits at sep outside of quoted strings; ok is false when a
// quote stays open.
func splitQuoted(s string, sep byte) (parts []string, ok bool) {
	quoted, start := false, 0
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case !quoted && c == sep:
			parts, start = append(parts, s[start:i]), i+1
		}
	}
	return append(parts, s[start:]), !quoted
}

func isToken(s string) bool {
	for i := range len(s) {
		c := s[i]
		alnum := 'a' <= c|0x20 && c|0x20 <= 'z' || '0' <= c && c <= '9'
		if !alnum && strings.IndexByte("!#$%&'*+-.^_`|~", c) < 0 {
			return false
		}
	}
	return s != ""
}

func (s *forwardedElements) entries() int { return len(s.elements) }

func (s *forwardedElements) entry(i int) forwardedEntry {
	return s.elements[len(s.elements)-1-i].entry
}

func (s *forwardedElements) symmetric(fields ForwardedFields) bool {
	for _, el := range s.elements {
		e := el.entry
		if e.malformed || fields&ForwardedFor != 0 && e.forNode == "" ||
			fields&ForwardedProto != 0 && e.proto == "" || fields&ForwardedHost != 0 && e.host == "" {
			return false
		}
	}
	return true
}

func (s *forwardedElements) truncate(h http.Header, w *forwardWalk) {
	left := s.elements[:len(s.elements)-w.consumed]
	if len(left) == 0 {
		h.Del("Forwarded")
		return
	}
	texts := make([]string, len(left))
	for i, el := range left {
		texts[i] = el.text
	}
	h.Set("Forwarded", strings.Join(texts, ", "))
}
