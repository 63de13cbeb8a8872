package wire_test

import (
	"bufio"
	"bytes"
	"io"
	"math/rand"
	"net/http"
	"net/textproto"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/windhover-server/windhover/proto/wire"
)

func TestStatusTextIsThatOfNetHTTP(t *testing.T) {
	for code := range 1000 {
		if got := wire.StatusText(code); got != http.StatusText(code) {
			t.Errorf("%d: %q, net/http says %q", code, got, http.StatusText(code))
		}
	}
}

func TestKnownFieldsAreCanonical(t *testing.T) {
	for id := wire.FieldUnknown + 1; id.Canonical() != ""; id++ {
		if name := id.Canonical(); textproto.CanonicalMIMEHeaderKey(name) != name {
			t.Errorf("%s is not canonical", name)
		}
		if wire.LookupField(id.Canonical()) != id {
			t.Errorf("%s is not found", id.Canonical())
		}
	}
}

// message is one request as both parsers can see it.
type message struct {
	head    wire.Head
	body    []byte
	trailer http.Header
	ended   bool
}

// readWire reads the first request of in, nil if it is refused or incomplete.
func readWire(in []byte) *message {
	var c wire.Conn
	c.Init(nil)
	m := &message{trailer: http.Header{}}
	for started := false; ; {
		n, ev := c.Next(in, &m.head)
		in = in[n:]
		switch ev {
		case wire.Request:
			started = true
		case wire.Content:
			m.body = append(m.body, c.Content()...)
		case wire.End:
			m.ended = true
			for _, f := range m.head.Trailers {
				raw := m.head.TrailerRaw
				m.trailer.Add(string(raw[f.Name.Off:f.Name.Off+f.Name.Len]), string(raw[f.Value.Off:f.Value.Off+f.Value.Len]))
			}
			return m
		case wire.NeedData, wire.Failed:
			if !started {
				return nil
			}
			return m
		}
	}
}

// refusedOnlyByNetHTTP are the documented differences: requests that we accept
// as Kestrel does and net/http does not.
func refusedOnlyByNetHTTP(m *message) bool {
	h := &m.head
	// Percent signs that begin no escape are literal text for us.
	if _, err := url.PathUnescape(string(h.Bytes(h.Path))); err != nil {
		return true
	}
	// Hosts that Kestrel allows and package net/url does not, in the absolute
	// and authority forms only.
	if len(h.Bytes(h.Authority)) > 0 {
		if _, err := url.Parse("http://" + string(h.Bytes(h.Authority))); err != nil {
			return true
		}
	}
	return false
}

// FuzzAgainstNetHTTP: we never accept what http.ReadRequest refuses, but for
// the documented differences, and what both accept means the same to both.
func FuzzAgainstNetHTTP(f *testing.F) {
	for _, in := range []string{
		"GET /a?b HTTP/1.1\r\nHost: a\r\nX: y\r\n\r\n",
		"POST http://a.test:80/b HTTP/1.1\r\nHost: a.test\r\nContent-Length: 5\r\n\r\nhello",
		"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5;a=b\r\nhello\r\n0\r\nX: y\r\n\r\n",
		"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		"CONNECT a.test:443 HTTP/1.1\r\nHost: a.test:443\r\n\r\n",
		"OPTIONS * HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
		"GET / HTTP/1.1\r\nHost: [::1]:80\r\nConnection: close\r\nTrailer: X\r\n\r\n",
		"GET /%zz HTTP/1.1\r\nHost: a\r\n a\r\n\r\n",
	} {
		f.Add([]byte(in))
	}
	f.Fuzz(compareWithNetHTTP)
}

// TestAgainstNetHTTP does the same with generated messages.
func TestAgainstNetHTTP(t *testing.T) {
	rounds := 50000
	if testing.Short() {
		rounds = 5000
	}
	rnd := rand.New(rand.NewSource(6))
	for range rounds {
		compareWithNetHTTP(t, wire.Generate(rnd))
	}
}

func compareWithNetHTTP(t *testing.T, in []byte) {
	m := readWire(in)
	if m == nil {
		return
	}
	for bytes.HasPrefix(in, []byte("\r\n")) {
		in = in[2:] // net/http does not skip empty lines
	}
	r, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(in)))
	if err != nil {
		if !refusedOnlyByNetHTTP(m) {
			t.Fatalf("accepted, but net/http says %v\n%q", err, in)
		}
		return
	}
	compareHeads(t, &m.head, r)
	body, err := io.ReadAll(r.Body)
	if !m.ended {
		// Incomplete, or refused for chunk framing or trailers, about which
		// we are stricter.
		if err == nil && m.head.Framing.Kind != wire.Chunked {
			t.Fatalf("the body does not end, net/http says it does\n%q", in)
		}
		return
	}
	if err != nil || !bytes.Equal(body, m.body) {
		t.Fatalf("body %q, net/http says %q, %v\n%q", m.body, body, err, in)
	}
	for name, values := range m.trailer {
		if !slices.Equal(r.Trailer[name], values) {
			t.Fatalf("trailer %s: %q, net/http says %q\n%q", name, values, r.Trailer, in)
		}
	}
}

func compareHeads(t *testing.T, h *wire.Head, r *http.Request) {
	t.Helper()
	text := func(s wire.Span) string { return string(h.Bytes(s)) }
	if text(h.Method) != r.Method || h.Version.String() != r.Proto || text(h.Target) != r.RequestURI {
		t.Fatalf("line %q, net/http says %q %q %q", h.Raw, r.Method, r.RequestURI, r.Proto)
	}
	if text(h.Host) != r.Host {
		t.Fatalf("host %q, net/http says %q\n%q", text(h.Host), r.Host, h.Raw)
	}
	length, chunked := int64(0), false
	switch h.Framing.Kind {
	case wire.Length:
		length = h.Framing.Length
	case wire.Chunked:
		length, chunked = -1, true
	}
	if length != r.ContentLength || chunked != slices.Equal(r.TransferEncoding, []string{"chunked"}) {
		t.Fatalf("framing %v, net/http says %d %q\n%q", h.Framing, r.ContentLength, r.TransferEncoding, h.Raw)
	}
	if h.ConnectionClose != slices.ContainsFunc(r.Header["Connection"], hasClose) {
		t.Fatalf("close %v, net/http says %v\n%q", h.ConnectionClose, r.Close, h.Raw)
	}
	header := http.Header{}
	for _, f := range h.Fields {
		header.Add(text(f.Name), text(f.Value))
	}
	for _, name := range []string{"Host", "Transfer-Encoding", "Trailer", "Pragma", "Cache-Control"} {
		header.Del(name)
		r.Header.Del(name)
	}
	for name, values := range header {
		if !slices.Equal(values, r.Header[name]) {
			t.Fatalf("field %s: %q, net/http says %q\n%q", name, values, r.Header[name], h.Raw)
		}
	}
	if len(header) != len(r.Header) {
		t.Fatalf("fields %q, net/http says %q", header, r.Header)
	}
}

func hasClose(value string) bool {
	return slices.ContainsFunc(strings.Split(value, ","), func(option string) bool {
		return strings.ToLower(strings.Trim(option, " \t")) == "close"
	})
}
