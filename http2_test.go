package windhover_test

import (
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"github.com/windhover-server/windhover"
	"github.com/windhover-server/windhover/proto"
)

// The limits of requests hold over HTTP/2, too: what is at the limit passes, and
// one more gets the status that HTTP/1.1 has for it.
func TestLimitsOverHTTP2(t *testing.T) {
	fields := func(n int) func(*http.Request) {
		return func(r *http.Request) {
			r.Header.Set("User-Agent", "x")
			r.Header.Set("Accept-Encoding", "identity")
			for i := range n - 2 {
				r.Header.Set(fmt.Sprintf("X-%d", i), "x")
			}
		}
	}
	body := func(n int) func(*http.Request) {
		return func(r *http.Request) {
			r.Method, r.ContentLength, r.Body = "POST", int64(n), io.NopCloser(bytes.NewReader(make([]byte, n)))
		}
	}
	// "GET TARGET HTTP/1.1\r\n"
	line := func(n int) func(*http.Request) {
		return func(r *http.Request) { r.URL.Path = "/" + strings.Repeat("x", n-len("GET / HTTP/1.1\r\n")) }
	}
	bytesOfFields := func(n int) func(*http.Request) {
		return func(r *http.Request) {
			for i := range 8 {
				r.Header.Set(fmt.Sprintf("X-%d", i), strings.Repeat("x", n/8))
			}
		}
	}
	small := proto.Limits{MaxRequestLineSize: 100, MaxRequestHeaderCount: 10, MaxRequestHeadersTotalSize: 1000, MaxRequestBodySize: 10}
	unlimited := proto.Limits{MaxRequestLineSize: -1, MaxRequestHeaderCount: -1, MaxRequestHeadersTotalSize: -1, MaxRequestBodySize: -1}
	for _, tt := range []struct {
		name           string
		limits         proto.Limits
		maxHeaderBytes int
		change         func(*http.Request)
		want           int
	}{
		{"as many fields", small, 0, fields(10), 200},
		{"a field more", small, 0, fields(11), 431},
		{"as long a line", small, 0, line(100), 200},
		{"a longer line", small, 0, line(101), 414},
		{"larger fields", small, 0, bytesOfFields(1500), 431}, // http2 counts 32 bytes more for each
		{"as large a body", small, 0, body(10), 200},
		{"a larger body", small, 0, body(11), 413},
		{"a body", proto.Limits{MaxRequestBodySize: proto.None}, 0, body(1), 413},
		{"unlimited fields", unlimited, 0, fields(200), 200},
		{"unlimited line", unlimited, 0, line(10_000), 200},
		{"unlimited field", unlimited, 0, bytesOfFields(100_000), 200},
		{"unlimited body", unlimited, 0, body(31_000_000), 200},
		{"MaxHeaderBytes instead", small, 4000, bytesOfFields(1500), 200},
		{"over MaxHeaderBytes", small, 4000, bytesOfFields(5000), 431},
	} {
		t.Run(tt.name, func(t *testing.T) {
			cert := devCert(t)
			s := &windhover.Server{
				Transport: windhover.Portable, URLs: []string{"https://127.0.0.1:0"}, Limits: tt.limits, MaxHeaderBytes: tt.maxHeaderBytes,
				TLSConfig: &tls.Config{Certificates: []tls.Certificate{cert.TLS()}},
				Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					_, err := io.Copy(io.Discard, r.Body)
					if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
						w.WriteHeader(http.StatusRequestEntityTooLarge)
					}
				}),
			}
			ended := serve(t, s)
			c, url := client(t, s.Addresses()[0], cert.Pool())
			r, err := http.NewRequestWithContext(t.Context(), "GET", url, nil)
			if err != nil {
				t.Fatal(err)
			}
			tt.change(r)
			res, err := c.Do(r)
			if err != nil && tt.want == 431 && strings.Contains(err.Error(), "larger than peer's advertised limit") {
				s.Close()
				<-ended
				return // the settings came first, and the client obeys them
			}
			if err != nil {
				t.Fatal(err)
			}
			res.Body.Close()
			if res.StatusCode != tt.want || res.ProtoMajor != 2 {
				t.Errorf("%s %d, want %d", res.Proto, res.StatusCode, tt.want)
			}
			s.Close()
			<-ended
		})
	}
}

