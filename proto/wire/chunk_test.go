package wire

import (
	"fmt"
	"strings"
	"testing"
)

const chunkedHead = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"

func TestChunkedBodies(t *testing.T) {
	for _, test := range []struct{ body, want string }{
		{"0\r\n\r\n", ""},
		{"000\r\n\r\n", ""},
		{"5\r\nhello\r\n0\r\n\r\n", "hello"},
		{"0000000000000005\r\nhello\r\n0000000000000000\r\n\r\n", "hello"},
		{"5\r\nHello\r\n6\r\n World\r\n0\r\n\r\n", "Hello World"},
		{"c\r\nHelloChunked\r\n0\r\n\r\n", "HelloChunked"},
		{"C\r\nHelloChunked\r\n0\r\n\r\n", "HelloChunked"},
		{"9\r\na\r\n0\r\n\r\nb\r\n0\r\n\r\n", "a\r\n0\r\n\r\nb"},
		{"5;a\r\nhello\r\n0\r\n\r\n", "hello"},
		{"5;a=b\r\nhello\r\n0;a=b\r\n\r\n", "hello"},
		{"5;a=b;c=d;e\r\nhello\r\n0;f\r\n\r\n", "hello"},
		{"5;a=\"b;\tc\xff\"\r\nhello\r\n0\r\n\r\n", "hello"},
		{"5;a=\"\\\"\"\r\nhello\r\n0\r\n\r\n", "hello"},
		{"5;a=\"\"\r\nhello\r\n0\r\n\r\n", "hello"},
		{"5; a = b ; c\t=\t\"d\" ;e\r\nhello\r\n0\r\n\r\n", "hello"},
		{"2\r\n\r\n\r\n0\r\n\r\n", "\r\n"},
	} {
		got := playAll(t, nil, chunkedHead+test.body)
		want := describe(parse(t, chunkedHead))
		if test.want != "" {
			want += fmt.Sprintf("Content %q\n", test.want)
		}
		if got != want+"End\n" {
			t.Errorf("%q:\n%s", test.body, got)
		}
	}
}

