package wire

import (
	"errors"
	"reflect"
	"strings"
	"testing"
)

func TestConnIsSmall(t *testing.T) {
	if n := reflect.TypeFor[Conn]().Size(); n > 96 {
		t.Errorf("a Conn has %d bytes", n)
	}
}

// TestEventsOfAPipeline follows every call: what it consumes, what it reports,
// and what the Conn says about itself in between.
func TestEventsOfAPipeline(t *testing.T) {
	in := []byte("\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n" +
		"POST /b HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc" +
		"POST /c HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nX: y\r\n\r\n")
	type state struct {
		n         int
		ev        Event
		content   string
		done      bool
		remaining int64
	}
	var c Conn
	var h Head
	c.Init(nil)
	for i, want := range []state{
		{29, Request, "", true, 0},
		{0, End, "", true, 0},
		{48, Request, "", false, 3},
		{3, Content, "abc", true, 0},
		{0, End, "", true, 0},
		{57, Request, "", false, -1},
		{11, Content, "abc", false, -1},
		{8, End, "", true, 0},
		{0, NeedData, "", true, 0},
	} {
		n, ev := c.Next(in, &h)
		in = in[n:]
		got := state{n, ev, string(c.Content()), c.BodyDone(), c.RemainingContent()}
		if got != want {
			t.Fatalf("call %d: got %v, want %v", i, got, want)
		}
		if c.MidMessage() {
			t.Errorf("call %d: in the middle of a head", i)
		}
	}
	if len(in) != 0 {
		t.Errorf("%q is left", in)
	}
}

func TestSkipEnd(t *testing.T) {
	var c Conn
	var h Head
	c.Init(nil)
	in := []byte("GET / HTTP/1.1\r\nHost: a\r\n\r\nGET /b HTTP/1.1\r\nHost: a\r\n\r\n")
	n, _ := c.Next(in, &h)
	c.SkipEnd()
	if _, ev := c.Next(in[n:], &h); ev != Request || string(h.Bytes(h.Path)) != "/b" {
		t.Error(ev)
	}
	// Not due: nothing is skipped.
	c.Init(nil)
	in = []byte("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx")
	n, _ = c.Next(in, &h)
	c.SkipEnd()
	if _, ev := c.Next(in[n:], &h); ev != Content {
		t.Error(ev)
	}
}

func TestMidMessage(t *testing.T) {
	for input, want := range map[string]bool{
		"":                                  false,
		"\r":                                false,
		"\r\n":                              false,
		"\r\n\r":                            false,
		"G":                                 true,
		"\r\nG":                             true,
		"GET / HTTP/1.1\r\nHost: a\r\n":     true,
		"GET / HTTP/1.1\r\nHost: a\r\n\r\n": false,
		"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nx": false,
	} {
		p := newPlayer(nil)
		p.feed([]byte(input))
		if p.c.MidMessage() != want {
			t.Errorf("%q: %v", input, !want)
		}
	}
}

func TestEOF(t *testing.T) {
	const length = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n"
	for input, want := range map[string]Reason{
		"":                              ReasonNone,
		"\r\n":                          ReasonNone,
		"\r":                            ReasonIncompleteHead,
		"G":                             ReasonIncompleteHead,
		plaintextRequest:                ReasonNone,
		length:                          ReasonIncompleteContent,
		length + "x":                    ReasonIncompleteContent,
		length + "xy":                   ReasonNone,
		chunkedHead:                     ReasonIncompleteContent,
		chunkedHead + "1":               ReasonIncompleteContent,
		chunkedHead + "1\r\nz\r\n0\r\n": ReasonIncompleteContent,
		chunkedHead + "0\r\nX: y\r\n":   ReasonIncompleteContent,
		chunkedHead + "0\r\n\r\n":       ReasonNone,
		"?":                             ReasonInvalidRequestLine,
	} {
		p := newPlayer(nil)
		p.feed([]byte(input))
		if got := p.c.EOF(); got != want.Err() {
			t.Errorf("%q: %v", input, got)
		}
	}
	// A request without a body is whole before its End event.
	var c Conn
	c.Init(nil)
	c.Next([]byte(plaintextRequest), new(Head))
	if c.EOF() != nil {
		t.Error(c.EOF())
	}
}

