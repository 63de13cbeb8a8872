package h2

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/windhover-server/windhover/listen"
	"github.com/windhover-server/windhover/portable"
	"github.com/windhover-server/windhover/ring"
	"github.com/windhover-server/windhover/tlsbridge"
)

// base is the protocol that would speak HTTP/1.1.
type base struct {
	lost chan error
}

func (b *base) Data([]byte) listen.Verdict { panic("HTTP/1.1 was given data") }
func (b *base) EOF() listen.Verdict        { return listen.Close }
func (b *base) Expired() listen.Verdict    { return listen.Close }
func (b *base) Drain() listen.Verdict      { return listen.Close }
func (b *base) Lost(err error)             { b.lost <- err }
func (b *base) Gone(error)                 {}

type fixture struct {
	url    string
	base   *base
	client *http.Client
}

// serve starts a server for s on loopback and a client for it.
func serve(t *testing.T, s *Server) *fixture {
	t.Helper()
	return serveOn(t, &portable.Transport{}, s)
}

func serveOn(t *testing.T, tr listen.Transport, s *Server) *fixture {
	t.Helper()
	if err := s.Prepare(); err != nil {
		t.Fatal(err)
	}
	cert, err := tlsbridge.NewDevCert(time.Now())
	if err != nil {
		t.Fatal(err)
	}
	pair := cert.TLS()
	b, err := tlsbridge.New(&tlsbridge.Config{
		Certificates: []tlsbridge.Certificate{{TLS: &pair}},
		Protocols:    []string{"h2", "http/1.1"},
	})
	if err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	f := &fixture{url: "https://" + ln.Addr().String(), base: &base{lost: make(chan error, 100)}}
	accept := b.Wrap(func(listen.Link) listen.Protocol { return f.base }, map[string]tlsbridge.Switch{"h2": s.Switch})
	served := make(chan error, 1)
	go func() { served <- tr.Serve(ln, listen.Options{}, accept) }()
	client := &http.Transport{
		TLSClientConfig:   &tls.Config{RootCAs: cert.Pool(), ServerName: "localhost"},
		ForceAttemptHTTP2: true,
	}
	f.client = &http.Client{Transport: client}
	t.Cleanup(func() {
		client.CloseIdleConnections()
		s.Shutdown() // a client may not see yet that a connection is idle
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := tr.Shutdown(ctx); err != nil {
			t.Errorf("Shutdown: %v", err)
		}
		if err := <-served; !errors.Is(err, listen.ErrServerClosed) {
			t.Errorf("Serve: %v", err)
		}
	})
	return f
}

func (f *fixture) get(t *testing.T, path string) (*http.Response, string) {
	t.Helper()
	res, err := f.client.Get(f.url + path)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res, string(b)
}

func TestRequests(t *testing.T) {
	hs := &http.Server{}
	type key struct{}
	f := serve(t, &Server{
		HTTPServer: hs,
		Context: func(listen.Link, listen.Protocol) context.Context {
			return context.WithValue(context.Background(), key{}, "value")
		},
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			body, err := io.ReadAll(r.Body)
			fmt.Fprintf(w, "%s %s %d %v %v %v %v", r.Proto, r.Host, len(body), err,
				r.TLS != nil && r.TLS.NegotiatedProtocol == "h2",
				r.Context().Value(http.ServerContextKey) == hs,
				r.Context().Value(key{}))
		}),
	})
	host := strings.TrimPrefix(f.url, "https://")
	_, got := f.get(t, "/")
	if want := "HTTP/2.0 " + host + " 0 <nil> true true value"; got != want {
		t.Fatalf("got  %s\nwant %s", got, want)
	}
	res, err := f.client.Post(f.url, "", bytes.NewReader(make([]byte, 1<<20)))
	if err != nil {
		t.Fatal(err)
	}
	b, _ := io.ReadAll(res.Body)
	res.Body.Close()
	if want := "HTTP/2.0 " + host + " 1048576 <nil> true true value"; string(b) != want {
		t.Fatalf("got  %s\nwant %s", b, want)
	}
}

