package windhover_test

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"

	"github.com/windhover-server/windhover"
)

// forward sends one request with the given "Name: value" lines through f and
// returns it as the handler saw it.
func forward(t *testing.T, f *windhover.ForwardedHeaders, remote string, lines ...string) *http.Request {
	t.Helper()
	var seen *http.Request
	f.Handler = http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { seen = r })
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	r.Host, r.RemoteAddr = "origin.test", remote
	for _, line := range lines {
		name, value, _ := strings.Cut(line, ": ")
		r.Header.Add(name, value)
	}
	w := httptest.NewRecorder()
	f.ServeHTTP(w, r)
	if seen == nil {
		t.Fatalf("the handler was not called: %d", w.Code)
	}
	return seen
}

func addrs(list ...string) (out []netip.Addr) {
	for _, s := range list {
		out = append(out, netip.MustParseAddr(s))
	}
	return out
}

func TestForwardedForWalksFromTheRight(t *testing.T) {
	const one, two, three = "11.111.111.11:12345", "12.112.112.12:23456", "13.113.113.13:34567"
	for _, c := range []struct {
		limit        int
		header, want string
		left         string
	}{
		{0, one, one, ""},
		{1, "11.111.111.11.12345", "10.0.0.1:99", "11.111.111.11.12345"},
		{1, one, one, ""},
		{10, one, one, ""},
		{1, two + ", " + one, one, two},
		{0, two + ", " + one, one, two},
		{2, two + ", " + one, two, ""},
		{-1, three + "," + two + "," + one, three, ""},
		{2, three + ", " + two + ", " + one, two, three},
		{3, three + ", " + two + ", " + one, three, ""},
		{10, "12.112.112.12.23456, " + one, one, "12.112.112.12.23456"},
		{10, three + ", 12.112.112.12.23456, " + one, one, three + ", 12.112.112.12.23456"},
		{10, ", " + one + ",", one, ""},
		{10, `"` + one + `"`, one, ""},
	} {
		f := &windhover.ForwardedHeaders{Fields: windhover.ForwardedFor, ForwardLimit: c.limit, TrustAll: true}
		r := forward(t, f, "10.0.0.1:99", "X-Forwarded-For: "+c.header)
		if r.RemoteAddr != c.want || r.Header.Get("X-Forwarded-For") != c.left {
			t.Errorf("limit %d, %q: RemoteAddr %q, left %q", c.limit, c.header, r.RemoteAddr, r.Header.Get("X-Forwarded-For"))
		}
		original := ""
		if c.want != "10.0.0.1:99" {
			original = "10.0.0.1:99"
		}
		if got := r.Header.Get("X-Original-For"); got != original {
			t.Errorf("%q: X-Original-For %q", c.header, got)
		}
	}
}

func TestForwardedForStopsAtTheFirstUnknownSender(t *testing.T) {
	const header = "13.113.113.13:3, 12.112.112.12:2, 11.111.111.11:1"
	for _, c := range []struct {
		proxies []string
		want    string
	}{
		{[]string{"20.0.0.1"}, "10.0.0.1:99"},
		{[]string{"10.0.0.1"}, "11.111.111.11:1"},
		{[]string{"10.0.0.1", "11.111.111.11"}, "12.112.112.12:2"},
		{[]string{"10.0.0.1", "12.112.112.12"}, "11.111.111.11:1"},
		{[]string{"10.0.0.1", "11.111.111.11", "12.112.112.12"}, "13.113.113.13:3"},
		{[]string{"::ffff:10.0.0.1"}, "11.111.111.11:1"},
	} {
		f := &windhover.ForwardedHeaders{Fields: windhover.ForwardedFor, ForwardLimit: -1, KnownProxies: addrs(c.proxies...)}
		if r := forward(t, f, "10.0.0.1:99", "X-Forwarded-For: "+header); r.RemoteAddr != c.want {
			t.Errorf("known %v: %q, want %q", c.proxies, r.RemoteAddr, c.want)
		}
	}
}

