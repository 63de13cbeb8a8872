package tlsbridge

import (
	"crypto/tls"
	"testing"

	"github.com/windhover-server/windhover/listen"
)

// BenchmarkRequest is what the sleeve and crypto/tls cost for a request of one
// record and a response of one, without transport. Goal: 1 allocation, which
// is crypto/tls's own.
func BenchmarkRequest(b *testing.B) {
	const request = "GET /some/path HTTP/1.1\r\nHost: localhost\r\nAccept: */*\r\nUser-Agent: bench\r\n\r\n"
	const response = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 13\r\n\r\nHello, world!"
	ca := newAuthority(b, "root")
	bridge := newBridge(b, ca, &Config{})
	h := newHand(b, ca, bridge, tls.VersionTLS13, newScript(nil))
	p := &fixedAnswer{h.script.link, response}
	h.p.(*sleeve).inner = p
	records := make([][]byte, b.N)
	for i := range records {
		records[i] = h.raw.data(request)
	}
	b.ReportAllocs()
	b.ResetTimer()
	for _, r := range records {
		if v := h.p.Data(r); v != listen.Wait {
			b.Fatal(v)
		}
		h.link.queue = h.link.queue[:0]
	}
}

type fixedAnswer struct {
	link listen.Link
	text string
}

func (a *fixedAnswer) Data([]byte) listen.Verdict {
	a.link.End(append(a.link.Begin(), a.text...))
	return listen.Wait
}
func (a *fixedAnswer) EOF() listen.Verdict     { return listen.Close }
func (a *fixedAnswer) Expired() listen.Verdict { return listen.Close }
func (a *fixedAnswer) Drain() listen.Verdict   { return listen.Close }
func (a *fixedAnswer) Lost(error)              {}
func (a *fixedAnswer) Gone(error)              {}
