package wire

import (
	"bytes"
	"fmt"
	"math/rand"
	"strings"
	"testing"
)

// player feeds input to a Conn as a server would, keeping what Next has not
// consumed, and writes down what happened in a form that must not depend on
// how the input was cut: pieces of content are joined, counts are left out.
type player struct {
	c       Conn
	h       Head
	buf     []byte
	log     strings.Builder
	content []byte
	inBody  bool
	failed  bool
	total   int // bytes consumed
	framing int // bytes consumed in bodies, without trailer sections
}

func newPlayer(l *Limits) *player {
	p := &player{}
	p.c.Init(l)
	return p
}

// feed gives the next piece of input. Each call of Next gets a slice with
// cap == len, and if that is not too much to copy, one of its own, poisoned
// afterwards, so that reading behind the input or keeping a piece of it shows.
func (p *player) feed(piece []byte) {
	p.buf = append(p.buf, piece...)
	for !p.failed {
		in := p.buf[:len(p.buf):len(p.buf)]
		own := len(in) <= 4096
		if own {
			in = bytes.Clone(in)[:len(in):len(in)]
		}
		n, ev := p.c.Next(in, &p.h)
		p.event(n, ev, in)
		for i := 0; own && i < len(in); i++ {
			in[i] = 0xDB
		}
		p.total += n
		p.buf = p.buf[n:]
		if ev == NeedData {
			return
		}
	}
}

func (p *player) event(n int, ev Event, in []byte) {
	if n < 0 || n > len(in) {
		panic(fmt.Sprintf("%v consumed %d of %d bytes", ev, n, len(in)))
	}
	if ev != Content && p.c.Content() != nil {
		panic("content without a Content event")
	}
	switch ev {
	case NeedData:
		if p.inBody {
			p.framing += n
		}
	case Request:
		p.inBody = true
		p.log.WriteString(describe(&p.h))
		if p.c.BodyDone() != (p.h.Framing.Kind == NoBody) {
			panic("BodyDone behind a head")
		}
	case Content:
		p.framing += n
		p.content = append(p.content, p.c.Content()...)
		if n == 0 {
			panic("Content without progress")
		}
	case End:
		p.inBody = false
		p.flush()
		for _, f := range p.h.Trailers {
			fmt.Fprintf(&p.log, "  trailer %q: %q\n", p.trailer(f.Name), p.trailer(f.Value))
		}
		p.log.WriteString("End\n")
	case Failed:
		p.flush()
		p.failed = true
		if n != 0 {
			panic("Failed consumed something")
		}
		err := p.c.Err()
		fmt.Fprintf(&p.log, "Failed %d %s\n", err.Status(), err.Reason)
	}
}

func (p *player) trailer(s Span) []byte { return p.h.TrailerRaw[s.Off : s.Off+s.Len] }

func (p *player) flush() {
	if len(p.content) > 0 {
		fmt.Fprintf(&p.log, "Content %q\n", p.content)
		p.content = nil
	}
}

// finish adds what the end of the input means and returns the transcript.
func (p *player) finish() string {
	p.flush()
	if !p.failed {
		if err := p.c.EOF(); err != nil {
			fmt.Fprintf(&p.log, "EOF %s\n", err.Reason)
		}
	}
	return p.log.String()
}

// describe writes down a head: the line, what follows from it, the fields.
func describe(h *Head) string {
	var b strings.Builder
	fmt.Fprintf(&b, "Request %s %s %s\n", h.Bytes(h.Method), h.Bytes(h.Target), h.Version)
	fmt.Fprintf(&b, "  %s", h.Form)
	for _, part := range []struct {
		name string
		span Span
	}{{"scheme", h.Scheme}, {"authority", h.Authority}, {"path", h.Path}, {"host", h.Host}} {
		if part.span.Len > 0 {
			fmt.Fprintf(&b, " %s=%q", part.name, h.Bytes(part.span))
		}
	}
	if h.HasQuery {
		fmt.Fprintf(&b, " query=%q", h.Bytes(h.Query))
	}
	b.WriteString("\n ")
	switch h.Framing.Kind {
	case NoBody:
		b.WriteString(" no body")
	case Length:
		fmt.Fprintf(&b, " length %d", h.Framing.Length)
	case Chunked:
		b.WriteString(" chunked")
	default:
		panic("framing of a request")
	}
	for _, flag := range []struct {
		name string
		on   bool
	}{
		{"keep-alive", h.KeepAlive},
		{"close", h.ConnectionClose},
		{"expect-continue", h.ExpectContinue},
		{"expect-other", h.ExpectOther},
		{"upgrade", h.Upgrade},
	} {
		if flag.on {
			b.WriteString(", " + flag.name)
		}
	}
	b.WriteString("\n")
	for _, f := range h.Fields {
		fmt.Fprintf(&b, "  %q: %q", h.Bytes(f.Name), h.Bytes(f.Value))
		if f.ID != FieldUnknown {
			fmt.Fprintf(&b, " (%s)", f.ID.Canonical())
		}
		b.WriteString("\n")
	}
	return b.String()
}

// play returns the transcript of the input cut at the given offsets.
func play(l *Limits, in []byte, cuts ...int) string {
	p := newPlayer(l)
	from := 0
	for _, to := range cuts {
		p.feed(in[from:to])
		from = to
	}
	p.feed(in[from:])
	return p.finish()
}

func everyByte(n int) []int {
	cuts := make([]int, n)
	for i := range cuts {
		cuts[i] = i
	}
	return cuts
}

func randomCuts(rnd *rand.Rand, n int) []int {
	var cuts []int
	for at := rnd.Intn(n + 1); at < n; at += 1 + rnd.Intn(1+n/2) {
		cuts = append(cuts, at)
	}
	return cuts
}

// playAll plays the input whole, byte by byte, cut in two at every place, and
// in front of another request, and fails unless all agree. It returns the
// transcript.
func playAll(t *testing.T, l *Limits, input string) string {
	t.Helper()
	in := []byte(input)
	want := play(l, in)
	if got := play(l, in, everyByte(len(in))...); got != want {
		t.Fatalf("byte by byte\n%q\ngot\n%s\nwhole\n%s", input, got, want)
	}
	step := 1 + len(in)/1000
	for at := 0; at <= len(in); at += step {
		if got := play(l, in, at); got != want {
			t.Fatalf("cut at %d\n%q\ngot\n%s\nwhole\n%s", at, input, got, want)
		}
	}
	if strings.HasSuffix(want, "End\n") || want == "" {
		const tail = "GET /tail HTTP/1.1\r\nHost: t\r\n\r\n"
		behind := play(l, []byte(tail))
		if got := play(l, append(in[:len(in):len(in)], tail...)); got != want+behind {
			t.Fatalf("with a pipelined request\n%q\ngot\n%s\nwant\n%s", input, got, want+behind)
		}
	}
	return want
}

// verdict is the short form of a transcript for tables: "ok", "incomplete", or
// the name of the reason.
func verdict(transcript string) string {
	lines := strings.Split(strings.TrimSuffix(transcript, "\n"), "\n")
	last := lines[len(lines)-1]
	switch {
	case last == "End" || transcript == "":
		return "ok"
	case strings.HasPrefix(last, "Failed "):
		return strings.Fields(last)[2]
	}
	return strings.TrimPrefix(last, "EOF ")
}
