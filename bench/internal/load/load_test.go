package load

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

const hello = "Hello, World!"

func handler(t *testing.T) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, hello) })
	mux.HandleFunc("/echo", func(w http.ResponseWriter, r *http.Request) {
		b, err := io.ReadAll(r.Body)
		if err != nil {
			t.Errorf("reading the body: %v", err)
		}
		w.Header().Set("Content-Length", fmt.Sprint(len(b)))
		w.Write(b)
	})
	mux.HandleFunc("/large", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", "1000000")
		w.Write(make([]byte, 1000000))
	})
	mux.HandleFunc("/upgrade", upgrade)
	return mux
}

func upgrade(w http.ResponseWriter, r *http.Request) {
	c, rw, err := http.NewResponseController(w).Hijack()
	if err != nil {
		panic(err)
	}
	defer c.Close()
	io.WriteString(c, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")
	io.Copy(c, rw)
}

func get(path string) []byte {
	return []byte("GET " + path + " HTTP/1.1\r\nHost: test\r\n\r\n")
}

func post(path, body string) []byte {
	return fmt.Appendf(nil, "POST %s HTTP/1.1\r\nHost: test\r\nContent-Length: %d\r\n\r\n%s", path, len(body), body)
}

// engines runs f on every engine that can put plain load.
func engines(t *testing.T, f func(t *testing.T, run func(context.Context, *Spec) (*Result, error))) {
	t.Run("epoll", func(t *testing.T) {
		if !haveEpoll {
			t.Skip("no epoll on this system")
		}
		f(t, runEpoll)
	})
	t.Run("net", func(t *testing.T) { f(t, runNet) })
}

func TestEveryResponseIsCountedWithoutErrors(t *testing.T) {
	large := strings.Repeat("x", 64<<10)
	cases := []struct {
		name string
		spec Spec
	}{
		{"closed", Spec{Conns: 8, Request: get("/"), Length: 13}},
		{"two threads", Spec{Conns: 7, Threads: 2, Request: get("/"), Length: 13}},
		{"pipelined", Spec{Conns: 4, Depth: 16, Request: get("/"), Length: 13}},
		{"echo 64 KiB", Spec{Conns: 4, Request: post("/echo", large), Length: 64 << 10}},
		{"download 1 MB", Spec{Conns: 2, Request: get("/large"), Length: 1000000}},
		{"churn", Spec{Mode: Churn, Conns: 4, Length: 13,
			Request: []byte("GET / HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n")}},
		{"open", Spec{Mode: Open, Rate: 2000, Conns: 4, Request: get("/"), Length: 13}},
		{"upgrade", Spec{Conns: 4, Request: []byte("a message"),
			Upgrade: []byte("GET /upgrade HTTP/1.1\r\nHost: test\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")}},
	}
	engines(t, func(t *testing.T, run func(context.Context, *Spec) (*Result, error)) {
		srv := httptest.NewServer(handler(t))
		defer srv.Close()
		for _, c := range cases {
			t.Run(c.name, func(t *testing.T) {
				spec := c.spec
				spec.Addr, spec.Status = srv.Listener.Addr().String(), 200
				spec.Warmup, spec.Duration = 20*time.Millisecond, 100*time.Millisecond
				var edges []bool
				spec.Edge = func(open bool) { edges = append(edges, open) }
				if err := spec.complete(); err != nil {
					t.Fatal(err)
				}
				res, err := run(t.Context(), &spec)
				if err != nil {
					t.Fatal(err)
				}
				if res.Errors != 0 || res.Requests == 0 {
					t.Errorf("%d responses, %d errors, the first: %v", res.Requests, res.Errors, res.First)
				}
				if n := res.Latency.TotalCount(); n != res.Requests {
					t.Errorf("%d latencies for %d responses", n, res.Requests)
				}
				if len(edges) != 2 || !edges[0] || edges[1] {
					t.Errorf("Edge was called with %v", edges)
				}
				if spec.Mode == Open && res.Requests != 200 {
					t.Errorf("%d arrivals of 2000/s in 100 ms", res.Requests)
				}
			})
		}
	})
}

func TestTLSKeepAliveAndHandshakes(t *testing.T) {
	srv := httptest.NewTLSServer(handler(t))
	defer srv.Close()
	for _, mode := range []Mode{Closed, Churn} {
		req := get("/")
		if mode == Churn {
			req = []byte("GET / HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n")
		}
		res, err := Run(t.Context(), Spec{
			Addr: srv.Listener.Addr().String(), Mode: mode, Conns: 2, Request: req, Status: 200, Length: 13,
			TLS: &tls.Config{InsecureSkipVerify: true}, Duration: 150 * time.Millisecond,
		})
		if err != nil {
			t.Fatal(err)
		}
		if res.Errors != 0 || res.Requests == 0 {
			t.Errorf("mode %d: %d responses, %d errors, the first: %v", mode, res.Requests, res.Errors, res.First)
		}
	}
}

// rawServer answers each connection with what answer writes.
func rawServer(t *testing.T, answer func(net.Conn)) string {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				answer(c)
			}()
		}
	}()
	return ln.Addr().String()
}