func TestManyStreamsAtOnce(t *testing.T) {
	t.Run("portable", func(t *testing.T) { manyStreams(t, &portable.Transport{}) })
	t.Run("ring", func(t *testing.T) {
		tr, err := ring.New(ring.Options{})
		if err != nil {
			t.Skipf("no io_uring here: %v", err)
		}
		manyStreams(t, tr)
	})
}

func manyStreams(t *testing.T, tr listen.Transport) {
	f := serveOn(t, tr, &Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.Copy(w, r.Body)
	})})
	f.get(t, "/") // one connection for all
	var wg sync.WaitGroup
	for i := range 50 {
		wg.Go(func() {
			want := bytes.Repeat([]byte{byte(i)}, 200_000)
			res, err := f.client.Post(f.url, "", bytes.NewReader(want))
			if err != nil {
				t.Error(err)
				return
			}
			defer res.Body.Close()
			if got, err := io.ReadAll(res.Body); err != nil || !bytes.Equal(got, want) {
				t.Errorf("stream %d: %d bytes, %v", i, len(got), err)
			}
		})
	}
	wg.Wait()
	if n := len(f.base.lost); n != 0 {
		t.Fatalf("%d connections have ended", n)
	}
}

// Shutdown sends GOAWAY: the stream under way is finished, then the
// connection ends and the protocol below learns of it.
func TestShutdownFinishesStreams(t *testing.T) {
	started, release := make(chan struct{}), make(chan struct{})
	s := &Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		close(started)
		<-release
		io.WriteString(w, "finished")
	})}
	f := serve(t, s)
	got := make(chan string)
	go func() {
		res, err := f.client.Get(f.url)
		if err != nil {
			got <- err.Error()
			return
		}
		b, _ := io.ReadAll(res.Body)
		res.Body.Close()
		got <- string(b)
	}()
	<-started
	s.Shutdown()
	select {
	case <-f.base.lost:
		t.Fatal("the connection ended while a stream was under way")
	default:
	}
	close(release)
	if b := <-got; b != "finished" {
		t.Fatal(b)
	}
	if err := <-f.base.lost; err != nil {
		t.Fatal(err)
	}
}

func TestRequestBodyLimit(t *testing.T) {
	for _, tt := range []struct {
		limit    int64
		statuses map[int]int // by size
	}{
		{1000, map[int]int{1000: 200, 1001: 413}},
		{None, map[int]int{0: 200, 1: 413}},
		{-1, map[int]int{31_000_000: 200}},
	} {
		f := serve(t, &Server{
			Limits: Limits{MaxRequestBodySize: tt.limit},
			Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				_, err := io.Copy(io.Discard, r.Body)
				if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
					w.WriteHeader(http.StatusRequestEntityTooLarge)
				}
			}),
		})
		for size, status := range tt.statuses {
			res, err := f.client.Post(f.url, "", bytes.NewReader(make([]byte, size)))
			if err != nil {
				t.Fatal(err)
			}
			res.Body.Close()
			if res.StatusCode != status {
				t.Errorf("limit %d, %d bytes: status %d, want %d", tt.limit, size, res.StatusCode, status)
			}
		}
	}
}

func TestConnStateHasTheLinksConnection(t *testing.T) {
	var mu sync.Mutex
	var states []http.ConnState
	f := serve(t, &Server{
		Handler: http.NotFoundHandler(),
		ConnState: func(c net.Conn, st http.ConnState) {
			mu.Lock()
			defer mu.Unlock()
			if _, ok := c.(*tls.Conn); !ok {
				t.Errorf("%v of a %T", st, c)
			}
			states = append(states, st)
		},
	})
	f.get(t, "/")
	f.client.CloseIdleConnections()
	<-f.base.lost
	mu.Lock()
	defer mu.Unlock()
	if len(states) == 0 || states[0] != http.StateActive {
		t.Fatalf("states %v", states)
	}
	for _, st := range states {
		if st == http.StateClosed {
			t.Fatalf("states %v: the end is told by the connection's owner", states)
		}
	}
}