func TestForwardedPeerTrust(t *testing.T) {
	networks := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("::ffff:172.16.0.0/108"), netip.MustParsePrefix("fd00::/8")}
	for _, c := range []struct {
		name     string
		networks []netip.Prefix
		trustAll bool
		peer     string
		believed bool
	}{
		{"IPv4 loopback by default", nil, false, "127.9.9.9:1", true},
		{"IPv6 loopback by default", nil, false, "[::1]:1", true},
		{"v4-mapped loopback", nil, false, "[::ffff:127.0.0.1]:1", true},
		{"another peer by default", nil, false, "10.0.0.1:1", false},
		{"a Unix socket", nil, false, "@", true},
		{"a Unix socket without a name", nil, false, "", true},
		{"a known network", networks, false, "10.2.3.4:1", true},
		{"a v4-mapped peer in a known network", networks, false, "[::ffff:10.2.3.4]:1", true},
		{"a network written v4-mapped", networks, false, "172.16.1.1:1", true},
		{"an IPv6 network", networks, false, "[fd00::1]:1", true},
		{"outside of the networks", networks, false, "11.0.0.1:1", false},
		{"loopback when networks are set", networks, false, "127.0.0.1:1", false},
		{"everybody", nil, true, "203.0.113.1:1", true},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := &windhover.ForwardedHeaders{KnownNetworks: c.networks, TrustAll: c.trustAll, Fields: windhover.ForwardedFor | windhover.ForwardedProto}
			r := forward(t, f, c.peer, "X-Forwarded-For: 1.2.3.4", "X-Forwarded-Proto: https")
			if got := r.RemoteAddr == "1.2.3.4:0"; got != c.believed {
				t.Errorf("RemoteAddr %q", r.RemoteAddr)
			}
			if got := windhover.Scheme(r) == "https"; got != c.believed {
				t.Errorf("scheme %q", windhover.Scheme(r))
			}
		})
	}
}

func TestForwardedPeerIsCheckedWithoutForwardedFor(t *testing.T) {
	f := &windhover.ForwardedHeaders{Fields: windhover.ForwardedProto}
	if r := forward(t, f, "203.0.113.1:1", "X-Forwarded-Proto: https"); windhover.Scheme(r) != "http" {
		t.Error("an unknown peer sets the scheme")
	}
}

func TestForwardedForForms(t *testing.T) {
	for _, c := range []struct{ value, want string }{
		{"127.0.0.1", "127.0.0.1:0"}, {"127.0.0.1:0", "127.0.0.1:0"}, {"127.0.0.1:65535", "127.0.0.1:65535"},
		{"::1", "[::1]:0"}, {"[::1]", "[::1]:0"}, {"[::1]:443", "[::1]:443"}, {"2001:db8::8:4", "[2001:db8::8:4]:0"},
		{"::ffff:1.2.3.4", "1.2.3.4:0"}, {"[::ffff:1.2.3.4]:5", "1.2.3.4:5"},
		{"127.0.0.1:65536", ""}, {"127.0.0.1:", ""}, {"127.0.0.1:-1", ""}, {"127.1", ""}, {"0x7f.1", ""}, {"2130706433", ""},
		{"[127.0.0.1]", ""}, {"[::1", ""}, {"::1]", ""}, {"[::1]:", ""}, {"fe80::1%eth0", ""}, {"[fe80::1%eth0]:1", ""},
		{"unknown", ""}, {"_hidden", ""}, {"localhost", ""}, {"127.0.0.1 ", "127.0.0.1:0"}, {"1.2.3.4:+5", ""},
	} {
		f := &windhover.ForwardedHeaders{Fields: windhover.ForwardedFor}
		want := c.want
		if want == "" {
			want = "[::1]:7"
		}
		if r := forward(t, f, "[::1]:7", "X-Forwarded-For: "+c.value); r.RemoteAddr != want {
			t.Errorf("%q: %q, want %q", c.value, r.RemoteAddr, want)
		}
	}
}

func TestForwardedProtoCharacters(t *testing.T) {
	for value, ok := range map[string]bool{
		"https": true, "h2+x-y.z": true, "HTTP": true, "wss": true,
		"h t": false, "http:": false, "http://": false, "ht/tp": false, "é": false, "h\x00": false, "<x>": false,
	} {
		f := &windhover.ForwardedHeaders{Fields: windhover.ForwardedProto}
		r := forward(t, f, "127.0.0.1:1", "X-Forwarded-Proto: "+value)
		want := "http"
		if ok {
			want = value
		}
		if got := windhover.Scheme(r); got != want {
			t.Errorf("%q: scheme %q", value, got)
		}
		if got := r.Header.Get("X-Original-Proto"); (got == "http") != ok {
			t.Errorf("%q: X-Original-Proto %q", value, got)
		}
	}
}

