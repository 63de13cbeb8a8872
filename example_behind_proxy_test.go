package windhover_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"

	"github.com/windhover-server/windhover"
)

// Requests for other hosts than those that are served get 400.
func ExampleHostFilter() {
	filter := &windhover.HostFilter{
		AllowedHosts: []string{"example.com", "*.example.com"},
		Handler:      http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, "hello") }),
	}
	for _, host := range []string{"www.example.com:8080", "evil.test"} {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.Host = host
		w := httptest.NewRecorder()
		filter.ServeHTTP(w, r)
		fmt.Println(host, w.Code)
	}
	// Output:
	// www.example.com:8080 200
	// evil.test 400
}

// Behind a proxy in 10.0.0.0/8, handlers see the client and the scheme it used.
func ExampleForwardedHeaders() {
	h := &windhover.ForwardedHeaders{
		Fields:        windhover.ForwardedFor | windhover.ForwardedProto,
		KnownNetworks: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")},
		Handler: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			fmt.Println(r.RemoteAddr, windhover.Scheme(r))
		}),
	}
	for _, peer := range []string{"10.0.0.5:40000", "203.0.113.9:40000"} {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.RemoteAddr = peer
		r.Header.Set("X-Forwarded-For", "192.0.2.1")
		r.Header.Set("X-Forwarded-Proto", "https")
		h.ServeHTTP(httptest.NewRecorder(), r)
	}
	// Output:
	// 192.0.2.1:0 https
	// 203.0.113.9:40000 http
}
