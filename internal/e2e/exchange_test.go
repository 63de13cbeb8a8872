package e2e

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/windhover-server/windhover"
	"github.com/windhover-server/windhover/proto"
)

var hello = app{
	handler: func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "hello") },
	native:  func(x *proto.Exchange) { x.Respond(200, "text/plain; charset=utf-8", []byte("hello")) },
}

// echo reads the whole body and answers with it; the path "/stream" answers
// while it reads.
var echo = app{
	handler: func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/stream" {
			rc := http.NewResponseController(w)
			if err := rc.EnableFullDuplex(); err != nil {
				panic(err)
			}
			io.Copy(w, r.Body)
			return
		}
		b, err := io.ReadAll(r.Body)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		w.Write(b)
	},
	native: func(x *proto.Exchange) {
		if string(x.Path()) == "/stream" {
			io.Copy(struct{ io.Writer }{x}, struct{ io.Reader }{x})
			return
		}
		b, err := io.ReadAll(x)
		if err != nil {
			x.SetStatus(http.StatusBadRequest)
			return
		}
		x.Write(b)
	},
}

func TestConnectionPersists(t *testing.T) {
	run(t, func(t *testing.T, m mode) {
		s := m.serve(t, hello)
		c := s.raw(t)
		for i := range 3 {
			c.send(get("/"))
			c.until("\r\n\r\nhello", i+1)
		}
		c.send(get("/", "Connection: close"))
		if got := c.ended(); strings.Count(got, "HTTP/1.1 200 OK\r\n") != 4 || strings.Count(got, "Connection: close\r\n") != 1 {
			t.Errorf("got %q", got)
		}
	})
}

func TestPipelinedRequestsAreAnsweredInOrder(t *testing.T) {
	const n = 300
	path := app{
		handler: func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, r.URL.Path) },
		native:  func(x *proto.Exchange) { x.Write(x.Path()) },
	}
	run(t, func(t *testing.T, m mode) {
		s := m.serve(t, path)
		var req, want strings.Builder
		for i := range n {
			req.WriteString(get(fmt.Sprintf("/%d", i)))
			fmt.Fprintf(&want, "/%d,", i)
		}
		c := s.raw(t)
		c.send(req.String() + get("/end", "Connection: close"))
		raw, got := c.ended(), ""
		for range n {
			var r parsed
			r, raw = parseResponse(raw, false)
			got += r.body + ","
		}
		if got != want.String() {
			t.Errorf("bodies %.200q", got)
		}
	})
}

// Bodies of all sizes, of known length and chunked, whole and while they come.
func TestBodiesComeBack(t *testing.T) {
	run(t, func(t *testing.T, m mode) {
		s := m.serve(t, echo)
		client := s.client()
		for _, size := range []int{0, 1, 4095, 4096, 70_000, 3_000_000} {
			body := bytes.Repeat([]byte("0123456789abcdef"), size/16+1)[:size]
			for _, path := range []string{"/", "/stream"} {
				for _, known := range []bool{true, false} {
					var r io.Reader = bytes.NewReader(body)
					if !known {
						r = io.MultiReader(r) // hides the length
					}
					resp, err := client.Post(s.url(path), "application/octet-stream", r)
					if err != nil {
						t.Fatalf("%d bytes to %s, known %v: %v", size, path, known, err)
					}
					got, err := io.ReadAll(resp.Body)
					resp.Body.Close()
					if err != nil || !bytes.Equal(got, body) {
						t.Fatalf("%d bytes to %s, known %v: %d came back, %v", size, path, known, len(got), err)
					}
				}
			}
		}
	})
}

func TestRequestsByteByByte(t *testing.T) {
	run(t, func(t *testing.T, m mode) {
		s := m.serve(t, echo)
		c := s.raw(t)
		for _, b := range request("POST", "/", "first") + "POST / HTTP/1.1\r\nHost: a\r\n" + chunked("sec", "ond") + get("/", "Connection: close") {
			c.send(string(b))
		}
		want := []string{"first", "second", ""}
		raw := c.ended()
		for _, w := range want {
			var r parsed
			if r, raw = parseResponse(raw, false); r.body != w {
				t.Errorf("body %q, want %q", r.body, w)
			}
		}
	})
}

func TestManyConnectionsAtOnce(t *testing.T) {
	run(t, func(t *testing.T, m mode) {
		s := m.serve(t, echo)
		client := s.client()
		client.Transport.(*http.Transport).MaxIdleConnsPerHost = 32
		var wg sync.WaitGroup
		for i := range 32 {
			wg.Go(func() {
				for k := range 20 {
					want := fmt.Sprintf("%d/%d", i, k)
					resp, err := client.Post(s.url("/"), "text/plain", strings.NewReader(want))
					if err != nil {
						t.Error(err)
						return
					}
					got, err := io.ReadAll(resp.Body)
					resp.Body.Close()
					if err != nil || string(got) != want {
						t.Errorf("%q came back as %q, %v", want, got, err)
						return
					}
				}
			})
		}
		wg.Wait()
	})
}