func TestForwardedHostSyntax(t *testing.T) {
	for _, ok := range []string{"z", "1", "y:1", "1:1", "-", "_", "~", "!", "$", "'", "(", ")", ".", "-foo:1234", "foo.BAR.baz:46245",
		"foo.ba-ar.baz:46245", "xn--asdfaf:134", "127.0.0.1:80", "900.900.900.900:9523547852", "[::1]:80", "[ABCdef]", "[abcDEF]:0", "[abcdef:127.2355.1246.114]:0"} {
		f := &windhover.ForwardedHeaders{Fields: windhover.ForwardedHost}
		if r := forward(t, f, "127.0.0.1:1", "X-Forwarded-Host: "+ok); r.Host != ok || r.Header.Get("X-Original-Host") != "origin.test" {
			t.Errorf("%q: Host %q", ok, r.Host)
		}
	}
	for _, bad := range []string{"[]", "[::]", "[ghijkl]", "[afd:adf:123", "[afd:adf]123", "[afd:adf]:", "[afd adf]", "[ad-314]", ":1234", "a:b:c", "::1", "::",
		"abcd:1abcd", "abcd:1.2", "1.2.3.4:", "1.2 .4", "a#", "a%20", "a*", "a+", "a/", "a;b", "<a", "a=", "a?", "a@b", "a[", `a\`, "a^", "a{", "a`", "a|"} {
		f := &windhover.ForwardedHeaders{Fields: windhover.ForwardedHost}
		if r := forward(t, f, "127.0.0.1:1", "X-Forwarded-Host: "+bad); r.Host != "origin.test" {
			t.Errorf("%q: Host %q", bad, r.Host)
		}
	}
}

func TestForwardedHostObeysAllowedHosts(t *testing.T) {
	for _, c := range []struct {
		allowed, host string
		want          bool
	}{
		{"", "any.test", true}, {"*", "any.test", true}, {"a.test;*.b.test", "A.test:8080", true},
		{"a.test;*.b.test", "x.b.test", true}, {"a.test;*.b.test", "b.test", false}, {"a.test", "evil.test", false},
	} {
		f := &windhover.ForwardedHeaders{Fields: windhover.ForwardedHost, AllowedHosts: []string{c.allowed}}
		if r := forward(t, f, "127.0.0.1:1", "X-Forwarded-Host: "+c.host); (r.Host == c.host) != c.want {
			t.Errorf("allowed %q, forwarded %q: Host %q", c.allowed, c.host, r.Host)
		}
	}
}

func TestForwardedPrefixMustStartWithASlash(t *testing.T) {
	for value, want := range map[string]string{"/app": "/app", "/a/b": "/a/b", "app": "", "http://x/": ""} {
		f := &windhover.ForwardedHeaders{Fields: windhover.ForwardedPrefix}
		if r := forward(t, f, "127.0.0.1:1", "X-Forwarded-Prefix: "+value); windhover.PathPrefix(r) != want {
			t.Errorf("%q: %q", value, windhover.PathPrefix(r))
		}
	}
}

var allForwarded = windhover.ForwardedFor | windhover.ForwardedProto | windhover.ForwardedHost | windhover.ForwardedPrefix