func TestSkipContent(t *testing.T) {
	var c Conn
	var h Head
	c.Init(nil)
	in := []byte("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nabc")
	n, _ := c.Next(in, &h)
	c.Next(in[n:], &h)
	c.SkipContent(0)
	c.SkipContent(4)
	if c.RemainingContent() != 3 || c.BodyDone() {
		t.Fatal(c.RemainingContent())
	}
	for _, n := range []int64{4, -1} {
		func() {
			defer func() {
				var misuse *MisuseError
				if err, ok := recover().(error); !ok || !errors.As(err, &misuse) {
					t.Errorf("skipping %d: %v", n, err)
				}
			}()
			c.SkipContent(n)
		}()
	}
	c.SkipContent(3)
	if !c.BodyDone() {
		t.Error("the body is not done")
	}
	if n, ev := c.Next([]byte("GET"), &h); n != 0 || ev != End {
		t.Error(n, ev)
	}
}

func TestFailedIsForEver(t *testing.T) {
	var c Conn
	var h Head
	c.Init(nil)
	if c.Err() != nil {
		t.Error(c.Err())
	}
	for range 3 {
		if n, ev := c.Next([]byte("GET / HTTP/1.1\r\n\r\n"), &h); n != 0 || ev != Failed {
			t.Fatal(n, ev)
		}
		if !errors.Is(c.Err(), ReasonMissingHost.Err()) || c.Err().Status() != 400 || c.BodyDone() || c.RemainingContent() != 0 {
			t.Error(c.Err())
		}
	}
	c.Init(nil)
	if _, ev := c.Next([]byte(plaintextRequest), &h); ev != Request || c.Err() != nil {
		t.Error(ev)
	}
}

// TestContentIsLent: no copy is made of a body.
func TestContentIsLent(t *testing.T) {
	var c Conn
	var h Head
	c.Init(nil)
	head := "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\n"
	in := []byte(head + "abcGET")
	n, _ := c.Next(in, &h)
	if &h.Raw[0] != &in[0] || cap(h.Raw) != n {
		t.Error("the head is a copy, or reaches behind itself")
	}
	c.Next(in[n:], &h)
	if got := c.Content(); &got[0] != &in[n] || len(got) != 3 || cap(got) != 3 {
		t.Errorf("%q", got)
	}
	c.Next(nil, &h)
	if c.Content() != nil {
		t.Error("the content outlives its event")
	}
}

// TestAnUnfinishedHeadIsReadOnce: however slowly a head comes, the scanner does
// not start again. The head has no end, so only the scanner looks at it.
func TestAnUnfinishedHeadIsReadOnce(t *testing.T) {
	var c Conn
	var h Head
	c.Init(&Limits{FieldSection: -1})
	in := []byte("GET / HTTP/1.1\r\nX: " + strings.Repeat("a", 1<<16))
	for n := range in {
		if _, ev := c.Next(in[:n], &h); ev != NeedData {
			t.Fatal(ev, c.Err())
		}
		if int(c.scan) != n {
			t.Fatalf("after %d bytes the scanner stands at %d", n, c.scan)
		}
	}
}

func TestEventNames(t *testing.T) {
	var names []string
	for ev := NeedData; ev <= Failed+1; ev++ {
		names = append(names, ev.String())
	}
	if got := strings.Join(names, " "); got != "NeedData Request Content End Failed Event(?)" {
		t.Error(got)
	}
	if HTTP10.String()+HTTP11.String() != "HTTP/1.0HTTP/1.1" {
		t.Error("versions")
	}
}

// TestNoAllocations: nothing is allocated for a request with up to 32 field
// lines, whole or in pieces, with a body of either kind, and for a refusal.
func TestNoAllocations(t *testing.T) {
	many := "GET / HTTP/1.1\r\nHost: a\r\n" + strings.Repeat("X-Some: thing\r\n", 31) + "\r\n"
	length := "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\nabc"
	chunked := chunkedHead + "3;a=\"b\"\r\nabc\r\n0\r\nX: y\r\n\r\n"
	absolute := "GET http://A.test:80/x?y HTTP/1.1\r\nhost: a.test\r\nConnection: a, upgrade\r\nUpgrade: x\r\n\r\n"
	var h Head
	for _, request := range []string{
		plaintextRequest, techEmpowerRequest, browserRequest, many, length, chunked, absolute,
		"GET / HTTP/1.1\r\n\r\n", "?",
	} {
		in := []byte(request)
		for _, step := range []int{len(in), 7, 1} {
			var c Conn
			allocs := testing.AllocsPerRun(20, func() {
				c.Init(nil)
				from := 0
				for to := 0; to < len(in); {
					to = min(to+step, len(in))
					for {
						n, ev := c.Next(in[from:to], &h)
						from += n
						if ev == NeedData {
							break
						}
						if ev == Failed {
							return
						}
					}
				}
			})
			if allocs != 0 {
				t.Errorf("%q in steps of %d: %v allocations", clip(request), step, allocs)
			}
		}
	}
}