func TestWrongAnswersAreErrors(t *testing.T) {
	const ok = "HTTP/1.1 200 OK\r\nContent-Length: 13\r\n\r\nHello, World!"
	say := func(text string) func(net.Conn) {
		return func(c net.Conn) {
			c.Read(make([]byte, 4096))
			io.WriteString(c, text)
		}
	}
	cases := []struct {
		name   string
		answer func(net.Conn)
		is     error
		text   string
	}{
		{"another status", say("HTTP/1.1 404 Not Found\r\nContent-Length: 13\r\n\r\nHello, World!"), nil, "status 404"},
		{"another length", say("HTTP/1.1 200 OK\r\nContent-Length: 12\r\n\r\nHello World!"), nil, "Content-Length 12"},
		{"no length", say("HTTP/1.1 200 OK\r\n\r\nHello, World!"), nil, "Content-Length -1"},
		{"not HTTP/1.1", say("HTTP/1.0 200 OK\r\n\r\n"), nil, "starts"},
		{"half a body, then close", say(ok[:len(ok)-4]), ErrEarlyClose, ""},
		{"close without a word", say(""), ErrEarlyClose, ""},
		{"more than asked", say(ok + "HTTP/1.1"), ErrUnasked, ""},
	}
	engines(t, func(t *testing.T, run func(context.Context, *Spec) (*Result, error)) {
		for _, c := range cases {
			t.Run(c.name, func(t *testing.T) {
				spec := Spec{Addr: rawServer(t, c.answer), Conns: 1, Request: get("/"), Status: 200,
					Length: 13, Duration: 2 * time.Second}
				if err := spec.complete(); err != nil {
					t.Fatal(err)
				}
				res, err := run(t.Context(), &spec)
				if err != nil {
					t.Fatal(err)
				}
				if res.Errors == 0 {
					t.Fatal("no error counted")
				}
				if c.is != nil && !errors.Is(res.First, c.is) || c.text != "" && !strings.Contains(res.First.Error(), c.text) {
					t.Errorf("error %q", res.First)
				}
			})
		}
	})
}

