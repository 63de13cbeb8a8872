package windhover_test

import (
	"bytes"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/windhover-server/windhover"
)

var okHandler = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) })

func hostStatus(f *windhover.HostFilter, host string) int {
	if f.Handler == nil {
		f.Handler = okHandler
	}
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	r.Host = host
	w := httptest.NewRecorder()
	f.ServeHTTP(w, r)
	return w.Code
}

func TestHostFilterAllowsMatchingHosts(t *testing.T) {
	for _, c := range []struct{ host, pattern string }{
		{"localHost", "localhost"}, {"localHost", "*"}, {"localHost", "[::]"}, {"localHost", "0.0.0.0"},
		{"localhost:9090", "example.com;localHost"},
		{"localHost:80", "localhost;"},
		{"foo.eXample.com:443", "*.exampLe.com"}, {"f.eXample.com:443", "*.exampLe.com"},
		{"a.b.example.com", "*.example.com"},
		{"127.0.0.1", "127.0.0.1"}, {"127.0.0.1:443", "127.0.0.1"},
		{"xn--c1yn36f:443", "xn--c1yn36f"}, {"xn--c1yn36f:443", "點看"},
		{"[::ABC]", "[::aBc]"}, {"[::1]:80", "[::1]"},
		{"sub.xn--c1yn36f", "*.點看"},
		{"localhost", " localhost ; example.com"},
	} {
		f := &windhover.HostFilter{AllowedHosts: []string{c.pattern}}
		if got := hostStatus(f, c.host); got != http.StatusNoContent {
			t.Errorf("host %q, pattern %q: %d", c.host, c.pattern, got)
		}
	}
}

func TestHostFilterRefusesOtherHosts(t *testing.T) {
	for _, c := range []struct{ host, pattern string }{
		{"example.com", "localhost"},
		{";", "example.com;localhost"}, {";:80", "example.com;localhost"},
		{":80", "localhost"}, {":", "localhost"},
		{"example.com:443", "*.example.com"}, {".example.com:443", "*.example.com"},
		{"foo.com:443", "*.example.com"}, {"foo.example.com.bar:443", "*.example.com"},
		{".com:443", "*.com"},
		{"點看", "點看"},
		{"[::1", "[::1]"}, {"[::1:80", "[::1]"},
		{"a..example.com", "*.example.com"}, {"*.example.com", "*.example.com"},
		{"localhost:", "localhost"}, {"localhost:80x", "localhost"}, {"localhost:80:80", "localhost"},
		{"user@localhost", "localhost"}, {"[::1]80", "[::1]"}, {"[::1]:", "[::1]"},
	} {
		f := &windhover.HostFilter{AllowedHosts: []string{c.pattern}}
		if got := hostStatus(f, c.host); got != http.StatusBadRequest {
			t.Errorf("host %q, pattern %q: %d", c.host, c.pattern, got)
		}
	}
}

func TestHostFilterEmptyHostIsDecidedBeforePatterns(t *testing.T) {
	for _, pattern := range []string{"localhost", "*"} {
		if got := hostStatus(&windhover.HostFilter{AllowedHosts: []string{pattern}}, ""); got != http.StatusNoContent {
			t.Errorf("pattern %q: empty host gets %d by default", pattern, got)
		}
		f := &windhover.HostFilter{AllowedHosts: []string{pattern}, RefuseEmptyHosts: true}
		if got := hostStatus(f, ""); got != http.StatusBadRequest {
			t.Errorf("pattern %q: empty host gets %d with RefuseEmptyHosts", pattern, got)
		}
	}
}

func TestHostFilterWithoutPatternsIsAServerError(t *testing.T) {
	for _, hosts := range [][]string{nil, {""}, {";"}} {
		f := &windhover.HostFilter{AllowedHosts: hosts}
		if got := hostStatus(f, "localhost"); got != http.StatusInternalServerError {
			t.Errorf("%q: %d", hosts, got)
		}
		if f.Validate() == nil {
			t.Errorf("%q: Validate finds nothing", hosts)
		}
	}
}

func TestHostFilterValidateNamesUnusablePatterns(t *testing.T) {
	for _, pattern := range []string{"localhost:80", "a b", "http://x", "[::1]:80", "*.", "*.a:1", "[::1", "a/b"} {
		err := (&windhover.HostFilter{AllowedHosts: []string{"ok", pattern}}).Validate()
		if err == nil || !strings.Contains(err.Error(), `"`+pattern+`"`) {
			t.Errorf("%q: %v", pattern, err)
		}
	}
}