func TestForwardedNothingIsReadUnlessEnabled(t *testing.T) {
	lines := []string{"X-Forwarded-For: 1.2.3.4", "X-Forwarded-Proto: https", "X-Forwarded-Host: h.test", "X-Forwarded-Prefix: /p", "Forwarded: for=4.3.2.1;proto=ftp;host=s.test"}
	for _, c := range []struct {
		fields                       windhover.ForwardedFields
		remote, scheme, host, prefix string
	}{
		{0, "127.0.0.1:1", "http", "origin.test", ""},
		{windhover.ForwardedFor, "1.2.3.4:0", "http", "origin.test", ""},
		{windhover.ForwardedProto, "127.0.0.1:1", "https", "origin.test", ""},
		{windhover.ForwardedHost, "127.0.0.1:1", "http", "h.test", ""},
		{windhover.ForwardedPrefix, "127.0.0.1:1", "http", "origin.test", "/p"},
		{allForwarded, "1.2.3.4:0", "https", "h.test", "/p"},
	} {
		r := forward(t, &windhover.ForwardedHeaders{Fields: c.fields}, "127.0.0.1:1", lines...)
		if r.RemoteAddr != c.remote || windhover.Scheme(r) != c.scheme || r.Host != c.host || windhover.PathPrefix(r) != c.prefix {
			t.Errorf("fields %b: %q %q %q %q", c.fields, r.RemoteAddr, windhover.Scheme(r), r.Host, windhover.PathPrefix(r))
		}
		orig, ok := windhover.OriginalRequest(r)
		if ok != (c.fields != 0) || ok && (orig.RemoteAddr != "127.0.0.1:1" || orig.Host != "origin.test" || orig.Scheme != "http") {
			t.Errorf("fields %b: original %+v %v", c.fields, orig, ok)
		}
	}
}

func TestForwardedInvalidEntryIsSkippedWithoutStoppingTheWalk(t *testing.T) {
	f := &windhover.ForwardedHeaders{Fields: allForwarded, ForwardLimit: -1, TrustAll: true}
	r := forward(t, f, "10.0.0.1:1", "X-Forwarded-For: 2.2.2.2, 1.1.1.1", "X-Forwarded-Proto: https, b@d", "X-Forwarded-Host: good.test, b@d", "X-Forwarded-Prefix: /p, bad")
	if r.RemoteAddr != "2.2.2.2:0" || windhover.Scheme(r) != "https" || r.Host != "good.test" || windhover.PathPrefix(r) != "/p" {
		t.Errorf("%q %q %q %q", r.RemoteAddr, windhover.Scheme(r), r.Host, windhover.PathPrefix(r))
	}
}

func TestForwardedHeadersMayDifferInLength(t *testing.T) {
	f := &windhover.ForwardedHeaders{Fields: windhover.ForwardedFor | windhover.ForwardedProto, ForwardLimit: -1, TrustAll: true}
	r := forward(t, f, "10.0.0.1:1", "X-Forwarded-For: 1.1.1.1", "X-Forwarded-Proto: a, b, c")
	if r.RemoteAddr != "1.1.1.1:0" || windhover.Scheme(r) != "a" || r.Header.Get("X-Forwarded-Proto") != "" {
		t.Errorf("%q %q %v", r.RemoteAddr, windhover.Scheme(r), r.Header)
	}
}

func TestForwardedSymmetry(t *testing.T) {
	for _, c := range []struct {
		name  string
		lines []string
		taken bool
	}{
		{"equal", []string{"X-Forwarded-For: 2.2.2.2, 1.1.1.1", "X-Forwarded-Proto: https, https", "X-Forwarded-Host: a.test, b.test"}, true},
		{"proto missing", []string{"X-Forwarded-For: 1.1.1.1", "X-Forwarded-Host: a.test"}, false},
		{"one short", []string{"X-Forwarded-For: 2.2.2.2, 1.1.1.1", "X-Forwarded-Proto: https", "X-Forwarded-Host: a.test, b.test"}, false},
		{"invalid proto", []string{"X-Forwarded-For: 1.1.1.1", "X-Forwarded-Proto: h@", "X-Forwarded-Host: a.test"}, false},
		{"invalid host", []string{"X-Forwarded-For: 1.1.1.1", "X-Forwarded-Proto: https", "X-Forwarded-Host: a@test"}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := &windhover.ForwardedHeaders{RequireSymmetry: true, ForwardLimit: -1, TrustAll: true,
				Fields: windhover.ForwardedFor | windhover.ForwardedProto | windhover.ForwardedHost}
			r := forward(t, f, "10.0.0.1:1", c.lines...)
			if got := r.RemoteAddr != "10.0.0.1:1"; got != c.taken {
				t.Errorf("RemoteAddr %q", r.RemoteAddr)
			}
			if got := windhover.Scheme(r) == "https"; got != c.taken {
				t.Errorf("scheme %q", windhover.Scheme(r))
			}
		})
	}
}

