package wire

import (
	"strings"
	"testing"
)

// wantVerdict plays a table of inputs in every way and compares verdicts.
func wantVerdict(t *testing.T, l *Limits, input, want string) {
	t.Helper()
	if got := verdict(playAll(t, l, input)); got != want {
		t.Errorf("%q: got %s, want %s", clip(input), got, want)
	}
}

func clip(s string) string {
	if len(s) > 200 {
		return s[:100] + "..." + s[len(s)-100:]
	}
	return s
}

func TestRequestLine(t *testing.T) {
	for _, test := range []struct{ line, want string }{
		{"GET / HTTP/1.1\r\n", "ok"},
		{"get / HTTP/1.1\r\n", "ok"},
		{"GETX / HTTP/1.1\r\n", "ok"},
		{"G / HTTP/1.1\r\n", "ok"},
		{"!#$%&'*+-.^_`|~09 / HTTP/1.1\r\n", "ok"},
		{"DELETE / HTTP/1.0\r\n", "ok"},

		// Kestrel's TestInvalidRequestLines.
		{"G\r\n", "invalid-request-line"},
		{"GET\r\n", "invalid-request-line"},
		{"GET \r\n", "invalid-request-line"},
		{"GET /\r\n", "invalid-request-line"},
		{"GET / \r\n", "invalid-request-line"},
		{"GET/HTTP/1.1\r\n", "invalid-request-line"},
		{"GET /HTTP/1.1\r\n", "invalid-request-line"},
		{" / HTTP/1.1\r\n", "invalid-request-line"},
		{"/ HTTP/1.1\r\n", "invalid-request-line"},
		{"GET  / HTTP/1.1\r\n", "invalid-request-line"},
		{"GET  HTTP/1.1\r\n", "invalid-request-line"},
		{"GET? / HTTP/1.1\r\n", "invalid-request-line"},
		{"GET ? HTTP/1.1\r\n", "invalid-target"},
		{"GET /a?b=cHTTP/1.1\r\n", "invalid-request-line"},
		{"GET %2F HTTP/1.1\r\n", "invalid-target"},
		{"GET %00 HTTP/1.1\r\n", "invalid-target"},
		{"CUSTOM \r\n", "invalid-request-line"},
		{"CUSTOM / \r\n", "invalid-request-line"},
		{"GET / HTTP/1.1\n", "invalid-request-line"},
		{"GET / HTTP/1.1\rA\n", "invalid-request-line"},
		{"GET / HTTP/1.1\r\r\n", "invalid-request-line"},
		{"GET /\n", "invalid-request-line"},
		{"GET\t/ HTTP/1.1\r\n", "invalid-request-line"},
		{"GET /\tHTTP/1.1\r\n", "invalid-target"},
		{") / HTTP/1.1\r\n", "invalid-request-line"},
		{"G\x00T / HTTP/1.1\r\n", "invalid-request-line"},
		{"G\xcbT / HTTP/1.1\r\n", "invalid-request-line"},
		{"\x00\x00GET / HTTP/1.1\r\n", "invalid-request-line"},
		{"\xef\xbb\xbfGET / HTTP/1.1\r\n", "invalid-request-line"},
		{"\x16\x03\x01\x02\x00\x01\x00", "tls-handshake"},

		// Versions.
		{"GET / HTTP/1.1 \r\n", "unsupported-version"},
		{"GET / HTTP/1.0 \r\n", "unsupported-version"},
		{"GET /  HTTP/1.1\r\n", "unsupported-version"},
		{"GET / HTTP/1.1 x\r\n", "unsupported-version"},
		{"GET / HTTP/1.0 HTTP/1.1\r\n", "unsupported-version"},
		{"GET / http/1.1\r\n", "unsupported-version"},
		{"GET / HTTP/1.2\r\n", "unsupported-version"},
		{"GET / HTTP/2.0\r\n", "unsupported-version"},
		{"GET / HTTP/0.9\r\n", "unsupported-version"},
		{"GET / HTTP/1.01\r\n", "unsupported-version"},
		{"GET / HTTP/1.\r\n", "unsupported-version"},
		{"GET / HTTP/\r\n", "unsupported-version"},
		{"GET / H\r\n", "unsupported-version"},
		{"GET / hello\r\n", "unsupported-version"},
		{"GET / HTTP/1.1\x00\r\n", "invalid-request-line"},
		{"GET / HTTP/\r\r1.1\r\n", "invalid-request-line"},
		{"GET / HTTP/1.1\xff\r\n", "invalid-request-line"},
		{"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "unsupported-version"},
	} {
		wantVerdict(t, nil, test.line+"Host: a\r\n\r\n", test.want)
	}
}

// TestPrefixesOfARequestAreIncomplete: no proper prefix of a good request is
// refused, or taken for a request.
func TestPrefixesOfARequestAreIncomplete(t *testing.T) {
	for _, request := range []string{plaintextRequest, techEmpowerRequest, browserRequest, "OPTIONS * HTTP/1.0\r\n\r\n"} {
		for n := 1; n < len(request); n++ {
			if got := play(nil, []byte(request[:n])); got != "EOF incomplete-head\n" {
				t.Fatalf("%q: %s", request[:n], got)
			}
		}
	}
}

func TestBlankLinesBeforeARequest(t *testing.T) {
	const request = "GET / HTTP/1.1\r\nHost: a\r\n\r\n"
	for _, test := range []struct{ before, want string }{
		{"\r\n", "ok"},
		{strings.Repeat("\r\n", maxBlankLines), "ok"},
		{strings.Repeat("\r\n", maxBlankLines+1), "too-many-blank-lines"},
		{"\n", "invalid-request-line"},
		{"\r", "invalid-request-line"},
		{"\r\r\n", "invalid-request-line"},
		{"\r\n\n", "invalid-request-line"},
		{"\r\n ", "invalid-request-line"},
		{" \r\n", "invalid-request-line"},
	} {
		wantVerdict(t, nil, test.before+request, test.want)
	}
	// The bound is for each request.
	many := strings.Repeat(strings.Repeat("\r\n", maxBlankLines)+request, 3)
	wantVerdict(t, nil, many, "ok")
	wantVerdict(t, nil, strings.Repeat("\r\n", maxBlankLines), "ok")
	wantVerdict(t, nil, strings.Repeat("\r\n", maxBlankLines+1), "too-many-blank-lines")
}

func TestFieldLines(t *testing.T) {
	for _, test := range []struct{ fields, want string }{
		{"X: y\r\n", "ok"},
		{"X:y\r\n", "ok"},
		{"X:\r\n", "ok"},
		{"X: \t \r\n", "ok"},
		{"X: a\tb\r\n", "ok"},
		{"X: a:b::c\r\n", "ok"},
		{"!#$%&'*+-.^_`|~09azAZ: v\r\n", "ok"},
		{"X: caf\xc3\xa9 \xff\x80\r\n", "ok"},
		{"a-very-long-field-name-that-no-table-of-known-names-can-hold: 1\r\n", "ok"},

		{"X: y\n", "invalid-line-end"},
		{"X: y\r\r\n", "invalid-line-end"},
		{"X: a\rb\r\n", "invalid-line-end"},
		{"X:\n\n", "invalid-line-end"},
		{"\n", "invalid-line-end"},
		{"\rX: y\r\n", "invalid-line-end"},
		{"\r \n", "invalid-line-end"},
		{"X y\r\n", "space-before-colon"},
		{"X\r\n", "invalid-field-line"},
		{"X\n", "invalid-field-line"},
		{"X\r: y\r\n", "invalid-field-line"},
		{"X : y\r\n", "space-before-colon"},
		{"X\t: y\r\n", "space-before-colon"},
		{"X\x0b: y\r\n", "invalid-field-name"},
		{"X\xa0: y\r\n", "invalid-field-name"},
		{"X\x00: y\r\n", "invalid-field-name"},
		{"X\x7f: y\r\n", "invalid-field-name"},
		{"X(: y\r\n", "invalid-field-name"},
		{": y\r\n", "invalid-field-name"},
		{"\x00: y\r\n", "invalid-field-name"},
		{"\xe9: y\r\n", "invalid-field-name"},
		{" X: y\r\n", "line-folding"},
		{"\tX: y\r\n", "line-folding"},
		{"X: y\r\n z\r\n", "line-folding"},
		{"X: y\r\n\tz\r\n", "line-folding"},
		{"X: y\r\n \r\n", "line-folding"},
		{"X: a\x00\r\n", "invalid-field-value"},
		{"X: \x00\r\n", "invalid-field-value"},
		{"X: \x0b\r\n", "invalid-field-value"},
		{"X: a\x7fb\r\n", "invalid-field-value"},
		{"X: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\x1faaaaaaaaaa\r\n", "invalid-field-value"},
		// Bytes that become a letter or a hyphen when bit 0x20 is set must
		// not make a known name.
		{"Content\rLength: 5\r\n", "invalid-field-line"},
		{"\x48ost\x1a: a\r\n", "invalid-field-name"},
		{"Content-L\x05ngth: 5\r\n", "invalid-field-name"},
		{"Transfer\x0dEncoding: chunked\r\n", "invalid-field-line"},
	} {
		wantVerdict(t, nil, "GET / HTTP/1.1\r\nHost: a\r\n"+test.fields+"\r\n", test.want)
		if !strings.HasPrefix(test.fields, "\n") && !strings.HasPrefix(test.fields, "\r") {
			wantVerdict(t, nil, "GET / HTTP/1.1\r\n"+test.fields+"Host: a\r\n\r\n", test.want)
		}
	}
}

// TestNamesThatLookKnown: only a letter has two cases.
func TestNamesThatLookKnown(t *testing.T) {
	in := "POST / HTTP/1.1\r\nHost: a\r\nTransfer_Encoding: chunked\r\nX-Transfer-Encoding: chunked\r\n" +
		"ContentLength: 7\r\nTransfer-Encodin: chunked\r\nTransfer-Encoding1: chunked\r\nContent-Lengtl: 1\r\n\r\n"
	var c Conn
	var h Head
	c.Init(nil)
	if _, ev := c.Next([]byte(in), &h); ev != Request {
		t.Fatal(ev, c.Err())
	}
	if h.Framing.Kind != NoBody {
		t.Errorf("framing %v", h.Framing)
	}
	for _, f := range h.Fields[1:] {
		if f.ID != FieldUnknown {
			t.Errorf("%s is known as %s", h.Bytes(f.Name), f.ID.Canonical())
		}
	}
}

func TestFieldValuesAreTrimmed(t *testing.T) {
	in := "GET / HTTP/1.1\r\nHost: a\r\nA:b\r\nB:   b \t\r\nC: \t b c\td\r\nD:\r\nE: \t \r\n\r\n"
	var c Conn
	var h Head
	c.Init(nil)
	if n, ev := c.Next([]byte(in), &h); ev != Request || n != len(in) {
		t.Fatal(n, ev, c.Err())
	}
	for i, want := range []string{"a", "b", "b", "b c\td", "", ""} {
		if got := h.Bytes(h.Fields[i].Value); string(got) != want {
			t.Errorf("field %d: %q, want %q", i, got, want)
		}
	}
}

func TestHeadLookup(t *testing.T) {
	in := "GET / HTTP/1.1\r\nhOST: a\r\nX-One: 1\r\nx-one: 2\r\nAccept: */*\r\nACCEPT: b\r\nCOOKIE: c\r\nX_~^: odd\r\n\r\n"
	var c Conn
	var h Head
	c.Init(nil)
	if _, ev := c.Next([]byte(in), &h); ev != Request {
		t.Fatal(ev, c.Err())
	}
	for _, test := range []struct {
		name, want string
		ok         bool
	}{
		{"Host", "a", true},
		{"host", "a", true},
		{"X-ONE", "1", true},
		{"accept", "*/*", true},
		{"Cookie", "c", true},
		{"x_~^", "odd", true},
		{"x_^~", "", false},
		{"User-Agent", "", false},
		{"X-Two", "", false},
		{"X-On", "", false},
		{"", "", false},
		{"a-name-that-is-longer-than-any-known-name-can-be", "", false},
	} {
		got, ok := h.Lookup(test.name)
		if string(got) != test.want || ok != test.ok {
			t.Errorf("%s: %q, %v", test.name, got, ok)
		}
	}
	if v, ok := h.Field(FieldCookie); !ok || string(v) != "c" {
		t.Errorf("Cookie: %q, %v", v, ok)
	}
	if _, ok := h.Field(FieldUserAgent); ok {
		t.Error("User-Agent found")
	}
	if _, ok := h.Field(FieldUnknown); ok {
		t.Error("unknown field found")
	}
}

// TestNothingSurvivesARequest: whatever one request sets, the next one starts
// without it.
func TestNothingSurvivesARequest(t *testing.T) {
	rich := "OPTIONS http://a.test:8080/p?q HTTP/1.1\r\nHost: a.test:8080\r\nTransfer-Encoding: chunked\r\n" +
		"Expect: 100-continue, other\r\nConnection: close\r\nCookie: c\r\n\r\n1\r\nx\r\n0\r\nX-T: t\r\n\r\n"
	upgrade := "GET /a?b HTTP/1.1\r\nHost: u\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n"
	plain := "GET * HTTP/1.0\r\n\r\n"
	bare := "OPTIONS * HTTP/1.0\r\n\r\n"
	want := play(nil, []byte(bare))
	for _, before := range []string{rich, upgrade, rich + upgrade} {
		p := newPlayer(nil)
		p.feed([]byte(before))
		p.log.Reset()
		p.feed([]byte(bare))
		if got := p.finish(); got != want {
			t.Errorf("behind %q: %s", before, got)
		}
		if len(p.h.Trailers) != 0 || p.h.TrailerRaw != nil {
			t.Error("trailers survive")
		}
		if _, ok := p.h.Field(FieldCookie); ok {
			t.Error("fields survive")
		}
	}
	wantVerdict(t, nil, plain, "options-required")
}
