package windhover_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/windhover-server/windhover"
	"github.com/windhover-server/windhover/listen"
	"github.com/windhover-server/windhover/listen/proxyproto"
	"github.com/windhover-server/windhover/ring"
	"github.com/windhover-server/windhover/tlsbridge"
)

// eachTransport runs f with a server that has nothing but the transport set.
func eachTransport(t *testing.T, f func(t *testing.T, s *windhover.Server)) {
	for _, tr := range []windhover.Transport{windhover.Portable, windhover.Ring} {
		t.Run(tr.String(), func(t *testing.T) {
			if tr == windhover.Ring {
				if err := ring.Probe().Err; err != nil {
					t.Skip("no io_uring here:", err)
				}
			}
			s := &windhover.Server{Transport: tr, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				scheme := "http"
				if r.TLS != nil {
					scheme = "https"
				}
				fmt.Fprintf(w, "%s %s", scheme, r.Proto)
			})}
			t.Cleanup(func() { s.Close() })
			f(t, s)
		})
	}
}

// serve starts what Listen has bound. The result ends with ServeListeners.
func serve(t *testing.T, s *windhover.Server) <-chan error {
	t.Helper()
	if err := s.Listen(t.Context()); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- s.ServeListeners() }()
	return ended
}

// client speaks to a reported address. roots may be nil for http.
func client(t *testing.T, address string, roots *x509.CertPool) (*http.Client, string) {
	t.Helper()
	tr := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, ServerName: "localhost"}, ForceAttemptHTTP2: true}
	t.Cleanup(tr.CloseIdleConnections)
	if path, ok := strings.CutPrefix(address, "http://unix:"); ok {
		tr.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", path)
		}
		address = "http://localhost"
	}
	return &http.Client{Transport: tr}, address
}

func get(t *testing.T, address string, roots *x509.CertPool) string {
	t.Helper()
	c, url := client(t, address, roots)
	res, err := c.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}

