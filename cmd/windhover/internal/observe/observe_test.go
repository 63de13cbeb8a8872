package observe_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/windhover-server/windhover"
	"github.com/windhover-server/windhover/cmd/windhover/internal/observe"
)

// watcher keeps what it is told.
type watcher struct{ exchanges chan observe.Exchange }

func (w watcher) Begin(*http.Request)     {}
func (w watcher) End(x *observe.Exchange) { w.exchanges <- *x }
func newWatcher() watcher                 { return watcher{make(chan observe.Exchange, 1)} }
func (w watcher) get() observe.Exchange   { return <-w.exchanges }

func do(h http.Handler, o ...observe.Observer) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	defer func() { _ = recover() }()
	observe.Handler(h, o...).ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/a?b", nil))
	return w
}

func TestStatusAndSize(t *testing.T) {
	for name, c := range map[string]struct {
		h       http.HandlerFunc
		status  int
		bytes   int64
		aborted bool
	}{
		"nothing":         {func(http.ResponseWriter, *http.Request) {}, 200, 0, false},
		"write":           {func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "hello") }, 200, 5, false},
		"string":          {func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "hello") }, 200, 5, false},
		"copy":            {func(w http.ResponseWriter, _ *http.Request) { _, _ = io.Copy(w, strings.NewReader("hello")) }, 200, 5, false},
		"status":          {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(404); w.WriteHeader(500) }, 404, 0, false},
		"interim":         {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(103); w.WriteHeader(204) }, 204, 0, false},
		"flush":           {func(w http.ResponseWriter, _ *http.Request) { w.(http.Flusher).Flush() }, 200, 0, false},
		"panic":           {func(http.ResponseWriter, *http.Request) { panic("x") }, 500, 0, true},
		"panic afterward": {func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "x"); panic("x") }, 200, 1, true},
	} {
		t.Run(name, func(t *testing.T) {
			o := newWatcher()
			do(c.h, o)
			if x := o.get(); x.Status != c.status || x.Bytes != c.bytes || x.Aborted != c.aborted || x.Duration < 0 {
				t.Errorf("%+v", x)
			}
		})
	}
}

func TestHijackCountsAsUpgrade(t *testing.T) {
	o := newWatcher()
	s := httptest.NewServer(observe.Handler(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		c, _, err := w.(http.Hijacker).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		fmt.Fprint(c, "HTTP/1.1 101 Switching Protocols\r\n\r\nraw")
		c.Close()
	}), o))
	defer s.Close()
	c, err := net.Dial("tcp", s.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	fmt.Fprint(c, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
	if b, err := io.ReadAll(bufio.NewReader(c)); err != nil || !strings.HasSuffix(string(b), "raw") {
		t.Errorf("%q %v", b, err)
	}
	if x := o.get(); x.Status != http.StatusSwitchingProtocols {
		t.Errorf("%+v", x)
	}
}

func TestWithoutObserversNothingIsWrapped(t *testing.T) {
	h := http.NotFoundHandler()
	observe.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, ok := w.(*httptest.ResponseRecorder); !ok {
			t.Errorf("%T", w)
		}
		h.ServeHTTP(w, r)
	})).ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/", nil))
}

