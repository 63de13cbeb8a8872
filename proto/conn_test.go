package proto

import (
	"fmt"
	"io"
	"net/http"
	"reflect"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/windhover-server/windhover/listen"
)

const date = "Date: Sat, 01 Jan 2000 00:00:00 GMT\r\n" // where a synctest bubble begins

func handlers() map[string]*Service {
	mux := http.NewServeMux()
	mux.HandleFunc("/hello", func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "Hello World!") })
	mux.HandleFunc("/echo", func(w http.ResponseWriter, r *http.Request) {
		b, err := io.ReadAll(r.Body)
		fmt.Fprintf(w, "%d %q %v", len(b), b, err)
	})
	mux.HandleFunc("/big", func(w http.ResponseWriter, _ *http.Request) {
		for range 3 {
			w.Write([]byte(strings.Repeat("x", 1500)))
		}
	})
	mux.HandleFunc("/trailer", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Trailer", "X-Sum")
		io.WriteString(w, "body")
		w.Header().Set("X-Sum", "1")
	})
	mux.HandleFunc("/noread", func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "ok") })
	mux.HandleFunc("/panic", func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })
	mux.HandleFunc("/early", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Link", "</s.css>")
		w.WriteHeader(103)
		w.WriteHeader(204)
	})
	return map[string]*Service{"http": {Handler: mux, ServerHeader: "-"}}
}

func TestResponsesOnTheWire(t *testing.T) {
	tests := []struct {
		name, in, want string
		verdict        listen.Verdict
	}{
		{
			"implicit length and sniffed type", "GET /hello HTTP/1.1\r\nHost: a\r\n\r\n",
			"HTTP/1.1 200 OK\r\n" + date + "Content-Length: 12\r\nContent-Type: text/plain; charset=utf-8\r\n\r\nHello World!", listen.Wait,
		},
		{
			"HTTP/1.0 closes", "GET /hello HTTP/1.0\r\n\r\n",
			"HTTP/1.0 200 OK\r\n" + date + "Content-Length: 12\r\nContent-Type: text/plain; charset=utf-8\r\n\r\nHello World!", listen.Close,
		},
		{
			"HTTP/1.0 keep-alive", "GET /hello HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
			"HTTP/1.0 200 OK\r\n" + date + "Content-Length: 12\r\nContent-Type: text/plain; charset=utf-8\r\nConnection: keep-alive\r\n\r\nHello World!", listen.Wait,
		},
		{
			"HEAD keeps the length", "HEAD /hello HTTP/1.1\r\nHost: a\r\n\r\n",
			"HTTP/1.1 200 OK\r\n" + date + "Content-Length: 12\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n", listen.Wait,
		},
		{
			"long content is chunked", "GET /big HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
			"HTTP/1.1 200 OK\r\n" + date + "Content-Type: text/plain; charset=utf-8\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n" +
				"bb8\r\n" + strings.Repeat("x", 3000) + "\r\n5dc\r\n" + strings.Repeat("x", 1500) + "\r\n0\r\n\r\n", listen.Finish,
		},
		{
			"announced trailers", "GET /trailer HTTP/1.1\r\nHost: a\r\n\r\n",
			"HTTP/1.1 200 OK\r\nTrailer: X-Sum\r\n" + date + "Content-Type: text/plain; charset=utf-8\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\nX-Sum: 1\r\n\r\n", listen.Wait,
		},
		{
			"body of known length", "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello",
			"HTTP/1.1 200 OK\r\n" + date + "Content-Length: 15\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n5 \"hello\" <nil>", listen.Wait,
		},
		{
			"chunked body", "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n",
			"HTTP/1.1 200 OK\r\n" + date + "Content-Length: 15\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n5 \"hello\" <nil>", listen.Wait,
		},
		{
			"interim response", "GET /early HTTP/1.1\r\nHost: a\r\n\r\n",
			"HTTP/1.1 103 Early Hints\r\nLink: </s.css>\r\n\r\nHTTP/1.1 204 No Content\r\nLink: </s.css>\r\n" + date + "\r\n", listen.Wait,
		},
		{
			"no interim response to HTTP/1.0", "GET /early HTTP/1.0\r\n\r\n",
			"HTTP/1.0 204 No Content\r\nLink: </s.css>\r\n" + date + "\r\n", listen.Close,
		},
		{"abort", "GET /panic HTTP/1.1\r\nHost: a\r\n\r\n", "", listen.Close},
		{
			"malformed", "GET / HTTP/1.1\r\nHost : a\r\n\r\n",
			"HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\nConnection: close\r\n" + date +
				"Content-Length: 56\r\n\r\n400 Bad Request: whitespace between field name and colon", listen.Close,
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				got, v := play(t, handlers()["http"], tt.in)
				if got != tt.want || v != tt.verdict {
					t.Errorf("whole:\n got %q %v\nwant %q %v", got, v, tt.want, tt.verdict)
				}
			})
		})
	}
}

