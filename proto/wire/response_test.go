package wire

import (
	"errors"
	"math/rand"
	"strings"
	"testing"
	"time"
)

func TestStatusLines(t *testing.T) {
	for _, test := range []struct {
		version Version
		code    int
		reason  string
		want    string
	}{
		{HTTP11, 200, "", "HTTP/1.1 200 OK\r\n"},
		{HTTP10, 200, "", "HTTP/1.0 200 OK\r\n"},
		{HTTP11, 404, "Nope", "HTTP/1.1 404 Nope\r\n"},
		{HTTP11, 511, "", "HTTP/1.1 511 Network Authentication Required\r\n"},
		{HTTP11, 299, "", "HTTP/1.1 299 \r\n"},
		{HTTP11, 999, "", "HTTP/1.1 999 \r\n"},
		{HTTP11, 999, "Odd\t\xe9", "HTTP/1.1 999 Odd\t\xe9\r\n"},
		{HTTP11, 200, "a\r\nSet-Cookie: x", "HTTP/1.1 200 OK\r\n"},
		{HTTP11, 999, "a\x00", "HTTP/1.1 999 \r\n"},
	} {
		if got := string(AppendStatusLine(nil, test.version, test.code, test.reason)); got != test.want {
			t.Errorf("%v: %q", test, got)
		}
	}
}

func TestAppendFields(t *testing.T) {
	got := AppendField(nil, "A", "b")
	got = AppendField(got, "C", []byte("d e"))
	got = AppendLengthField(got, 1<<40)
	if string(got) != "A: b\r\nC: d e\r\nContent-Length: 1099511627776\r\n" {
		t.Errorf("%q", got)
	}
}

func TestBodyAllowed(t *testing.T) {
	for code, want := range map[int]bool{100: false, 101: false, 199: false, 200: true, 204: false, 205: true, 304: false, 404: true} {
		if BodyAllowed(code) != want {
			t.Errorf("%d: %v", code, !want)
		}
	}
}

func TestAppendDate(t *testing.T) {
	if got := string(AppendDate(nil, time.Unix(784111777, 0))); got != "Sun, 06 Nov 1994 08:49:37 GMT" {
		t.Error(got)
	}
	const layout = "Mon, 02 Jan 2006 15:04:05 GMT"
	zone := time.FixedZone("X", 5*3600+1800)
	rnd := rand.New(rand.NewSource(4))
	for range 2000 {
		at := time.Unix(rnd.Int63n(253402300800), 0)
		if got, want := string(AppendDate(nil, at.In(zone))), at.UTC().Format(layout); got != want {
			t.Fatalf("%s, want %s", got, want)
		}
	}
}

func TestEncoderFraming(t *testing.T) {
	for _, test := range []struct {
		name     string
		framing  Framing
		discard  bool
		pieces   []string
		trailers string
		want     string
		err      error // of the first call that fails
	}{
		{name: "length", framing: Framing{Length, 5}, pieces: []string{"he", "", "llo"}, want: "hello"},
		{name: "length zero", framing: Framing{Length, 0}, want: ""},
		{name: "too much at once", framing: Framing{Length, 5}, pieces: []string{"hello!"}, err: ErrTooMuchContent},
		{name: "too much later", framing: Framing{Length, 5}, pieces: []string{"hello", "!"}, want: "hello", err: ErrTooMuchContent},
		{name: "too little", framing: Framing{Length, 5}, pieces: []string{"hell"}, want: "hell", err: ErrTooLittleContent},
		{name: "nothing of a length", framing: Framing{Length, 5}, err: ErrTooLittleContent},
		{name: "chunked", framing: Framing{Kind: Chunked}, pieces: []string{"hello", "", strings.Repeat("x", 26)},
			want: "5\r\nhello\r\n1a\r\n" + strings.Repeat("x", 26) + "\r\n0\r\n\r\n"},
		{name: "chunked, empty", framing: Framing{Kind: Chunked}, want: "0\r\n\r\n"},
		{name: "trailers", framing: Framing{Kind: Chunked}, pieces: []string{"a"}, trailers: "X: y\r\n", want: "1\r\na\r\n0\r\nX: y\r\n\r\n"},
		{name: "until close", framing: Framing{Kind: UntilClose}, pieces: []string{"a", "b"}, trailers: "X: y\r\n", want: "ab"},
		{name: "no body", framing: Framing{Kind: NoBody}, pieces: []string{""}, want: ""},
		{name: "no body, some content", framing: Framing{Kind: NoBody}, pieces: []string{"a"}, err: ErrTooMuchContent},
		{name: "HEAD, chunked", framing: Framing{Kind: Chunked}, discard: true, pieces: []string{"hello"}, want: ""},
		{name: "HEAD, length", framing: Framing{Length, 5}, discard: true, pieces: []string{"hello"}, want: ""},
		{name: "HEAD, nothing written", framing: Framing{Length, 5}, discard: true, want: ""},
		{name: "HEAD, too much", framing: Framing{Length, 5}, discard: true, pieces: []string{"hello!"}, err: ErrTooMuchContent},
	} {
		t.Run(test.name, func(t *testing.T) {
			var e Encoder
			e.Begin(test.framing, test.discard)
			var out []byte
			var first error
			note := func(err error) {
				if first == nil {
					first = err
				}
			}
			for _, piece := range test.pieces {
				var err error
				out, err = e.AppendContent(out, []byte(piece))
				note(err)
			}
			if first == nil {
				var err error
				out, err = e.AppendEnd(out, []byte(test.trailers))
				note(err)
			}
			if string(out) != test.want || first != test.err {
				t.Errorf("%q, %v", out, first)
			}
			var misuse *MisuseError
			if first != nil && !errors.As(first, &misuse) {
				t.Errorf("%T", first)
			}
		})
	}
}