func TestAccessLogFormats(t *testing.T) {
	r := httptest.NewRequest(http.MethodPost, "/a?b=c", nil)
	r.RemoteAddr = "192.0.2.1:99"
	r.Header.Set("User-Agent", "evil\n\"agent\"")
	h := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(201); fmt.Fprint(w, "hello") })
	var js, text, combined bytes.Buffer
	for _, o := range []observe.Observer{observe.NewAccessLog(&js, "json"), observe.NewAccessLog(&text, "text"), observe.Combined{W: &combined}} {
		observe.Handler(h, o).ServeHTTP(httptest.NewRecorder(), r)
	}
	var record map[string]any
	if err := json.Unmarshal(js.Bytes(), &record); err != nil {
		t.Fatal(err)
	}
	for key, want := range map[string]any{
		"remote": "192.0.2.1", "method": "POST", "scheme": "http", "host": "example.com", "uri": "/a?b=c", "proto": "HTTP/1.1",
		"status": 201.0, "bytes": 5.0, "user_agent": "evil\n\"agent\"",
	} {
		if record[key] != want {
			t.Errorf("json %s: %v", key, record[key])
		}
	}
	if _, ok := record["duration_ms"].(float64); !ok {
		t.Errorf("json duration_ms: %v", record["duration_ms"])
	}
	if !strings.Contains(text.String(), `remote=192.0.2.1 method=POST`) || strings.Count(text.String(), "\n") != 1 {
		t.Errorf("text: %q", text.String())
	}
	want := regexp.MustCompile(`^192\.0\.2\.1 - - \[\d\d/\w{3}/\d{4}:[\d:]{8} [+-]\d{4}\] "POST /a\?b=c HTTP/1\.1" 201 5 "-" "evil\\n\\"agent\\""\n$`)
	if !want.MatchString(combined.String()) {
		t.Errorf("combined: %q", combined.String())
	}
}

func TestAccessLogOfAUnixPeer(t *testing.T) {
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	r.RemoteAddr = "@"
	var out bytes.Buffer
	observe.Handler(http.NotFoundHandler(), observe.NewAccessLog(&out, "text")).ServeHTTP(httptest.NewRecorder(), r)
	if !strings.Contains(out.String(), "remote=unix ") {
		t.Error(out.String())
	}
}

func TestMetrics(t *testing.T) {
	m := observe.NewMetrics()
	m.WatchServer(func() windhover.Stats { return windhover.Stats{Connections: 3, Rejected: 2} })
	m.WatchLog(func() uint64 { return 7 }, func() uint64 { return 0 })
	do(http.NotFoundHandler(), m)
	r := httptest.NewRequest("MADEUP", "/", nil)
	observe.Handler(http.NotFoundHandler(), m).ServeHTTP(httptest.NewRecorder(), r)
	text, err := testutil.GatherAndCount(m.Registry(), "http_server_request_duration_seconds")
	if err != nil || text != 2 {
		t.Errorf("%d series, %v", text, err)
	}
	if err := testutil.GatherAndCompare(m.Registry(), strings.NewReader(`
# HELP http_server_active_requests Requests that are being answered.
# TYPE http_server_active_requests gauge
http_server_active_requests 0
# HELP kestrel_active_connections Open connections, upgraded ones not counted.
# TYPE kestrel_active_connections gauge
kestrel_active_connections 3
# HELP kestrel_rejected_connections_total Connections refused at the limit.
# TYPE kestrel_rejected_connections_total counter
kestrel_rejected_connections_total 2
# HELP windhover_access_log_dropped_total Access log records dropped because the log was slow.
# TYPE windhover_access_log_dropped_total counter
windhover_access_log_dropped_total 7
`), "http_server_active_requests", "kestrel_active_connections", "kestrel_rejected_connections_total", "windhover_access_log_dropped_total"); err != nil {
		t.Error(err)
	}
}

// The goal: a record costs at most 4 allocations beyond the wrapper's own.
func BenchmarkAccessLog(b *testing.B) {
	r := httptest.NewRequest(http.MethodGet, "/some/path?with=query", nil)
	r.Header.Set("User-Agent", "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36")
	h := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) })
	for name, o := range map[string][]observe.Observer{
		"none":     nil,
		"json":     {observe.NewAccessLog(io.Discard, "json")},
		"text":     {observe.NewAccessLog(io.Discard, "text")},
		"combined": {observe.Combined{W: io.Discard}},
		"metrics":  {observe.NewMetrics()},
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			handler, w := observe.Handler(h, o...), httptest.NewRecorder()
			for b.Loop() {
				handler.ServeHTTP(w, r)
			}
		})
	}
}