func devCert(t *testing.T) *tlsbridge.DevCert {
	t.Helper()
	c, err := tlsbridge.NewDevCert(time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestListenServesEveryEndpoint(t *testing.T) {
	eachTransport(t, func(t *testing.T, s *windhover.Server) {
		cert := devCert(t)
		sock := filepath.Join(t.TempDir(), "s")
		s.TLSConfig = &tls.Config{Certificates: []tls.Certificate{cert.TLS()}}
		s.Endpoints = []windhover.Endpoint{
			{URL: "https://127.0.0.1:0"},
			{URL: "https://127.0.0.1:0", DisableHTTP2: true},
			{URL: "http://127.0.0.1:0", Bind: listen.BindOptions{DisableNoDelay: true}},
		}
		s.URLs = []string{"http://127.0.0.1:0; http://unix:" + sock}
		ended := serve(t, s)
		addresses := s.Addresses()
		if len(addresses) != 5 || len(s.Addrs()) != 5 || s.Addrs()[4].String() != sock {
			t.Fatalf("addresses %q, %v", addresses, s.Addrs())
		}
		for i, want := range []string{"https HTTP/2.0", "https HTTP/1.1", "http HTTP/1.1", "http HTTP/1.1", "http HTTP/1.1"} {
			if got := get(t, addresses[i], cert.Pool()); got != want {
				t.Errorf("%s answers %q, want %q", addresses[i], got, want)
			}
		}
		if err := s.Shutdown(t.Context()); err != nil {
			t.Error(err)
		}
		if err := <-ended; !errors.Is(err, http.ErrServerClosed) {
			t.Errorf("ServeListeners: %v", err)
		}
		if _, err := os.Lstat(sock); !errors.Is(err, fs.ErrNotExist) {
			t.Error("the socket file is left")
		}
		if err := s.Listen(t.Context()); !errors.Is(err, http.ErrServerClosed) {
			t.Errorf("Listen after Shutdown: %v", err)
		}
	})
}

func TestListenIsWholeOrNothing(t *testing.T) {
	eachTransport(t, func(t *testing.T, s *windhover.Server) {
		taken, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer taken.Close()
		sock := filepath.Join(t.TempDir(), "s")
		s.URLs = []string{"http://unix:" + sock, "http://" + taken.Addr().String()}
		var be *listen.BindError
		if err := s.Listen(t.Context()); !errors.As(err, &be) || be.Prefix != "http://"+taken.Addr().String() || be.Remedy == "" {
			t.Errorf("error %v", err)
		}
		if _, err := os.Lstat(sock); !errors.Is(err, fs.ErrNotExist) || len(s.Addrs()) != 0 {
			t.Errorf("bound %v, %v", s.Addrs(), err)
		}
		// The cause is removed: the same server starts.
		taken.Close()
		ended := serve(t, s)
		s.Close()
		if err := <-ended; !errors.Is(err, http.ErrServerClosed) {
			t.Error(err)
		}
	})
}

func TestListenRefusesBadConfigurations(t *testing.T) {
	for name, c := range map[string]struct {
		server *windhover.Server
		want   error // nil: any
	}{
		"prefix":         {&windhover.Server{URLs: []string{"http://a:b"}}, listen.ErrPort},
		"twice":          {&windhover.Server{URLs: []string{"http://*:1", "https://*:1"}, TLS: &tlsbridge.Config{Certificates: []tlsbridge.Certificate{{TLS: &tls.Certificate{}}}}}, nil},
		"no certificate": {&windhover.Server{URLs: []string{"https://127.0.0.1:0"}}, nil},
		"addr":           {&windhover.Server{Addr: "nonsense"}, nil},
		"too many rings": {&windhover.Server{URLs: []string{"http://127.0.0.1:0"}, Rings: 257}, nil},
		"no rings":       {&windhover.Server{URLs: []string{"http://127.0.0.1:0"}, Rings: -1}, nil},
		"sleeve and TLSNextProto": {&windhover.Server{
			Endpoints:    []windhover.Endpoint{{URL: "https://127.0.0.1:0", Sleeve: func(a listen.Acceptor) listen.Acceptor { return a }}},
			TLSNextProto: map[string]func(*http.Server, *tls.Conn, http.Handler){"x": nil},
		}, nil},
	} {
		s := c.server
		s.Transport = windhover.Portable
		if err := s.Listen(t.Context()); err == nil || c.want != nil && !errors.Is(err, c.want) || len(s.Addrs()) != 0 {
			t.Errorf("%s: error %v, bound %v", name, err, s.Addrs())
		}
	}
}

func TestListenTwice(t *testing.T) {
	s := &windhover.Server{Transport: windhover.Portable, URLs: []string{"http://127.0.0.1:0"}}
	if err := s.ServeListeners(); err == nil {
		t.Error("ServeListeners without Listen succeeds")
	}
	if err := s.Listen(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, err := range []error{s.Listen(t.Context()), s.ListenAndServeTLS("", "")} {
		if !errors.Is(err, windhover.ErrListening) {
			t.Errorf("error %v", err)
		}
	}
	s.Close()
}

// Connections that nobody will serve must not hang, and the socket file must go.
func TestStoppingBeforeServingClosesListeners(t *testing.T) {
	for name, stop := range map[string]func(*windhover.Server) error{
		"Shutdown": func(s *windhover.Server) error { return s.Shutdown(t.Context()) },
		"Close":    (*windhover.Server).Close,
	} {
		sock := filepath.Join(t.TempDir(), "s")
		s := &windhover.Server{Transport: windhover.Portable, URLs: []string{"http://unix:" + sock}}
		if err := s.Listen(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := stop(s); err != nil {
			t.Error(err)
		}
		if _, err := net.Dial("unix", sock); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: dialling gives %v", name, err)
		}
		for _, serve := range []func() error{s.ServeListeners, s.ListenAndServe} {
			if err := serve(); !errors.Is(err, http.ErrServerClosed) {
				t.Errorf("%s: serving gives %v", name, err)
			}
		}
	}
}

func TestAddrIsBoundAsHTTPServerDoes(t *testing.T) {
	eachTransport(t, func(t *testing.T, s *windhover.Server) {
		s.Addr = "localhost:0" // one address, and a port that the system picks
		ended := serve(t, s)
		if len(s.Addrs()) != 1 || strings.HasSuffix(s.Addresses()[0], ":0") {
			t.Errorf("addresses %q", s.Addresses())
		}
		if got := get(t, s.Addresses()[0], nil); got != "http HTTP/1.1" {
			t.Errorf("answer %q", got)
		}
		s.Close()
		<-ended
	})
}

func TestListenAndServeTLSReadsFiles(t *testing.T) {
	eachTransport(t, func(t *testing.T, s *windhover.Server) {
		cert := devCert(t)
		dir := t.TempDir()
		chain, key := filepath.Join(dir, "c.pem"), filepath.Join(dir, "k.pem")
		tc := cert.TLS()
		der, err := x509.MarshalPKCS8PrivateKey(tc.PrivateKey)
		if err != nil {
			t.Fatal(err)
		}
		for name, b := range map[string]*pem.Block{chain: {Type: "CERTIFICATE", Bytes: tc.Certificate[0]}, key: {Type: "PRIVATE KEY", Bytes: der}} {
			if err := os.WriteFile(name, pem.EncodeToMemory(b), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		// ListenAndServe does not say when it listens; the hook does.
		listening := make(chan struct{})
		s.BaseContext = func(net.Listener) context.Context { close(listening); return context.Background() }
		s.Addr = "127.0.0.1:0"
		ended := make(chan error, 1)
		go func() { ended <- s.ListenAndServeTLS(chain, key) }()
		select {
		case <-listening:
		case err := <-ended:
			t.Fatal(err)
		}
		if got := get(t, s.Addresses()[0], cert.Pool()); got != "https HTTP/2.0" {
			t.Errorf("answer %q", got)
		}
		s.Close()
		if err := <-ended; !errors.Is(err, http.ErrServerClosed) {
			t.Error(err)
		}
	})
}

func TestListenAndServeTLSNeedsHTTPS(t *testing.T) {
	s := &windhover.Server{Transport: windhover.Portable, URLs: []string{"http://127.0.0.1:0"}}
	if err := s.ListenAndServeTLS("", ""); err == nil || errors.Is(err, http.ErrServerClosed) {
		t.Errorf("error %v", err)
	}
}

func TestALostListenerEndsTheServer(t *testing.T) {
	eachTransport(t, func(t *testing.T, s *windhover.Server) {
		s.URLs = []string{"http://127.0.0.1:0", "http://127.0.0.1:0"}
		ended := serve(t, s)
		for _, a := range s.Addresses() {
			get(t, a, nil) // both are being served
		}
		s.Listeners()[0].Close()
		if err := <-ended; err == nil || errors.Is(err, http.ErrServerClosed) {
			t.Errorf("ServeListeners: %v", err)
		}
		if c, err := net.Dial("tcp", s.Addrs()[1].String()); err == nil {
			c.Close()
			t.Error("the other endpoint goes on")
		}
	})
}

func TestSleeveTakesTheProxyHeaderOffBeforeTLS(t *testing.T) {
	eachTransport(t, func(t *testing.T, s *windhover.Server) {
		cert := devCert(t)
		remote := make(chan string, 1)
		s.Handler = http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { remote <- r.RemoteAddr })
		trusted := &proxyproto.Config{Trusted: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}}
		s.Endpoints = []windhover.Endpoint{{
			URL:    "https://127.0.0.1:0",
			TLS:    &tlsbridge.Config{Base: &tls.Config{Certificates: []tls.Certificate{cert.TLS()}}},
			Sleeve: func(next listen.Acceptor) listen.Acceptor { return proxyproto.Wrap(trusted, next) },
		}}
		ended := serve(t, s)
		c, err := net.Dial("tcp", s.Addrs()[0].String())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if _, err := io.WriteString(c, "PROXY TCP4 192.0.2.7 192.0.2.1 4711 443\r\n"); err != nil {
			t.Fatal(err)
		}
		tc := tls.Client(c, &tls.Config{RootCAs: cert.Pool(), ServerName: "localhost"})
		if _, err := io.WriteString(tc, "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		if got := <-remote; got != "192.0.2.7:4711" {
			t.Errorf("RemoteAddr %s", got)
		}
		s.Close()
		<-ended
	})
}

// A load balancer that connects and says nothing takes a place, and only until
// its time is over.
func TestConnectionsWithoutAProxyHeaderCount(t *testing.T) {
	eachTransport(t, func(t *testing.T, s *windhover.Server) {
		s.Limits.MaxConcurrentConnections = 1
		s.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, r.RemoteAddr) })
		refused := make(chan error, 1)
		config := &proxyproto.Config{Timeout: time.Hour, OnError: func(_ net.Addr, err error) { refused <- err }}
		s.Endpoints = []windhover.Endpoint{{
			URL:    "http://127.0.0.1:0",
			Sleeve: func(next listen.Acceptor) listen.Acceptor { return proxyproto.Wrap(config, next) },
		}}
		ended := serve(t, s)
		const request = "PROXY TCP4 192.0.2.7 192.0.2.1 4711 80\r\nGET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
		ask := func() string {
			c, err := net.Dial("tcp", s.Addrs()[0].String())
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			_, _ = io.WriteString(c, request) // refused: reset
			answer, _ := io.ReadAll(c)
			return string(answer)
		}
		silent, err := net.Dial("tcp", s.Addrs()[0].String())
		if err != nil {
			t.Fatal(err)
		}
		defer silent.Close()
		for s.Stats().Connections == 0 {
			runtime.Gosched()
		}
		if answer := ask(); answer != "" || s.Stats().Rejected != 1 {
			t.Errorf("over the limit: %q, %d rejected", answer, s.Stats().Rejected)
		}
		silent.Close()
		for s.Stats().Connections != 0 {
			runtime.Gosched()
		}
		if answer := ask(); !strings.HasSuffix(answer, "192.0.2.7:4711") {
			t.Errorf("%q", answer)
		}
		s.Close()
		<-ended
		select {
		case err := <-refused:
			t.Errorf("reported: %v", err)
		default:
		}
	})
}