func TestChunkFramingErrors(t *testing.T) {
	for _, test := range []struct{ body, want string }{
		{"\r\n", "invalid-chunk-size"},
		{"0x5\r\nhello\r\n", "invalid-chunk-size"},
		{"+5\r\nhello\r\n", "invalid-chunk-size"},
		{"-5\r\nhello\r\n", "invalid-chunk-size"},
		{"0_5\r\nhello\r\n", "invalid-chunk-size"},
		{" 5\r\nhello\r\n", "invalid-chunk-size"},
		{"\t5\r\nhello\r\n", "invalid-chunk-size"},
		{"g\r\n", "invalid-chunk-size"},
		{";a=b\r\nhello\r\n", "invalid-chunk-size"},
		{"5.0\r\nhello\r\n", "invalid-chunk-size"},
		{"5\x0b\r\nhello\r\n", "invalid-chunk-size"},
		{"5,\r\nhello\r\n", "invalid-chunk-size"},
		{"5\nhello\r\n", "invalid-chunk-size"},
		{"5\rhello\r\n", "invalid-chunk-size"},
		{"5\r\r\nhello\r\n", "invalid-chunk-size"},
		{"5\x00\r\nhello\r\n", "invalid-chunk-size"},
		{"\xef\xbc\x95\r\nhello\r\n", "invalid-chunk-size"},
		// Sizes beyond 2^63-1, and beyond 16 digits.
		{"8000000000000000\r\n", "invalid-chunk-size"},
		{"fffffffffffffffe\r\n", "invalid-chunk-size"},
		{"f0000000000000003\r\nabc\r\n", "invalid-chunk-size"},
		{"00000000000000005\r\nhello\r\n", "invalid-chunk-size"},
		{"ffffffffffffffffffffffffffffffffffffffff\r\n", "invalid-chunk-size"},
		{"7fffffffffffffff\r\nabc", "incomplete-content"},
		{"100000000\r\n\r\n0\r\n\r\n", "incomplete-content"},

		{"5 \r\nhello\r\n", "invalid-chunk-size"},
		{"5\t\r\nhello\r\n", "invalid-chunk-size"},
		{"5;\r\nhello\r\n", "invalid-chunk-extension"},
		{"5;;a\r\nhello\r\n", "invalid-chunk-extension"},
		{"5;a;\r\nhello\r\n", "invalid-chunk-extension"},
		{"5;a=\r\nhello\r\n", "invalid-chunk-extension"},
		{"5;=b\r\nhello\r\n", "invalid-chunk-extension"},
		{"5;a=b=c\r\nhello\r\n", "invalid-chunk-extension"},
		{"5;a b\r\nhello\r\n", "invalid-chunk-extension"},
		{"5;a \r\nhello\r\n", "invalid-chunk-extension"},
		{"5;a=b \r\nhello\r\n", "invalid-chunk-extension"},
		{"5;a=\"b\" \r\nhello\r\n", "invalid-chunk-extension"},
		{"5;a=\"b\"c\r\nhello\r\n", "invalid-chunk-extension"},
		{"5;a=\"b\r\nhello\r\n", "invalid-chunk-extension"},
		{"5;a=\"\\\n\"\r\nhello\r\n", "invalid-chunk-extension"},
		{"5;a=b\x00\r\nhello\r\n", "invalid-chunk-extension"},
		{"5;a=\xff\r\nhello\r\n", "invalid-chunk-extension"},
		{"5 a\r\nhello\r\n", "invalid-chunk-size"},
		{"5 ;a\r\nhello\r\n", "invalid-chunk-size"},
		{"5\t;a\r\nhello\r\n", "invalid-chunk-size"},
		{"5;a=b\nc\r\nhello\r\n", "invalid-chunk-extension"},
		{"5;a\nhello\r\n", "invalid-chunk-extension"},
		{"2;\nxx\r\n", "invalid-chunk-extension"},
		{"5;\rhello\r\n", "invalid-chunk-extension"},
		{"5;a=b\r\rX\r\nhello\r\n", "invalid-chunk-extension"},
		{"5;a\rhello\r\n", "invalid-chunk-extension"},
		{"5\r;a\r\nhello\r\n", "invalid-chunk-size"},

		{"5\r\nhello\n0\r\n\r\n", "invalid-chunk-end"},
		{"5\r\nhello\r\r0\r\n\r\n", "invalid-chunk-end"},
		{"5\r\nhello\n\r0\r\n\r\n", "invalid-chunk-end"},
		{"5\r\nhello0\r\n\r\n", "invalid-chunk-end"},
		{"5\r\nhellox\n0\r\n\r\n", "invalid-chunk-end"},
		{"5\r\nhello\rx0\r\n\r\n", "invalid-chunk-end"},
		{"5\r\nhello!\r\n0\r\n\r\n", "invalid-chunk-end"},
		{"5\r\nhello\r\n\r\n0\r\n\r\n", "invalid-chunk-size"},
	} {
		got := playAll(t, nil, chunkedHead+test.body)
		if verdict(got) != test.want {
			t.Errorf("%q:\n%s", test.body, got)
		}
		if strings.HasPrefix(test.body, "5\r\nhello") && !strings.Contains(got, "Content \"hello\"") {
			t.Errorf("%q: what came before the error is lost:\n%s", test.body, got)
		}
	}
}

func TestTrailerSections(t *testing.T) {
	for _, test := range []struct{ trailers, want, exposed string }{
		{"X: y\r\n", "ok", "X"},
		{"X: y\r\nX-B:  b \r\n", "ok", "X X-B"},
		{"ETag: \"x\"\r\nServer-Timing: a\r\nDate: d\r\n", "ok", "ETag Server-Timing Date"},
		{"bad trailer\r\n", "space-before-colon", ""},
		{"bad\r\n", "invalid-field-line", ""},
		{"X: v\r\n w\r\n", "line-folding", ""},
		{" X: v\r\n", "line-folding", ""},
		{"X: v\x00\r\n", "invalid-field-value", ""},
		{"X: v\n", "invalid-line-end", ""},
		{": v\r\n", "invalid-field-name", ""},
		{"GET /sentinel HTTP/1.1\r\n", "space-before-colon", ""},
		{"XXGET /sentinel HTTP/1.1\r\n", "space-before-colon", ""},
		{"\n", "invalid-line-end", ""},
		{"\r\r\n", "invalid-line-end", ""},

		{"Transfer-Encoding: chunked\r\n", "forbidden-trailer", ""},
		{"X: y\r\ncontent-length: 5\r\n", "forbidden-trailer", ""},
		{"Host: b\r\n", "forbidden-trailer", ""},
		{"Authorization: x\r\n", "forbidden-trailer", ""},
		{"Proxy-Authorization: x\r\n", "forbidden-trailer", ""},
		{"Cookie: x\r\n", "forbidden-trailer", ""},
		{"Connection: close\r\n", "forbidden-trailer", ""},
		{"Upgrade: x\r\n", "forbidden-trailer", ""},
		{"Expect: x\r\n", "forbidden-trailer", ""},
		{"TE: x\r\n", "forbidden-trailer", ""},
		{"Trailer: X\r\n", "forbidden-trailer", ""},

		{"Content-Encoding: gzip\r\nX: y\r\nX-Forwarded-For: 1.2.3.4\r\nContent-Type: a\r\nZ: z\r\n", "ok", "X Z"},
		{"Cache-Control: x\r\n", "ok", ""},
	} {
		got := playAll(t, nil, chunkedHead+"5\r\nhello\r\n0\r\n"+test.trailers+"\r\n")
		if verdict(got) != test.want {
			t.Errorf("%q:\n%s", test.trailers, got)
		}
		var names []string
		for line := range strings.Lines(got) {
			if name, ok := strings.CutPrefix(line, "  trailer \""); ok {
				names = append(names, name[:strings.IndexByte(name, '"')])
			}
		}
		if strings.Join(names, " ") != test.exposed {
			t.Errorf("%q: exposed %q", test.trailers, names)
		}
	}
}

