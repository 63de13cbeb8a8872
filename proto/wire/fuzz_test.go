package wire

import (
	"bytes"
	"errors"
	"math/rand"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// addSamples adds the bytes of the samples and of the benchmark requests, and
// some generated messages, to a fuzz corpus; testdata/fuzz has what fuzzing came
// to from there.
func addSamples(f *testing.F, add func(in []byte)) {
	files, err := filepath.Glob("testdata/wire/*.txt")
	if err != nil {
		f.Fatal(err)
	}
	var t testing.T
	for _, file := range files {
		s := readSample(&t, file)
		if in := s.bytes(&t); len(in) < 4096 {
			add([]byte(in))
		}
	}
	for _, request := range []string{plaintextRequest, techEmpowerRequest, liveAspNetRequest, browserRequest} {
		add([]byte(request))
	}
	rnd := rand.New(rand.NewSource(7))
	for range 100 {
		add(Generate(rnd))
	}
}

// FuzzHead compares the one-pass parser with the scanner: they accept the same
// heads. What the parser gives must make sense: parts lie where they should,
// names and values are legal.
func FuzzHead(f *testing.F) {
	addSamples(f, func(in []byte) { f.Add(in) })
	f.Fuzz(func(t *testing.T, in []byte) {
		if len(in) == 0 || in[0] == '\r' {
			return
		}
		in = in[:len(in):len(in)]
		var fast, slow Conn
		var h Head
		fast.Init(&Limits{200, 500, 10})
		slow.Init(&Limits{200, 500, 10})
		n, r := fast.parseHead(in, &h)
		_, done, scanned := slow.scanHead(in)
		switch {
		case r == retry && done:
			t.Fatalf("the scanner accepts %q, the parser does not", in)
		case r != retry && (!done || scanned != ReasonNone):
			t.Fatalf("the parser accepts %q, the scanner does not: %v", in, scanned)
		case r == ReasonNone && n != int(slow.scan):
			t.Fatalf("the head of %q has %d bytes, or %d", in, n, slow.scan)
		}
		if r == ReasonNone {
			checkHead(t, in[:n], &h)
		}
	})
}

func checkHead(t *testing.T, in []byte, h *Head) {
	if !bytes.Equal(h.Raw, in) || !bytes.HasSuffix(in, []byte("\r\n\r\n")) {
		t.Fatalf("raw %q of %q", h.Raw, in)
	}
	line := string(h.Bytes(h.Method)) + " " + string(h.Bytes(h.Target)) + " " + h.Version.String() + "\r\n"
	if !strings.HasPrefix(string(in), line) || !ValidFieldName(h.Bytes(h.Method)) {
		t.Fatalf("line %q of %q", line, in)
	}
	target := string(h.Bytes(h.Path))
	if h.HasQuery {
		target += "?" + string(h.Bytes(h.Query))
	}
	switch h.Form {
	case AbsoluteForm:
		target = string(h.Bytes(h.Scheme)) + "://" + string(h.Bytes(h.Authority)) + target
	case AuthorityForm:
		target += string(h.Bytes(h.Authority))
	case AsteriskForm:
		target += "*"
	}
	if target != string(h.Bytes(h.Target)) {
		t.Fatalf("parts %q of target %q", target, h.Bytes(h.Target))
	}
	rest := in[len(line):]
	for _, field := range h.Fields {
		name, value := h.Bytes(field.Name), h.Bytes(field.Value)
		if !ValidFieldName(name) || !ValidFieldValue(value) || len(value) != len(trimBlanks(value)) {
			t.Fatalf("field %q: %q", name, value)
		}
		if field.ID != FieldUnknown && !strings.EqualFold(field.ID.Canonical(), string(name)) {
			t.Fatalf("field %q is known as %s", name, field.ID.Canonical())
		}
		at := bytes.Index(rest, []byte("\r\n"))
		lineName, lineValue, _ := bytes.Cut(rest[:at], []byte(":"))
		if !bytes.Equal(lineName, name) || !bytes.Equal(trimBlanks(lineValue), value) {
			t.Fatalf("line %q gives %q: %q", rest[:at], name, value)
		}
		rest = rest[at+2:]
	}
	if string(rest) != "\r\n" {
		t.Fatalf("%q is left of the fields", rest)
	}
	if host := h.Bytes(h.Host); len(host) > 0 && !validHost(host) {
		t.Fatalf("host %q", host)
	}
	if h.Framing.Kind == Length != (h.Framing.Length > 0) {
		t.Fatalf("framing %v", h.Framing)
	}
}

var (
	chunkLine   = regexp.MustCompile("^([0-9A-Fa-f]{1,16})(?:;" + extensionPattern + "(?:[ \t]*;" + extensionPattern + ")*)?\r\n")
	trailerLine = regexp.MustCompile("^" + tokenPattern + ":[^\x00-\x08\x0a-\x1f\x7f]*\r\n")
)

const (
	tokenPattern     = "[!#$%&'*+\\-.^_`|~0-9A-Za-z]+"
	quotedPattern    = "\"(?:[^\"\\\\\x00-\x08\x0a-\x1f\x7f]|\\\\[^\x00-\x08\x0a-\x1f\x7f])*\""
	extensionPattern = "[ \t]*" + tokenPattern + "(?:[ \t]*=[ \t]*(?:" + tokenPattern + "|" + quotedPattern + "))?"
)

// decodeChunked is the grammar of RFC 9112 section 7.1 in regular expressions.
// It returns the content and what is behind the body, or false for a body that
// is wrong or has no end.
func decodeChunked(in []byte) (content, rest []byte, ok bool) {
	// One byte a rune, so that classes of bytes are what they say.
	latin := func(b []byte) string {
		runes := make([]rune, len(b))
		for i, c := range b {
			runes[i] = rune(c)
		}
		return string(runes)
	}
	for {
		m := chunkLine.FindStringSubmatch(latin(in))
		if m == nil {
			return nil, nil, false
		}
		in = in[len([]rune(m[0])):]
		size, err := strconv.ParseInt(m[1], 16, 64)
		if err != nil {
			return nil, nil, false
		}
		if size == 0 {
			break
		}
		if size > int64(len(in))-2 || string(in[size:size+2]) != "\r\n" {
			return nil, nil, false
		}
		content = append(content, in[:size]...)
		in = in[size+2:]
	}
	for {
		if bytes.HasPrefix(in, []byte("\r\n")) {
			return content, in[2:], true
		}
		m := trailerLine.FindString(latin(in))
		if m == "" {
			return nil, nil, false
		}
		in = in[len([]rune(m)):]
	}
}

// FuzzChunk compares the decoder with the grammar, and with itself under
// another cut.
func FuzzChunk(f *testing.F) {
	add := func(in []byte) { f.Add(in, uint16(1)) }
	addSamples(f, func(in []byte) {
		if body, ok := bytes.CutPrefix(in, []byte(chunkedHead)); ok {
			add(body)
		}
	})
	for _, body := range []string{"0\r\n\r\n", "5;a=\"\\\"\" ; b = c\r\nhello\r\n0\r\nX: y\r\nTE: z\r\n\r\nG", "7fffffffffffffff\r\n"} {
		add([]byte(body))
	}
	f.Fuzz(func(t *testing.T, body []byte, step uint16) {
		if len(body) > 4096 {
			return // within the limits of extensions and fields, which the grammar does not know
		}
		in := append([]byte(chunkedHead), body...)
		whole := newPlayer(&Limits{-1, -1, -1})
		whole.feed(in)
		got, rest, done := strings.Cut(whole.finish(), "\nEnd\n")
		forbidden := strings.HasSuffix(got, "Failed 400 "+ReasonForbiddenTrailer.String()+"\n")
		content, behind, ok := decodeChunked(body)
		if ok != (done || forbidden) {
			t.Fatalf("%q: the grammar says %v, the decoder\n%s", body, ok, got)
		}
		if ok && !forbidden {
			want := describe(parse(t, chunkedHead))
			if len(content) > 0 {
				want += "Content " + strconv.Quote(string(content)) + "\n"
			}
			if !strings.HasPrefix(got+"\n", want) || rest != play(&Limits{-1, -1, -1}, behind) {
				t.Fatalf("%q: got\n%s\nwant\n%s", body, got, want)
			}
		}
		cut := newPlayer(&Limits{-1, -1, -1})
		size := 1 + int(step)%len(in)
		for from := 0; from < len(in); from += size {
			cut.feed(in[from:min(from+size, len(in))])
		}
		if again := cut.finish(); again != whole.log.String() {
			t.Fatalf("%q in pieces of %d: got\n%s\nwhole\n%s", body, size, again, whole.log.String())
		}
	})
}

// FuzzConn plays a connection whole, byte by byte and cut at random: the events
// are the same, and every error is the peer's.
func FuzzConn(f *testing.F) {
	addSamples(f, func(in []byte) { f.Add(in, int64(1)) })
	f.Fuzz(func(t *testing.T, in []byte, seed int64) {
		rnd := rand.New(rand.NewSource(seed))
		l := &Limits{40 + rnd.Intn(100), 60 + rnd.Intn(200), 2 + rnd.Intn(10)}
		whole := newPlayer(l)
		whole.feed(in)
		want := whole.finish()
		if whole.failed {
			var err error = whole.c.Err()
			var wireErr *Error
			if !errors.As(err, &wireErr) || wireErr != wireErr.Reason.Err() || wireErr.Status() < 400 {
				t.Fatalf("%q: %v", in, err)
			}
		} else if whole.total+len(whole.buf) != len(in) {
			t.Fatalf("%q: %d bytes consumed, %d kept", in, whole.total, len(whole.buf))
		}
		if got := play(l, in, everyByte(len(in))...); got != want {
			t.Fatalf("%q byte by byte\n%s\nwhole\n%s", in, got, want)
		}
		for range 4 {
			cuts := randomCuts(rnd, len(in))
			if got := play(l, in, cuts...); got != want {
				t.Fatalf("%q cut at %v\n%s\nwhole\n%s", in, cuts, got, want)
			}
		}
	})
}