// A client that does not read costs nobody else anything, and gets everything
// once it reads.
func TestSlowReaderDisturbsNobody(t *testing.T) {
	const size = 8 << 20
	block := bytes.Repeat([]byte("x"), 32<<10)
	a := app{
		handler: func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/large" {
				for range size / len(block) {
					w.Write(block)
				}
			}
		},
		native: func(x *proto.Exchange) {
			if string(x.Path()) == "/large" {
				for range size / len(block) {
					x.Write(block)
				}
			}
		},
	}
	run(t, func(t *testing.T, m mode) {
		s := m.serve(t, a)
		slow := s.dial()
		defer slow.Close()
		io.WriteString(slow, get("/large", "Connection: close"))
		first := make([]byte, 1)
		if _, err := io.ReadFull(slow, first); err != nil {
			t.Fatal(err)
		}
		for range 4 {
			c := s.raw(t)
			c.send(get("/", "Connection: close"))
			c.ended()
		}
		rest, err := io.ReadAll(slow)
		if err != nil {
			t.Fatal(err)
		}
		if r, _ := parseResponse(string(first)+string(rest), false); len(r.body) != size || r.framing != "chunked" {
			t.Errorf("%s body of %d bytes", r.framing, len(r.body))
		}
	})
}

// Handlers that block stop nobody, however many there are.
func TestBlockedHandlersDisturbNobody(t *testing.T) {
	run(t, func(t *testing.T, m mode) {
		a, entered, leave := gated("/gated")
		s := m.serve(t, a)
		var blocked []*rawClient
		for range 16 {
			c := s.raw(t)
			c.send(get("/gated", "Connection: close"))
			blocked = append(blocked, c)
		}
		for range 16 {
			await(t, "the handlers to run", entered)
		}
		for range 8 {
			c := s.raw(t)
			c.send(get("/", "Connection: close"))
			c.ended()
		}
		close(leave)
		for _, c := range blocked {
			if got := c.ended(); !strings.HasSuffix(got, "finished") {
				t.Errorf("got %q", got)
			}
		}
	})
}

// The answer to a request that is refused reaches a client that is still
// sending: the connection is closed in stages (RFC 9112 section 9.6).
func TestRefusalReachesClientThatGoesOnSending(t *testing.T) {
	run(t, func(t *testing.T, m mode) {
		s := m.serve(t, hello)
		c := s.raw(t)
		c.send("GET / HTTP/1.1\r\nHost: a\r\nBad Field: x\r\n\r\n" + strings.Repeat("x", 256<<10))
		if got := c.ended(); !strings.HasPrefix(got, "HTTP/1.1 400 Bad Request\r\n") {
			t.Errorf("got %q", got)
		}
	})
}

func TestHalfClosedClientGetsItsAnswer(t *testing.T) {
	run(t, func(t *testing.T, m mode) {
		s := m.serve(t, echo)
		c := s.raw(t)
		c.send(request("POST", "/", "hello") + get("/"))
		c.halfClose()
		got := normalize(c.ended())
		if strings.Count(got, "HTTP/1.1 200 OK") != 2 || !strings.Contains(got, `length "hello"`) {
			t.Errorf("got %s", got)
		}
	})
}

func TestBodyLimitIsPerRequest(t *testing.T) {
	a := app{
		handler: func(w http.ResponseWriter, r *http.Request) {
			if _, err := io.Copy(io.Discard, r.Body); err != nil {
				w.WriteHeader(http.StatusRequestEntityTooLarge)
			}
		},
		native: func(x *proto.Exchange) {
			if string(x.Path()) == "/large" {
				x.SetMaxBodySize(-1)
			}
			if _, err := io.Copy(io.Discard, x); err != nil {
				x.SetStatus(http.StatusRequestEntityTooLarge)
			}
		},
	}
	limit := func(s *windhover.Server) { s.Limits.MaxRequestBodySize = 100 }
	run(t, func(t *testing.T, m mode) {
		s := m.serve(t, a, limit)
		for _, tt := range []struct {
			path   string
			size   int
			status string
		}{{"/", 100, "200"}, {"/", 101, "413"}, {"/large", 101, "200"}} {
			if tt.path == "/large" && !s.native {
				continue // net/http's handlers have MaxBytesReader
			}
			c := s.raw(t)
			c.send(request("POST", tt.path, strings.Repeat("x", tt.size), "Connection: close"))
			if got := c.ended(); !strings.HasPrefix(got, "HTTP/1.1 "+tt.status) {
				t.Errorf("%d bytes to %s: %.40q", tt.size, tt.path, got)
			}
		}
	})
}

// A body limit of None refuses every body. (Kestrel's 0.)
func TestNoBodyIsAllowed(t *testing.T) {
	none := func(s *windhover.Server) { s.Limits.MaxRequestBodySize = proto.None }
	read := func(r io.Reader) string {
		b, err := io.ReadAll(r)
		var tooLarge *http.MaxBytesError
		return fmt.Sprintf("%d bytes, too large: %t", len(b), errors.As(err, &tooLarge))
	}
	run(t, func(t *testing.T, m mode) {
		s := m.serve(t, app{
			handler: func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, read(r.Body)) },
			native:  func(x *proto.Exchange) { x.Go(func(x *proto.Exchange) { x.WriteString(read(x)) }) },
		}, none)
		for _, tt := range []struct{ request, want string }{
			{get("/", "Connection: close"), "0 bytes, too large: false"},
			{request("POST", "/", "x"), "0 bytes, too large: true"},
			{"POST / HTTP/1.1\r\nHost: a\r\n" + chunked("x"), "0 bytes, too large: true"},
		} {
			c := s.raw(t)
			c.send(tt.request)
			if got := c.ended(); !strings.HasSuffix(got, tt.want) {
				t.Errorf("%.20q: got %q, want in it %q", tt.request, got, tt.want)
			}
		}
	})
}