// TestTrailersWithoutAHead: a caller that drains may do without a Head.
func TestTrailersWithoutAHead(t *testing.T) {
	for trailers, want := range map[string]Event{"X: y\r\n": End, "": End, "Host: a\r\n": Failed, "X\r\n": Failed} {
		var c Conn
		c.Init(nil)
		in := []byte(chunkedHead + "0\r\n" + trailers + "\r\n")
		n, ev := c.Next(in, new(Head))
		for ev != End && ev != Failed {
			in = in[n:]
			n, ev = c.Next(in, nil)
		}
		if ev != want {
			t.Errorf("%q: %v", trailers, ev)
		}
	}
}

// TestChunkExtensionsOverLimit: the extensions of a body have one limit, not
// each its own.
func TestChunkExtensionsOverLimit(t *testing.T) {
	for _, test := range []struct{ body, want string }{
		{"1;" + strings.Repeat("e", maxExtensions-2) + "\r\nz\r\n0\r\n\r\n", "ok"},
		{"1;" + strings.Repeat("e", maxExtensions-1) + "\r\nz\r\n0\r\n\r\n", "chunk-extensions-too-large"},
		{"1;" + strings.Repeat("e", 1<<20), "chunk-extensions-too-large"},
		{strings.Repeat("1;eeee\r\nz\r\n", maxExtensions/6) + "0\r\n\r\n", "ok"},
		{strings.Repeat("1;eeee\r\nz\r\n", maxExtensions/6+1) + "0\r\n\r\n", "chunk-extensions-too-large"},
	} {
		if got := verdict(play(nil, []byte(chunkedHead+test.body))); got != test.want {
			t.Errorf("%q: %s", clip(test.body), got)
		}
	}
	// The next body has its own.
	body := chunkedHead + "1;" + strings.Repeat("e", maxExtensions-2) + "\r\nz\r\n0\r\n\r\n"
	if got := verdict(play(nil, []byte(body+body))); got != "ok" {
		t.Error(got)
	}
}

// TestChunkedCountsTowardsALimit: all calls but that of End add up to the bytes
// of the chunks with their framing, without the trailer section.
func TestChunkedCountsTowardsALimit(t *testing.T) {
	const chunks, trailers = "5;a=b\r\nhello\r\n3\r\nabc\r\n0\r\n", "X: y\r\n\r\n"
	in := []byte(chunkedHead + chunks + trailers)
	for size := 1; size <= len(in); size++ {
		p := newPlayer(nil)
		for from := 0; from < len(in); from += size {
			p.feed(in[from:min(from+size, len(in))])
		}
		if p.framing != len(chunks) || p.total != len(in) {
			t.Errorf("pieces of %d: %d bytes of body, %d in all, want %d and %d", size, p.framing, p.total, len(chunks), len(in))
		}
	}
}

// TestAChunkCostsOneCall: framing around the data does not need calls of its
// own.
func TestAChunkCostsOneCall(t *testing.T) {
	var c Conn
	var h Head
	c.Init(nil)
	in := []byte(chunkedHead + "5\r\nhello\r\n3\r\nabc\r\n0\r\n\r\n")
	n, _ := c.Next(in, &h)
	in = in[n:]
	for _, want := range []struct {
		n       int
		ev      Event
		content string
	}{
		{len("5\r\nhello\r\n3\r\n"), Content, "hello"},
		{len("abc\r\n0\r\n"), Content, "abc"},
		{2, End, ""},
	} {
		n, ev := c.Next(in, &h)
		if n != want.n || ev != want.ev || string(c.Content()) != want.content {
			t.Fatalf("got %d %v %q, want %v", n, ev, c.Content(), want)
		}
		in = in[n:]
	}
}