// TestEncoderRefusesBeforeCounting: content that does not fit leaves room for
// content that does.
func TestEncoderRefusesBeforeCounting(t *testing.T) {
	var e Encoder
	if _, err := e.AppendContent(nil, []byte("x")); err != ErrTooMuchContent {
		t.Error("the zero value takes content")
	}
	e.Begin(Framing{Length, 3}, false)
	if err := e.Account(4); err != ErrTooMuchContent {
		t.Error(err)
	}
	if err := e.Account(3); err != nil {
		t.Error(err)
	}
	if _, err := e.AppendEnd(nil, nil); err != nil {
		t.Error(err)
	}
	e.Begin(Framing{Kind: Chunked}, false)
	if _, err := e.AppendEnd(nil, nil); err != nil {
		t.Error(err)
	}
	if err := e.Account(1); err != ErrTooMuchContent {
		t.Error("content behind the end")
	}
}

// TestEncoderAroundDirectWrites: the pieces around content that the caller
// sends by itself add up to the same bytes.
func TestEncoderAroundDirectWrites(t *testing.T) {
	for _, test := range []struct {
		framing Framing
		discard bool
		want    string
	}{
		{Framing{Kind: Chunked}, false, "ff\r\n*\r\n"},
		{Framing{Kind: Chunked}, true, "*"},
		{Framing{Length, 255}, false, "*"},
		{Framing{Kind: UntilClose}, false, "*"},
	} {
		var e Encoder
		e.Begin(test.framing, test.discard)
		if err := e.Account(255); err != nil {
			t.Fatal(err)
		}
		out := e.AppendChunkHead(nil, 255)
		out = e.AppendChunkTail(append(out, '*'))
		if string(out) != test.want || e.Discards() != test.discard || e.Kind() != test.framing.Kind {
			t.Errorf("%v: %q", test, out)
		}
		if got := e.AppendChunkHead(nil, 0); len(got) != 0 {
			t.Errorf("an empty chunk: %q", got)
		}
	}
}

func TestResponseNoAllocations(t *testing.T) {
	dst, piece, path := make([]byte, 0, 1024), []byte("hello"), []byte("/a%20b/../c")
	at := time.Unix(784111777, 0)
	var e Encoder
	allocs := testing.AllocsPerRun(100, func() {
		dst = AppendStatusLine(dst[:0], HTTP11, 200, "")
		dst = AppendStatusLine(dst, HTTP10, 404, "Nope")
		dst = AppendField(dst, "Content-Type", "text/plain")
		dst = AppendField(dst, "X", piece)
		dst = AppendLengthField(dst, 5)
		dst = AppendDate(dst, at)
		e.Begin(Framing{Kind: Chunked}, false)
		dst, _ = e.AppendContent(dst, piece)
		dst, _ = e.AppendEnd(dst, nil)
		dst, _ = AppendPath(dst, path)
	})
	if allocs != 0 {
		t.Errorf("%v allocations", allocs)
	}
}
