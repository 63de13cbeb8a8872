package proto

import (
	"io"
	"net/http"
	"testing"

	"github.com/windhover-server/windhover/listen"
)

// Only a client that has promised to send nothing more is not waited for.
func TestVerdictAtTheEnd(t *testing.T) {
	hello := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "Hello") })
	final := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { w.Header().Set("Connection", "close") })
	for _, tc := range []struct {
		name, input string
		svc         *Service
		want        listen.Verdict
	}{
		{"close", "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", &Service{Handler: hello}, listen.Finish},
		{"close, native", "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
			&Service{Native: HandlerFunc(func(x *Exchange) { x.Respond(200, "", nil) })}, listen.Finish},
		{"closed by the handler", "GET / HTTP/1.1\r\nHost: a\r\n\r\n", &Service{Handler: final}, listen.Close},
		{"more behind it", "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\nGET", &Service{Handler: hello}, listen.Close},
		{"body", "POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 1\r\n\r\nx", &Service{Handler: hello}, listen.Close},
		{"HTTP/1.0", "GET / HTTP/1.0\r\n\r\n", &Service{Handler: hello}, listen.Close},
		{"bad request", "GET / HTTP/1.1\r\nConnection: close\r\n\r\n", &Service{Handler: hello}, listen.Close},
	} {
		if out, v := play(t, tc.svc, tc.input); v != tc.want {
			t.Errorf("%s: verdict %d, want %d, after %q", tc.name, v, tc.want, out)
		}
	}
}