func TestKeptConnectionThatShouldCloseIsAnError(t *testing.T) {
	addr := rawServer(t, func(c net.Conn) {
		c.Read(make([]byte, 4096))
		io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
		c.Read(make([]byte, 1)) // until the client closes
	})
	res, err := Run(t.Context(), Spec{Addr: addr, Mode: Churn, Conns: 1, Request: get("/"), Status: 200,
		Length: 0, Duration: 10 * time.Millisecond, Drain: 50 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	if !errors.Is(res.First, ErrUnanswered) {
		t.Errorf("%d errors, the first: %v", res.Errors, res.First)
	}
}

// TestOpenLoopCountsTheRequestsKeptWaiting stalls the server once for 300 ms. A
// closed loop on one connection sees a single slow request; the open loop must
// see every request that arrived meanwhile.
func TestOpenLoopCountsTheRequestsKeptWaiting(t *testing.T) {
	const stall = 300 * time.Millisecond
	engines(t, func(t *testing.T, run func(context.Context, *Spec) (*Result, error)) {
		var served atomic.Int64
		srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if served.Add(1) == 20 {
				time.Sleep(stall)
			}
			io.WriteString(w, hello)
		}))
		defer srv.Close()
		spec := Spec{Addr: srv.Listener.Addr().String(), Mode: Open, Rate: 500, Conns: 1, Request: get("/"),
			Status: 200, Length: 13, Duration: time.Second}
		if err := spec.complete(); err != nil {
			t.Fatal(err)
		}
		res, err := run(t.Context(), &spec)
		if err != nil || res.Errors > 0 {
			t.Fatal(err, res.First)
		}
		if res.Requests != 500 {
			t.Errorf("%d requests counted, 500 arrived", res.Requests)
		}
		// 150 of the 500 arrive during the stall and wait 300, 298, 296 … ms.
		if p := time.Duration(res.Latency.ValueAtPercentile(85)); p < stall/4 {
			t.Errorf("the 85th percentile is %v: the stall is omitted", p)
		}
		if p := time.Duration(res.Latency.Max()); p < stall*9/10 {
			t.Errorf("the maximum is %v", p)
		}
	})
}

func TestSpecThatMakesNoSenseIsRefused(t *testing.T) {
	good := Spec{Addr: "127.0.0.1:1", Conns: 1, Request: get("/"), Duration: time.Second}
	for name, spoil := range map[string]func(*Spec){
		"no connections":        func(s *Spec) { s.Conns = 0 },
		"no request":            func(s *Spec) { s.Request = nil },
		"no duration":           func(s *Spec) { s.Duration = 0 },
		"open without rate":     func(s *Spec) { s.Mode = Open },
		"churn and pipelining":  func(s *Spec) { s.Mode, s.Depth = Churn, 2 },
		"upgrade and pipelines": func(s *Spec) { s.Upgrade, s.Depth = get("/"), 2 },
	} {
		s := good
		spoil(&s)
		if s.complete() == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	if err := good.complete(); err != nil {
		t.Error(err)
	}
}

func TestCancelledRunEnds(t *testing.T) {
	srv := httptest.NewServer(handler(t))
	defer srv.Close()
	ctx, cancel := context.WithCancelCause(t.Context())
	why := errors.New("enough")
	_, err := Run(ctx, Spec{Addr: srv.Listener.Addr().String(), Conns: 2, Request: get("/"), Status: 200, Length: 13,
		Duration: time.Hour, Edge: func(open bool) { cancel(why) }})
	if !errors.Is(err, why) {
		t.Errorf("error %v", err)
	}
}

func TestIdleConnectionsLive(t *testing.T) {
	srv := httptest.NewServer(handler(t))
	defer srv.Close()
	set, err := OpenIdle(t.Context(), srv.Listener.Addr().String(), 300, get("/"), 200, 13)
	if err != nil {
		t.Fatal(err)
	}
	defer set.Close()
	if set.Len() != 300 {
		t.Errorf("%d connections", set.Len())
	}
	if err := set.Check(7); err != nil {
		t.Error(err)
	}
	srv.CloseClientConnections()
	if err := set.Check(1); err == nil {
		t.Error("dead connections pass the check")
	}
}

func TestSlowClientsAreAnswered(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, hello)
		if r.Header.Get("Last") != "" {
			time.AfterFunc(20*time.Millisecond, cancel)
		}
	}))
	defer srv.Close()
	s := Slow{Addr: srv.Listener.Addr().String(), Conns: 3, Piece: 5, Pause: time.Millisecond,
		Request: []byte("GET / HTTP/1.1\r\nHost: test\r\nLast: yes\r\n\r\n")}
	if n, err := s.Run(ctx); n == 0 || err != nil {
		t.Errorf("%d answered, error %v", n, err)
	}
}
