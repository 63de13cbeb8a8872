package thirdparty

import (
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strings"
	"testing"

	"github.com/klauspost/compress/gzhttp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"go.opentelemetry.io/contrib/instrumentation/net/http/otelhttp"
)

// gzhttp replaces the ResponseWriter and decides late whether to compress.
func TestGzhttpCompresses(t *testing.T) {
	long := strings.Repeat("all work and no play ", 500)
	h := gzhttp.GzipHandler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/plain")
		if r.URL.Path == "/short" {
			io.WriteString(w, "short")
			return
		}
		io.WriteString(w, long)
	}))
	onEach(t, h, func(t *testing.T, base string) {
		for path, wantBody := range map[string]string{"/long": long, "/short": "short"} {
			req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, base+path, nil)
			if err != nil {
				t.Fatal(err)
			}
			req.Header.Set("Accept-Encoding", "gzip")
			got := do(t, req)
			body := got.body
			if coding := got.Header.Get("Content-Encoding"); coding == "gzip" != (path == "/long") {
				t.Errorf("%s: Content-Encoding %q", path, coding)
			} else if coding == "gzip" {
				body = gunzip(t, body)
			}
			if body != wantBody {
				t.Errorf("%s: %d bytes, want %d", path, len(body), len(wantBody))
			}
		}
	})
}

func gunzip(t *testing.T, s string) string {
	t.Helper()
	zr, err := gzip.NewReader(strings.NewReader(s))
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(zr)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// The instrumenting middlewares wrap the ResponseWriter and look which
// optional interfaces it has.
func TestInstrumentedHandlersKeepWorking(t *testing.T) {
	inner := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost {
			n, err := io.Copy(w, r.Body)
			if err != nil || n == 0 {
				panic(errors.Join(err, errors.New("nothing read")))
			}
			return
		}
		stream(w)
	})
	reg := prometheus.NewRegistry()
	counter := promauto.With(reg).NewCounterVec(prometheus.CounterOpts{Name: "requests_total"}, []string{"code", "method"})
	prom := http.NewServeMux()
	prom.Handle("/", promhttp.InstrumentHandlerCounter(counter, inner))
	prom.Handle("/metrics", promhttp.HandlerFor(reg, promhttp.HandlerOpts{}))

	for name, h := range map[string]http.Handler{"promhttp": prom, "otelhttp": otelhttp.NewHandler(inner, "test")} {
		t.Run(name, func(t *testing.T) {
			onEach(t, h, func(t *testing.T, base string) {
				want(t, get(t, base+"/"), 200, "one\ntwo\nthree\n")
				want(t, post(t, base+"/", "text/plain", "echo this"), 200, "echo this")
				if name == "promhttp" {
					if m := get(t, base+"/metrics"); !strings.Contains(m.body, `requests_total{code="200",method="get"}`) {
						t.Errorf("the counter is missing in %q", m.body)
					}
				}
			})
		})
	}
}

// ReverseProxy flushes, forwards trailers and 1xx responses, and aborts by
// panic when the other side fails half-way.
func TestReverseProxy(t *testing.T) {
	backend := http.NewServeMux()
	backend.HandleFunc("/stream", func(w http.ResponseWriter, _ *http.Request) { stream(w) })
	backend.HandleFunc("/echo", func(w http.ResponseWriter, r *http.Request) { io.Copy(w, r.Body) })
	backend.HandleFunc("/trailer", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Trailer", "X-Sum")
		io.WriteString(w, "body")
		w.Header().Set("X-Sum", "42")
	})
	backend.HandleFunc("/broken", func(w http.ResponseWriter, _ *http.Request) {
		io.WriteString(w, "half")
		w.(http.Flusher).Flush()
		panic(http.ErrAbortHandler)
	})
	backend.Handle("/ws", http.HandlerFunc(gorillaEcho))

	onEach(t, backend, func(t *testing.T, backendURL string) {
		target, err := url.Parse(backendURL)
		if err != nil {
			t.Fatal(err)
		}
		proxy := &httputil.ReverseProxy{
			Rewrite:       func(pr *httputil.ProxyRequest) { pr.SetURL(target) },
			FlushInterval: -1,
			ErrorLog:      quiet,
		}
		onEachNetwork(t, proxy, []string{"tcp"}, func(t *testing.T, p peer) {
			base := p.url
			want(t, get(t, base+"/stream"), 200, "one\ntwo\nthree\n")
			long := strings.Repeat("0123456789abcdef", 100_000)
			want(t, post(t, base+"/echo", "text/plain", long), 200, long)
			if got := get(t, base+"/trailer"); got.body != "body" || got.Trailer.Get("X-Sum") != "42" {
				t.Errorf("body %q, trailers %v", got.body, got.Trailer)
			}
			resp, err := http.Get(base + "/broken")
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			if b, err := io.ReadAll(resp.Body); err == nil || !bytes.Equal(b, []byte("half")) {
				t.Errorf("a response that was cut short came through as %q, %v", b, err)
			}
			p.url += "/ws"
			gorillaClient(t, p)
		})
	})
}