// split plays tests at every cut; the output must not depend on it.
func TestInputSplitAnywhere(t *testing.T) {
	inputs := []string{
		"GET /hello HTTP/1.1\r\nHost: a\r\n\r\nPOST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n",
		"\r\nGET /hello HTTP/1.1\r\nHost: a\r\nX-Long: " + strings.Repeat("v", 300) + "\r\n\r\nGET /hello HTTP/1.1\r\nHost: a\r\n\r\n",
		"GET /hello HTTP/1.1\r\nHost : a\r\n\r\n",
	}
	for _, in := range inputs {
		synctest.Test(t, func(t *testing.T) {
			want, wv := play(t, handlers()["http"], in)
			for cut := 1; cut < len(in); cut++ {
				if got, v := play(t, handlers()["http"], in, cut); got != want || v != wv {
					t.Fatalf("cut at %d:\n got %q %v\nwant %q %v", cut, got, v, want, wv)
				}
			}
			var all []int
			for cut := 1; cut < len(in); cut++ {
				all = append(all, cut)
			}
			if got, v := play(t, handlers()["http"], in, all...); got != want || v != wv {
				t.Fatalf("byte by byte:\n got %q %v\nwant %q %v", got, v, want, wv)
			}
		})
	}
}

// TestBodyArrivesWhileHandlerReads cuts requests with bodies: what is not in
// the first piece comes by Link.Read.
func TestBodyArrivesWhileHandlerReads(t *testing.T) {
	inputs := []string{
		"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhelloGET /hello HTTP/1.1\r\nHost: a\r\n\r\n",
		"POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n2;x=y\r\nlo\r\n0\r\nA: b\r\n\r\nGET /hello HTTP/1.1\r\nHost: a\r\n\r\n",
		"POST /noread HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhelloGET /hello HTTP/1.1\r\nHost: a\r\n\r\n",
		"POST /noread HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n0\r\n\r\nGET /hello HTTP/1.1\r\nHost: a\r\n\r\n",
	}
	for _, in := range inputs {
		synctest.Test(t, func(t *testing.T) {
			want, _ := play(t, handlers()["http"], in)
			if strings.Count(want, "HTTP/1.1 200 OK") != 2 {
				t.Fatalf("whole: %q", want)
			}
			head := strings.Index(in, "\r\n\r\n") + 4
			for cut := head; cut < len(in); cut++ {
				for step := range 2 {
					c, l := open(t, handlers()["http"])
					rest := in[cut:]
					if step == 0 {
						l.more = [][]byte{[]byte(rest)}
					} else {
						for i := range rest {
							l.more = append(l.more, []byte{rest[i]})
						}
					}
					v := c.Data([]byte(in[:cut]))
					for v == listen.Wait && len(l.more) > 0 {
						p := l.more[0]
						l.more = l.more[1:]
						v = c.Data(p)
					}
					if got := string(l.out); got != want || v != listen.Wait {
						t.Fatalf("cut at %d, step %d:\n got %q %v\nwant %q", cut, step, got, v, want)
					}
				}
			}
		})
	}
}

const benchRequest = "GET /hello?q=1 HTTP/1.1\r\nHost: localhost:8080\r\nUser-Agent: Mozilla/5.0 (X11; Linux x86_64)\r\nAccept: text/html,application/xhtml+xml\r\n" +
	"Accept-Language: en-US,en;q=0.5\r\nAccept-Encoding: gzip, deflate, br\r\nCookie: session=0123456789abcdef\r\nCache-Control: no-cache\r\nConnection: keep-alive\r\n\r\n"

var plainText = []byte("Hello, World!")

func nativeHello(x *Exchange) { x.Respond(200, "text/plain", plainText) }

// An idle connection's memory is mostly its Conn, whose last bytes must not
// cross the border of Go's next size class.
func TestSizeOfAConnection(t *testing.T) {
	if size := reflect.TypeFor[Conn]().Size(); size > 240 {
		t.Errorf("%d bytes", size)
	}
}

// TestAllocationsPerRequest pins the allocations of a keep-alive GET with 8
// field lines.
func TestAllocationsPerRequest(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	hello := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.Write(plainText) })
	for _, tt := range []struct {
		name string
		svc  *Service
		max  float64
	}{
		{"native", &Service{Native: HandlerFunc(nativeHello)}, 0},
		{"http.Handler", &Service{Handler: hello}, 3},
	} {
		c, l := open(t, tt.svc)
		in := []byte(benchRequest)
		pipelined := []byte(strings.Repeat(benchRequest, 4))
		if got := testing.AllocsPerRun(200, func() { l.out = l.out[:0]; c.Data(in) }); got > tt.max {
			t.Errorf("%s: %v allocations, want at most %v", tt.name, got, tt.max)
		}
		if got := testing.AllocsPerRun(200, func() { l.out = l.out[:0]; c.Data(pipelined) }) / 4; got > tt.max {
			t.Errorf("%s pipelined: %v allocations, want at most %v", tt.name, got, tt.max)
		}
	}
}

func BenchmarkGet(b *testing.B) {
	hello := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.Write(plainText) })
	typed := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain")
		w.Write(plainText)
	})
	for _, bb := range []struct {
		name string
		svc  *Service
	}{
		{"native", &Service{Native: HandlerFunc(nativeHello)}},
		{"handler", &Service{Handler: hello}},
		{"handler-typed", &Service{Handler: typed}},
	} {
		b.Run(bb.name, func(b *testing.B) {
			c, l := open(b, bb.svc)
			in := []byte(benchRequest)
			b.ReportAllocs()
			for b.Loop() {
				l.out = l.out[:0]
				c.Data(in)
			}
		})
	}
}
