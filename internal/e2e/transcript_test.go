package e2e

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// normalize turns what a server sent into text that can be compared: the order
// of field lines, the value of Date and the sizes of chunks are left out, all
// else is kept. heads says which of the responses answer a HEAD request.
func normalize(raw string, heads ...int) string {
	var out strings.Builder
	for n := 0; raw != ""; {
		var r parsed
		r, raw = parseResponse(raw, slices.Contains(heads, n))
		out.WriteString(r.String())
		if r.final {
			n++
		}
	}
	return out.String()
}

type parsed struct {
	status, framing  string
	fields, trailers []string
	body             string
	final            bool
}

func (p parsed) String() string {
	s := p.status + "\n"
	for _, f := range p.fields {
		s += "    " + f + "\n"
	}
	if p.framing != "" {
		s += fmt.Sprintf("  %s %s\n", p.framing, digest(p.body))
	}
	for _, f := range p.trailers {
		s += "  trailer " + f + "\n"
	}
	return s
}

// digest shows a short body in full, and a long one by its ends.
func digest(s string) string {
	if len(s) <= 200 {
		return strconv.Quote(s)
	}
	return fmt.Sprintf("%d bytes %q...%q", len(s), s[:40], s[len(s)-40:])
}

// parseResponse takes the first response off raw. What is not a response is
// returned as one that says so.
func parseResponse(raw string, toHead bool) (p parsed, rest string) {
	head, rest, ok := strings.Cut(raw, "\r\n\r\n")
	lines := strings.Split(head, "\r\n")
	if !ok || !strings.HasPrefix(lines[0], "HTTP/1.") || len(lines[0]) < len("HTTP/1.1 200") {
		return parsed{status: "no response: " + digest(raw), final: true}, ""
	}
	p.status = lines[0]
	p.fields = fields(lines[1:])
	code := lines[0][len("HTTP/1.1 "):][:3]
	p.final = code[0] != '1' || code == "101"
	switch length, chunked := p.field("Content-Length"), p.field("Transfer-Encoding"); {
	case toHead, !p.final, code == "204", code == "304":
	case code == "101":
		p.framing, p.body, rest = "tunnel", rest, ""
	case chunked != "":
		return p.chunks(rest)
	case length != "":
		n, err := strconv.Atoi(length)
		if err != nil || n > len(rest) {
			p.framing, p.body, rest = "cut length", rest, ""
			break
		}
		p.framing, p.body, rest = "length", rest[:n], rest[n:]
	default:
		p.framing, p.body, rest = "until close", rest, ""
	}
	return p, rest
}

func fields(lines []string) []string {
	out := make([]string, 0, len(lines))
	for _, l := range lines {
		if strings.HasPrefix(l, "Date: ") && strings.HasSuffix(l, " GMT") {
			l = "Date: *"
		}
		out = append(out, l)
	}
	slices.Sort(out)
	return out
}

func (p *parsed) field(name string) string {
	for _, f := range p.fields {
		if v, ok := strings.CutPrefix(f, name+": "); ok {
			return v
		}
	}
	return ""
}

// chunks reads the chunked body that rest begins with.
func (p parsed) chunks(rest string) (parsed, string) {
	p.framing = "chunked"
	for {
		size, after, ok := strings.Cut(rest, "\r\n")
		n, err := strconv.ParseUint(size, 16, 31)
		switch {
		case !ok && size == "":
			p.framing = "cut chunked"
			return p, ""
		case !ok || err != nil:
			p.framing = "bad chunked " + digest(rest)
			return p, ""
		case n == 0:
			section, after, ok := strings.Cut("\r\n"+after, "\r\n\r\n")
			if !ok {
				p.framing = "cut trailers"
				return p, ""
			}
			if section = strings.TrimPrefix(section, "\r\n"); section != "" {
				p.trailers = fields(strings.Split(section, "\r\n"))
			}
			return p, after
		case len(after) < int(n)+2:
			p.framing, p.body = "cut chunked", p.body+after
			return p, ""
		}
		p.body += after[:n]
		if after[n:n+2] != "\r\n" {
			p.framing = "bad chunked " + digest(after[n:])
			return p, ""
		}
		rest = after[n+2:]
	}
}

func TestNormalize(t *testing.T) {
	for _, tt := range []struct{ raw, want string }{
		{"HTTP/1.1 200 OK\r\nB: 2\r\nA: 1\r\nContent-Length: 2\r\n\r\nhi",
			"HTTP/1.1 200 OK\n    A: 1\n    B: 2\n    Content-Length: 2\n  length \"hi\"\n"},
		{"HTTP/1.1 103 Early Hints\r\nA: 1\r\n\r\nHTTP/1.1 204 No Content\r\nDate: Mon, 02 Jan 2006 15:04:05 GMT\r\n\r\n",
			"HTTP/1.1 103 Early Hints\n    A: 1\nHTTP/1.1 204 No Content\n    Date: *\n"},
		{"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nh\r\n1\r\ni\r\n0\r\nX: 1\r\n\r\n",
			"HTTP/1.1 200 OK\n    Transfer-Encoding: chunked\n  chunked \"hi\"\n  trailer X: 1\n"},
		{"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nh\r\n0\r\n\r\nHTTP/1.1 200 OK\r\n\r\nrest",
			"HTTP/1.1 200 OK\n    Transfer-Encoding: chunked\n  chunked \"h\"\nHTTP/1.1 200 OK\n  until close \"rest\"\n"},
		{"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nh",
			"HTTP/1.1 200 OK\n    Transfer-Encoding: chunked\n  cut chunked \"h\"\n"},
		{"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nh\r\n",
			"HTTP/1.1 200 OK\n    Transfer-Encoding: chunked\n  cut chunked \"h\"\n"},
		{"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nhi",
			"HTTP/1.1 200 OK\n    Content-Length: 3\n  cut length \"hi\"\n"},
		{"garbage", "no response: \"garbage\"\n"},
	} {
		if got := normalize(tt.raw); got != tt.want {
			t.Errorf("%q is\n%s, want\n%s", tt.raw, got, tt.want)
		}
	}
	if got := normalize("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nHTTP/1.1 200 OK\r\n\r\n", 0); !strings.HasSuffix(got, "until close \"\"\n") {
		t.Errorf("a response to HEAD was given a body: %s", got)
	}
}