func TestHostFilterFailurePage(t *testing.T) {
	f := &windhover.HostFilter{Handler: okHandler, AllowedHosts: []string{"localhost"}}
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	w := httptest.NewRecorder()
	f.ServeHTTP(w, r)
	res := w.Result()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	if res.ContentLength != int64(len(body)) || !strings.Contains(string(body), "hostname is invalid") ||
		!strings.HasPrefix(res.Header.Get("Content-Type"), "text/html") {
		t.Errorf("%v %q", res.Header, body)
	}

	f.OmitFailureMessage = true
	w = httptest.NewRecorder()
	f.ServeHTTP(w, r)
	if w.Code != http.StatusBadRequest || w.Body.Len() != 0 || w.Header().Get("Content-Length") != "0" {
		t.Errorf("%d %v %q", w.Code, w.Header(), w.Body)
	}
}

func TestHostFilterTakesNewPatternsAtRunTime(t *testing.T) {
	f := &windhover.HostFilter{AllowedHosts: []string{"example.com"}}
	if got := hostStatus(f, "localhost"); got != http.StatusBadRequest {
		t.Fatal(got)
	}
	if err := f.SetAllowedHosts([]string{"localhost"}); err != nil {
		t.Fatal(err)
	}
	if got := hostStatus(f, "localhost"); got != http.StatusNoContent {
		t.Error(got)
	}
	if err := f.SetAllowedHosts([]string{"bad:80"}); err == nil {
		t.Error("a pattern with a port is taken")
	}
	if got := hostStatus(f, "localhost"); got != http.StatusNoContent {
		t.Error("a failed change loses the old patterns")
	}
}

// Who asks for hosts that do not exist cannot fill the log.
func TestRefusalsAreLoggedAtABoundedRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		logger := slog.New(slog.NewTextHandler(&out, nil))
		filter := &windhover.HostFilter{AllowedHosts: []string{"localhost"}, Logger: logger}
		symmetric := &windhover.ForwardedHeaders{RequireSymmetry: true, Logger: logger, Handler: okHandler,
			Fields: windhover.ForwardedFor | windhover.ForwardedProto}
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.RemoteAddr = "127.0.0.1:1"
		r.Header.Set("X-Forwarded-For", "1.1.1.1")
		for range 2 {
			for range 300 {
				if hostStatus(filter, "evil.test") != http.StatusBadRequest {
					t.Fatal("not refused")
				}
				symmetric.ServeHTTP(httptest.NewRecorder(), r)
			}
			time.Sleep(time.Second) // of the bubble
		}
		for _, want := range []string{`level=INFO msg="request rejected: its host matched no pattern" event_id=6 host=evil.test`, "level=WARN msg=\"forwarded headers ignored"} {
			if n := strings.Count(out.String(), want); n != 20 {
				t.Errorf("%d times %s", n, want)
			}
		}
		if n := strings.Count(out.String(), "suppressed=290"); n != 2 {
			t.Errorf("%d of 2 say how many were left out:\n%s", n, &out)
		}
	})
}

func FuzzHostFilter(f *testing.F) {
	f.Add("localhost", "localhost")
	f.Add("foo.example.com:80", "*.example.com")
	f.Add("[::1]:80", "[::1]")
	f.Add("點看", "點看;xn--c1yn36f")
	f.Fuzz(func(t *testing.T, host, pattern string) {
		filter := &windhover.HostFilter{AllowedHosts: []string{pattern}, RefuseEmptyHosts: true}
		if filter.Validate() != nil {
			t.Skip()
		}
		got := hostStatus(filter, host)
		if upper := hostStatus(filter, strings.ToUpper(host)); isASCII(host) && upper != got {
			t.Errorf("case of %q matters: %d, %d", host, got, upper)
		}
		if got == http.StatusNoContent && !isASCII(host) && !strings.ContainsAny(pattern, "*[0") {
			t.Errorf("non-ASCII host %q passes %q", host, pattern)
		}
		if host != "" && hostStatus(&windhover.HostFilter{AllowedHosts: []string{"*"}}, host) != http.StatusNoContent {
			t.Errorf("%q does not pass *", host)
		}
	})
}

func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= 0x80 {
			return false
		}
	}
	return true
}