func TestForwardedSeveralLinesAreOneList(t *testing.T) {
	f := &windhover.ForwardedHeaders{Fields: windhover.ForwardedFor, ForwardLimit: 2, TrustAll: true}
	r := forward(t, f, "10.0.0.1:1", "X-Forwarded-For: 3.3.3.3, 2.2.2.2", "X-Forwarded-For: 1.1.1.1")
	if got := r.Header.Values("X-Forwarded-For"); r.RemoteAddr != "2.2.2.2:0" || len(got) != 1 || got[0] != "3.3.3.3" {
		t.Errorf("%q %q", r.RemoteAddr, got)
	}
}

func TestForwardedHeaderNamesCanBeChanged(t *testing.T) {
	f := &windhover.ForwardedHeaders{Fields: windhover.ForwardedFor, ForHeader: "X-Real-IP", OriginalHeader: "X-Was-"}
	r := forward(t, f, "127.0.0.1:1", "X-Real-IP: 1.2.3.4", "X-Forwarded-For: 6.6.6.6", "X-Was-For: spoofed")
	if r.RemoteAddr != "1.2.3.4:0" || r.Header.Get("X-Was-For") != "127.0.0.1:1" || r.Header.Get("X-Forwarded-For") != "6.6.6.6" {
		t.Errorf("%q %v", r.RemoteAddr, r.Header)
	}
}

func TestForwardedStandardHeader(t *testing.T) {
	for _, c := range []struct {
		name         string
		limit        int
		lines        []string
		remote       string
		scheme, host string
		left         string
	}{
		{"all parameters", 0, []string{`for=192.0.2.43;proto=https;by=203.0.113.43;host=example.com`}, "192.0.2.43:0", "https", "example.com", ""},
		{"quoted IPv6 with a port, names in any case", 0, []string{`For="[2001:db8:cafe::17]:4711";PROTO=https`}, "[2001:db8:cafe::17]:4711", "https", "origin.test", ""},
		{"two proxies, one believed", 1, []string{`for=192.0.2.43, for=198.51.100.17;proto=https`}, "198.51.100.17:0", "https", "origin.test", "for=192.0.2.43"},
		{"two proxies in two lines", -1, []string{`for=192.0.2.43`, `for="198.51.100.17"`}, "192.0.2.43:0", "http", "origin.test", ""},
		{"an unknown client ends the walk", -1, []string{`for=unknown, for=198.51.100.17`}, "198.51.100.17:0", "http", "origin.test", "for=unknown"},
		{"a hidden client ends the walk", -1, []string{`for=_gazonk;proto=ftp`}, "10.0.0.1:1", "http", "origin.test", `for=_gazonk;proto=ftp`},
		{"a comma inside quotes", -1, []string{`for=1.1.1.1;ext="a,b;c\"", for=2.2.2.2`}, "1.1.1.1:0", "http", "origin.test", ""},
		{"an open quote from the client cannot hide the proxy's line", -1, []string{`for="6.6.6.6`, `for=2.2.2.2;proto=https`}, "2.2.2.2:0", "https", "origin.test", `for="6.6.6.6`},
		{"an open quote in the proxy's own line", -1, []string{`for="6.6.6.6, for=2.2.2.2`}, "10.0.0.1:1", "http", "origin.test", `for="6.6.6.6, for=2.2.2.2`},
		{"a parameter twice", -1, []string{`for=1.1.1.1;for=2.2.2.2`}, "10.0.0.1:1", "http", "origin.test", `for=1.1.1.1;for=2.2.2.2`},
		{"no value", -1, []string{`for`}, "10.0.0.1:1", "http", "origin.test", `for`},
		{"unquoted IPv6", -1, []string{`for=[::1]`}, "10.0.0.1:1", "http", "origin.test", `for=[::1]`},
		{"empty elements and pairs", -1, []string{`, for=1.1.1.1;;proto=https;,`}, "1.1.1.1:0", "https", "origin.test", ""},
		{"a bad host only is skipped", -1, []string{`for=1.1.1.1;host="a@b"`}, "1.1.1.1:0", "http", "origin.test", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := &windhover.ForwardedHeaders{Standard: true, ForwardLimit: c.limit, TrustAll: true,
				Fields: windhover.ForwardedFor | windhover.ForwardedProto | windhover.ForwardedHost}
			lines := []string{"X-Forwarded-For: 66.66.66.66"}
			for _, line := range c.lines {
				lines = append(lines, "Forwarded: "+line)
			}
			r := forward(t, f, "10.0.0.1:1", lines...)
			if r.RemoteAddr != c.remote || windhover.Scheme(r) != c.scheme || r.Host != c.host {
				t.Errorf("%q %q %q", r.RemoteAddr, windhover.Scheme(r), r.Host)
			}
			if got := strings.Join(r.Header.Values("Forwarded"), ", "); got != c.left {
				t.Errorf("left %q", got)
			}
		})
	}
}

