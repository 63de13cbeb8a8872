package h2

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/windhover-server/windhover/listen"
	"github.com/windhover-server/windhover/tlsbridge"
)

// tcpLink is the least of a transport: one goroutine per connection.
type tcpLink struct {
	*net.TCPConn
	mu    sync.Mutex // guards queue, held from Begin to End
	queue []byte
}

func (l *tcpLink) Begin() []byte { l.mu.Lock(); return l.queue }
func (l *tcpLink) End(b []byte)  { l.queue = b; l.mu.Unlock() }
func (l *tcpLink) Flush() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.queue) == 0 {
		return nil
	}
	_, err := l.TCPConn.Write(l.queue)
	l.queue = l.queue[:0]
	return err
}
func (l *tcpLink) Write(p []byte) (int, error) {
	if err := l.Flush(); err != nil {
		return 0, err
	}
	return l.TCPConn.Write(p)
}
func (l *tcpLink) Read(p []byte) (int, error) {
	if err := l.Flush(); err != nil {
		return 0, err
	}
	return l.TCPConn.Read(p)
}
func (l *tcpLink) SetReadDeadline(t time.Time)        { l.TCPConn.SetReadDeadline(t) }
func (l *tcpLink) SetWriteDeadline(t time.Time)       { l.TCPConn.SetWriteDeadline(t) }
func (l *tcpLink) SetSendRate(float64, time.Duration) {}
func (l *tcpLink) Watch()                             {}
func (l *tcpLink) Leave()                             {}
func (l *tcpLink) NetConn() net.Conn                  { return l.TCPConn }
func (l *tcpLink) Abort()                             { l.TCPConn.Close() }
func (l *tcpLink) Detach() (net.Conn, []byte, error)  { return nil, nil, errors.ErrUnsupported }
func (l *tcpLink) CloseWrite() error                  { l.Flush(); return l.TCPConn.CloseWrite() }

func (l *tcpLink) serve(p listen.Protocol) {
	buf := make([]byte, 4096)
	v := listen.Wait
	for v == listen.Wait {
		n, err := l.TCPConn.Read(buf)
		switch {
		case err == nil:
			v = p.Data(buf[:n])
		case errors.Is(err, os.ErrDeadlineExceeded):
			v = p.Expired()
		default:
			v = p.EOF()
		}
		if l.Flush() != nil {
			v = listen.Abort
		}
	}
	if v == listen.Close {
		l.CloseWrite()
		l.TCPConn.SetReadDeadline(time.Now().Add(5 * time.Second))
		io.Copy(io.Discard, l.TCPConn)
	}
	l.TCPConn.Close()
	p.Lost(nil)
}

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
	conns  sync.WaitGroup
}

// serve starts a server for s on loopback and a client for it.
func serve(t *testing.T, s *Server) *fixture {
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
	f := &fixture{base: &base{lost: make(chan error, 100)}}
	accept := b.Wrap(func(listen.Link) listen.Protocol { return f.base }, map[string]tlsbridge.Switch{"h2": s.Switch})
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	f.url = "https://" + ln.Addr().String()
	f.conns.Go(func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			f.conns.Go(func() {
				l := &tcpLink{TCPConn: c.(*net.TCPConn)}
				l.serve(accept(l))
			})
		}
	})
	tr := &http.Transport{
		TLSClientConfig:   &tls.Config{RootCAs: cert.Pool(), ServerName: "localhost"},
		ForceAttemptHTTP2: true,
	}
	f.client = &http.Client{Transport: tr}
	t.Cleanup(func() {
		ln.Close()
		s.Shutdown() // a client may not see yet that a connection is idle
		tr.CloseIdleConnections()
		f.conns.Wait()
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
	f := serve(t, &Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
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
	f := serve(t, &Server{
		Limits: Limits{MaxRequestBodySize: 1000},
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			_, err := io.Copy(io.Discard, r.Body)
			if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
				w.WriteHeader(http.StatusRequestEntityTooLarge)
			}
		}),
	})
	for _, tt := range []struct{ size, status int }{{1000, 200}, {1001, 413}} {
		res, err := f.client.Post(f.url, "", bytes.NewReader(make([]byte, tt.size)))
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		if res.StatusCode != tt.status {
			t.Errorf("%d bytes: status %d, want %d", tt.size, res.StatusCode, tt.status)
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