func TestConnectionsWithoutAProxyHeaderEnd(t *testing.T) {
	eachTransport(t, func(t *testing.T, s *windhover.Server) {
		refused := make(chan error, 1)
		config := &proxyproto.Config{Timeout: 20 * time.Millisecond, OnError: func(_ net.Addr, err error) { refused <- err }}
		s.Endpoints = []windhover.Endpoint{{
			URL:    "http://127.0.0.1:0",
			Sleeve: func(next listen.Acceptor) listen.Acceptor { return proxyproto.Wrap(config, next) },
		}}
		ended := serve(t, s)
		c, err := net.Dial("tcp", s.Addrs()[0].String())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if n, err := c.Read(make([]byte, 1)); n != 0 || err == nil {
			t.Errorf("read %d bytes, %v", n, err)
		}
		if err := <-refused; !errors.Is(err, proxyproto.ErrHeaderTimeout) {
			t.Errorf("reported: %v", err)
		}
		for s.Stats().Connections != 0 {
			runtime.Gosched()
		}
		s.Close()
		<-ended
	})
}

func TestTLSNextProtoGetsItsConnections(t *testing.T) {
	cert := devCert(t)
	s := &windhover.Server{
		Transport: windhover.Portable,
		URLs:      []string{"https://127.0.0.1:0"},
		TLSConfig: &tls.Config{Certificates: []tls.Certificate{cert.TLS()}},
		TLSNextProto: map[string]func(*http.Server, *tls.Conn, http.Handler){
			"odd": func(_ *http.Server, c *tls.Conn, _ http.Handler) { fmt.Fprint(c, "taken") },
		},
	}
	ended := serve(t, s)
	c, err := tls.Dial("tcp", s.Addrs()[0].String(), &tls.Config{RootCAs: cert.Pool(), ServerName: "localhost", NextProtos: []string{"odd"}})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if b, err := io.ReadAll(c); err != nil || string(b) != "taken" {
		t.Errorf("read %q, %v", b, err)
	}
	s.Close()
	<-ended
}