// An idle HTTP/2 connection ends at the keep-alive timeout, and at IdleTimeout
// where that is set.
func TestIdleHTTP2ConnectionEnds(t *testing.T) {
	for name, set := range map[string]func(*windhover.Server){
		"KeepAliveTimeout": func(s *windhover.Server) { s.Limits.KeepAliveTimeout = 500 * time.Millisecond },
		"IdleTimeout":      func(s *windhover.Server) { s.IdleTimeout = 500 * time.Millisecond },
		"ReadTimeout":      func(s *windhover.Server) { s.ReadTimeout = 500 * time.Millisecond },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			eachTransport(t, func(t *testing.T, s *windhover.Server) {
				cert := devCert(t)
				s.URLs = []string{"https://127.0.0.1:0"}
				s.TLSConfig = &tls.Config{Certificates: []tls.Certificate{cert.TLS()}}
				set(s)
				ended := serve(t, s)
				c, err := tls.Dial("tcp", s.Addrs()[0].String(), &tls.Config{RootCAs: cert.Pool(), ServerName: "localhost", NextProtos: []string{"h2"}})
				if err != nil {
					t.Fatal(err)
				}
				defer c.Close()
				if _, err := io.WriteString(c, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00"); err != nil {
					t.Fatal(err)
				}
				if err := c.SetReadDeadline(time.Now().Add(30 * time.Second)); err != nil {
					t.Fatal(err)
				}
				if _, err := io.Copy(io.Discard, c); os.IsTimeout(err) {
					t.Error("the connection did not end")
				}
				s.Close()
				<-ended
			})
		})
	}
}

// A client that asks over HTTP/2 and does not read is disconnected, as over
// HTTP/1.1.
func TestSlowHTTP2ReaderIsDisconnected(t *testing.T) {
	eachTransport(t, func(t *testing.T, s *windhover.Server) {
		cert := devCert(t)
		failed := make(chan error, 1)
		s.Handler = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			b := make([]byte, 1<<20)
			for {
				if _, err := w.Write(b); err != nil {
					failed <- err
					return
				}
			}
		})
		s.Limits.MinResponseDataRate = proto.DataRate{BytesPerSecond: 1e9, GracePeriod: time.Second + 1}
		s.URLs = []string{"https://127.0.0.1:0"}
		s.TLSConfig = &tls.Config{Certificates: []tls.Certificate{cert.TLS()}}
		ended := serve(t, s)
		c, err := tls.Dial("tcp", s.Addrs()[0].String(), &tls.Config{RootCAs: cert.Pool(), ServerName: "localhost", NextProtos: []string{"h2"}})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		// Flow control allows as much as it can; it is TCP that is full.
		var request bytes.Buffer
		request.WriteString(http2.ClientPreface)
		framer := http2.NewFramer(&request, nil)
		framer.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 1<<31 - 1})
		framer.WriteWindowUpdate(0, 1<<30)
		var head bytes.Buffer
		enc := hpack.NewEncoder(&head)
		for _, f := range [][2]string{{":method", "GET"}, {":scheme", "https"}, {":authority", "localhost"}, {":path", "/"}} {
			enc.WriteField(hpack.HeaderField{Name: f[0], Value: f[1]})
		}
		framer.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: head.Bytes(), EndStream: true, EndHeaders: true})
		if _, err := c.Write(request.Bytes()); err != nil {
			t.Fatal(err)
		}
		select {
		case <-failed:
		case <-time.After(30 * time.Second):
			t.Error("the handler still writes")
		}
		s.Close()
		<-ended
	})
}