func TestForwardedStandardSymmetry(t *testing.T) {
	f := &windhover.ForwardedHeaders{Standard: true, RequireSymmetry: true, Fields: windhover.ForwardedFor | windhover.ForwardedProto}
	if r := forward(t, f, "127.0.0.1:1", "Forwarded: for=1.1.1.1"); r.RemoteAddr != "127.0.0.1:1" {
		t.Error("an element without proto is applied")
	}
	if r := forward(t, f, "127.0.0.1:1", "Forwarded: for=1.1.1.1;proto=https"); r.RemoteAddr != "1.1.1.1:0" {
		t.Error("a complete element is not applied")
	}
}

func TestForwardedStandardHasNoPrefix(t *testing.T) {
	f := &windhover.ForwardedHeaders{Standard: true, Fields: windhover.ForwardedPrefix}
	if f.Validate() == nil {
		t.Error("Validate finds nothing")
	}
}

func TestForwardedSchemeIgnoresTheTargetAndSeesTLS(t *testing.T) {
	r := httptest.NewRequest(http.MethodGet, "https://absolute.test/", nil)
	r.TLS = nil
	if got := windhover.Scheme(r); got != "http" {
		t.Errorf("an absolute target sets the scheme: %q", got)
	}
	r.TLS = &tls.ConnectionState{}
	if got := windhover.Scheme(r); got != "https" {
		t.Errorf("TLS: %q", got)
	}
}

func TestForwardedRequestIsNotChangedInPlace(t *testing.T) {
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	r.RemoteAddr = "127.0.0.1:1"
	r.Header.Set("X-Forwarded-For", "1.2.3.4")
	f := &windhover.ForwardedHeaders{Fields: windhover.ForwardedFor, Handler: okHandler}
	f.ServeHTTP(httptest.NewRecorder(), r.WithContext(context.Background()))
	if r.RemoteAddr != "127.0.0.1:1" || r.Header.Get("X-Forwarded-For") != "1.2.3.4" {
		t.Errorf("%q %v", r.RemoteAddr, r.Header)
	}
}

func FuzzForwardedHeaders(f *testing.F) {
	f.Add("1.2.3.4, 127.0.0.1", "https, http", "a.test", `for=1.2.3.4;proto=https, for="[::1]:80"`)
	f.Add(`"[::1]:1`, "", ",", `for="1, for=2.2.2.2;host=`)
	f.Fuzz(func(t *testing.T, forNode, proto, host, standard string) {
		for _, std := range []bool{false, true} {
			h := &windhover.ForwardedHeaders{Standard: std, ForwardLimit: -1, Fields: windhover.ForwardedFor | windhover.ForwardedProto | windhover.ForwardedHost}
			lines := []string{"X-Forwarded-For: " + forNode, "X-Forwarded-Proto: " + proto, "X-Forwarded-Host: " + host, "Forwarded: " + standard}
			if r := forward(t, h, "203.0.113.1:9", lines...); r.RemoteAddr != "203.0.113.1:9" || r.Host != "origin.test" || windhover.Scheme(r) != "http" {
				t.Fatal("an untrusted peer is believed")
			}
			r := forward(t, h, "127.0.0.1:9", lines...)
			if _, _, err := net.SplitHostPort(r.RemoteAddr); err != nil {
				t.Fatalf("RemoteAddr %q", r.RemoteAddr)
			}
			if strings.ContainsAny(r.Host+windhover.Scheme(r), "\r\n \"<>/@") {
				t.Fatalf("Host %q, scheme %q", r.Host, windhover.Scheme(r))
			}
		}
	})
}