func TestRunDrainsWhenItsContextEnds(t *testing.T) {
	eachTransport(t, func(t *testing.T, s *windhover.Server) {
		busy, finish := make(chan struct{}), make(chan struct{})
		s.Handler = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			close(busy)
			<-finish
			io.WriteString(w, "finished")
		})
		s.URLs = []string{"http://127.0.0.1:0"}
		stopping := make(chan struct{})
		s.RegisterOnShutdown(func() { close(stopping) })
		if err := s.Listen(t.Context()); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- s.Run(ctx) }()
		answer := make(chan string, 1)
		c, url := client(t, s.Addresses()[0], nil)
		go func() {
			res, err := c.Get(url)
			if err != nil {
				answer <- err.Error()
				return
			}
			defer res.Body.Close()
			b, _ := io.ReadAll(res.Body)
			answer <- string(b)
		}()
		<-busy
		cancel()
		<-stopping
		close(finish)
		if got := <-answer; got != "finished" {
			t.Errorf("the running request got %q", got)
		}
		if err := <-ended; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
}

func TestRunAbortsAtTheDrainTimeout(t *testing.T) {
	eachTransport(t, func(t *testing.T, s *windhover.Server) {
		busy := make(chan struct{})
		s.Handler = http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			close(busy)
			<-r.Context().Done()
		})
		s.URLs = []string{"http://127.0.0.1:0"}
		s.DrainTimeout = time.Millisecond
		if err := s.Listen(t.Context()); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- s.Run(ctx) }()
		c, err := net.Dial("tcp", s.Addrs()[0].String())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if _, err := io.WriteString(c, "GET / HTTP/1.1\r\nHost: a\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		<-busy
		cancel()
		if err := <-ended; !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Run: %v", err)
		}
		_, _ = io.ReadAll(c) // ends: with EOF or a reset
	})
}

func TestPackageListenAndServeReportsErrors(t *testing.T) {
	if err := windhover.ListenAndServe("http://x:y", nil); !errors.Is(err, listen.ErrPort) {
		t.Errorf("error %v", err)
	}
}

func TestLocalhostIsReportedOnce(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_, port, _ := net.SplitHostPort(ln.Addr().String())
	ln.Close()
	s := &windhover.Server{Transport: windhover.Portable, URLs: []string{"http://localhost:" + port}}
	if err := s.Listen(t.Context()); err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if got := s.Addresses(); !slices.Equal(got, []string{"http://localhost:" + port}) {
		t.Errorf("addresses %q", got)
	}
}