// http2's messages go to the ErrorLog that the server has at the time.
func TestErrorLog(t *testing.T) {
	hs := &http.Server{}
	f := serve(t, &Server{HTTPServer: hs, Handler: http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		panic("as the test wants")
	})})
	logged := make(chan string, 10)
	hs.ErrorLog = log.New(writerFunc(func(p []byte) (int, error) {
		logged <- string(p)
		return len(p), nil
	}), "", 0)
	if _, err := f.client.Get(f.url); err == nil {
		t.Fatal("a handler that panics answered")
	}
	if text := <-logged; !strings.Contains(text, "as the test wants") {
		t.Fatalf("log: %q", text)
	}
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

func TestValidateNamesEveryField(t *testing.T) {
	err := Limits{
		MaxStreamsPerConnection: -1, HeaderTableSize: -1, MaxFrameSize: 100, MaxRequestHeadersTotalSize: -1,
		InitialConnectionWindowSize: 1, InitialStreamWindowSize: 1, KeepAlivePingDelay: -1, KeepAlivePingTimeout: -1,
	}.Validate()
	for _, name := range []string{"MaxStreamsPerConnection", "HeaderTableSize", "MaxFrameSize", "MaxRequestHeadersTotalSize",
		"InitialConnectionWindowSize", "InitialStreamWindowSize", "KeepAlivePingDelay", "KeepAlivePingTimeout"} {
		if !strings.Contains(fmt.Sprint(err), name) {
			t.Errorf("%s is not named in %v", name, err)
		}
	}
	if err := (Limits{}).Validate(); err != nil {
		t.Error(err)
	}
}

// The limits arrive at the client as settings (RFC 9113 section 6.5.2).
func TestLimitsAreSettings(t *testing.T) {
	tests := []struct {
		limits Limits
		want   map[uint16]uint32
	}{
		{Limits{}, map[uint16]uint32{1: 4096, 3: 100, 4: 768 << 10, 5: 16384, 6: 32768 + 320}},
		{
			Limits{HeaderTableSize: 8192, MaxStreamsPerConnection: 7, InitialStreamWindowSize: 70000, MaxFrameSize: 20000, MaxRequestHeadersTotalSize: 1000},
			map[uint16]uint32{1: 8192, 3: 7, 4: 70000, 5: 20000, 6: 1000 + 320},
		},
	}
	for _, tt := range tests {
		f := serve(t, &Server{Limits: tt.limits, Handler: http.NotFoundHandler()})
		cfg := f.client.Transport.(*http.Transport).TLSClientConfig.Clone()
		cfg.NextProtos = []string{"h2"}
		c, err := tls.Dial("tcp", strings.TrimPrefix(f.url, "https://"), cfg)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		io.WriteString(c, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00")
		head := make([]byte, 9)
		if _, err := io.ReadFull(c, head); err != nil || head[3] != 4 {
			t.Fatalf("frame %x, %v, want SETTINGS", head, err)
		}
		body := make([]byte, int(head[1])<<8|int(head[2]))
		if _, err := io.ReadFull(c, body); err != nil {
			t.Fatal(err)
		}
		got := map[uint16]uint32{}
		for ; len(body) >= 6; body = body[6:] {
			got[binary.BigEndian.Uint16(body)] = binary.BigEndian.Uint32(body[2:])
		}
		for id, want := range tt.want {
			if got[id] != want {
				t.Errorf("setting %d is %d, want %d", id, got[id], want)
			}
		}
	}
}

func TestServesLikeNetHTTP(t *testing.T) {
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Trailer", "X-After")
		w.WriteHeader(http.StatusTeapot)
		io.WriteString(w, "body of "+r.URL.Path)
		w.Header().Set("X-After", "trailer")
	})
	f := serve(t, &Server{Handler: handler})
	ref := httptest.NewUnstartedServer(handler)
	ref.EnableHTTP2 = true
	ref.StartTLS()
	defer ref.Close()
	ours, body := f.get(t, "/x")
	res, err := ref.Client().Get(ref.URL + "/x")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	theirs, _ := io.ReadAll(res.Body)
	if ours.StatusCode != res.StatusCode || body != string(theirs) || ours.Trailer.Get("X-After") != res.Trailer.Get("X-After") || ours.Proto != res.Proto {
		t.Fatalf("%v %q %v, net/http %v %q %v", ours.Status, body, ours.Trailer, res.Status, theirs, res.Trailer)
	}
}
