package e2e

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
)

// A handler sees who is at the other end.
func TestHandlersSeeAddressesAndTLS(t *testing.T) {
	run(t, func(t *testing.T, m mode) {
		s := m.serve(t, app{handler: func(w http.ResponseWriter, r *http.Request) {
			local := r.Context().Value(http.LocalAddrContextKey)
			fmt.Fprintf(w, "tls %v, local %v, remote %v", r.TLS != nil && r.TLS.HandshakeComplete, local != nil, r.RemoteAddr != "")
		}})
		conn := s.dial()
		c := newRawClient(t, conn)
		c.send(get("/", "Connection: close"))
		want := fmt.Sprintf("tls %v, local true, remote true", m.tls)
		if got := c.ended(); !strings.HasSuffix(got, want) {
			t.Errorf("got %q, want %q", got, want)
		}
	})
}
