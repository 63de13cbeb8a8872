//go:build !race

package tlsbridge

import (
	"crypto/tls"
	"testing"
)

// A request of one record and a response of one allocate once, in crypto/tls
// (the reader around its net.Conn).
func TestAllocationsPerRequest(t *testing.T) {
	ca := newAuthority(t, "root")
	b := newBridge(t, ca, &Config{})
	h := newHand(t, ca, b, tls.VersionTLS13, newScript(nil))
	h.p.(*sleeve).inner = &fixedAnswer{h.script.link, "HTTP/1.1 204 No Content\r\n\r\n"}
	const runs = 1000
	records := make([][]byte, runs+1) // AllocsPerRun warms up once
	for i := range records {
		records[i] = h.raw.data("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
	}
	n := 0
	allocs := testing.AllocsPerRun(runs, func() {
		h.p.Data(records[n])
		h.link.queue = h.link.queue[:0]
		n++
	})
	if allocs > 1 {
		t.Errorf("%v allocations per request, want 1", allocs)
	}
}
