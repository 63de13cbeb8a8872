package tlsbridge

import (
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"reflect"
	"strings"
	"sync"
	"testing"

	"github.com/windhover-server/windhover/listen"
)

// What TLS adds to an idle connection of ours, crypto/tls's part aside, fills one
// of Go's size classes.
func TestSizeOfASleeve(t *testing.T) {
	if size := reflect.TypeFor[sleeve]().Size(); size > 192 {
		t.Errorf("%d bytes", size)
	}
}

// script is an inner protocol made of functions; what is nil does the usual.
type script struct {
	link listen.Link
	data func(s *script, p []byte) listen.Verdict
	eof  func(s *script) listen.Verdict

	mu    sync.Mutex
	got   bytes.Buffer
	eofs  int
	gone  []error
	drain int
	lost  []error
	ended chan struct{} // closed by Lost
}

func newScript(data func(s *script, p []byte) listen.Verdict) *script {
	return &script{data: data, ended: make(chan struct{})}
}

func (s *script) accept(l listen.Link) listen.Protocol {
	s.link = l
	return s
}

func (s *script) Data(p []byte) listen.Verdict {
	s.mu.Lock()
	s.got.Write(p)
	s.mu.Unlock()
	if s.data == nil {
		return listen.Wait
	}
	return s.data(s, p)
}

func (s *script) EOF() listen.Verdict {
	s.mu.Lock()
	s.eofs++
	s.mu.Unlock()
	if s.eof != nil {
		return s.eof(s)
	}
	return listen.Close
}

func (s *script) Expired() listen.Verdict { return listen.Abort }
func (s *script) Drain() listen.Verdict   { s.drain++; return listen.Close }
func (s *script) Gone(err error) {
	s.mu.Lock()
	s.gone = append(s.gone, err)
	s.mu.Unlock()
}
func (s *script) Lost(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.lost = append(s.lost, err); len(s.lost) == 1 {
		close(s.ended)
	}
}

// echo answers every piece of data with itself.
func echo(s *script, p []byte) listen.Verdict {
	s.link.End(append(s.link.Begin(), p...))
	return listen.Wait
}

var versions = []uint16{tls.VersionTLS12, tls.VersionTLS13}

// eachVersion runs f for TLS 1.2 and TLS 1.3.
func eachVersion(t *testing.T, f func(t *testing.T, version uint16)) {
	for _, v := range versions {
		t.Run(strings.ReplaceAll(tls.VersionName(v), " ", ""), func(t *testing.T) { f(t, v) })
	}
}

// dial makes a TLS client over a new connection to accept.
func dial(t testing.TB, accept listen.Acceptor, cfg *tls.Config) *tls.Conn {
	t.Helper()
	c := tls.Client(serveMem(t, accept), cfg)
	if err := c.Handshake(); err != nil {
		t.Fatalf("handshake: %v", err)
	}
	return c
}

func clientConfig(ca *testAuthority, version uint16) *tls.Config {
	return &tls.Config{ServerName: "localhost", RootCAs: ca.pool(), MaxVersion: version}
}

func TestEcho(t *testing.T) {
	ca := newAuthority(t, "root")
	b := newBridge(t, ca, &Config{})
	eachVersion(t, func(t *testing.T, version uint16) {
		s := newScript(echo)
		c := dial(t, b.Wrap(s.accept, nil), clientConfig(ca, version))
		for _, n := range []int{1, 100, 5000, 16384, 100_000} {
			want := bytes.Repeat([]byte{byte(n)}, n)
			go c.Write(want)
			got := make([]byte, n)
			if _, err := io.ReadFull(c, got); err != nil || !bytes.Equal(got, want) {
				t.Fatalf("echo of %d bytes: %v", n, err)
			}
		}
		if got := c.ConnectionState().Version; got != version {
			t.Fatalf("version %x, want %x", got, version)
		}
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
		<-s.ended
		if s.eofs != 1 || len(s.lost) != 1 || s.lost[0] != nil {
			t.Fatalf("after close_notify: EOF %d times, Lost %v", s.eofs, s.lost)
		}
	})
}

// hand drives a sleeve call by call, to see that after the handshake no call
// waits for input.
type hand struct {
	t      testing.TB
	raw    *rawClient
	link   *memLink
	p      listen.Protocol
	script *script
	server *memEnd
}

// newHand makes a handshake. Whatever the client writes from then on is given
// to feed.
func newHand(t testing.TB, ca *testAuthority, b *Bridge, version uint16, s *script) *hand {
	t.Helper()
	client, server := memConnPair()
	h := &hand{t: t, script: s, server: server, link: &memLink{conn: server}}
	h.p = b.Wrap(s.accept, nil)(h.link)
	done := make(chan listen.Verdict)
	go func() {
		buf := make([]byte, 32<<10)
		n, _ := server.Read(buf)
		v := h.p.Data(buf[:n])
		h.link.Flush()
		done <- v
	}()
	h.raw = dialRaw(t, client, ca, version)
	if v := <-done; v != listen.Wait {
		t.Fatalf("verdict %d of the handshake", v)
	}
	h.link.reads = 0
	return h
}

// feed hands ciphertext to the sleeve in one call.
func (h *hand) feed(p []byte) listen.Verdict {
	h.t.Helper()
	lent := bytes.Clone(p)
	v := h.p.Data(lent)
	clear(lent)
	if h.link.reads != 0 {
		h.t.Fatal("the call waited for input")
	}
	h.link.Flush()
	return v
}

// A record may arrive in any two pieces, and byte by byte; each call returns
// at once and nothing is lost.
func TestRecordSplitAtEveryByte(t *testing.T) {
	ca := newAuthority(t, "root")
	b := newBridge(t, ca, &Config{})
	eachVersion(t, func(t *testing.T, version uint16) {
		h := newHand(t, ca, b, version, newScript(echo))
		n := len(h.raw.data("probe")) // its length; not sent, so the number is taken back
		h.raw.out.seq--
		for i := 1; i < n; i++ {
			rec := h.raw.data("probe")
			if v := h.feed(rec[:i]); v != listen.Wait {
				t.Fatalf("split at %d: verdict %d", i, v)
			}
			h.feed(rec[i:])
			h.raw.want("probe")
		}
		for _, c := range h.raw.data("byte by byte") {
			h.feed([]byte{c})
		}
		h.raw.want("byte by byte")
	})
}

// Two records and a half in one call, with the rest in the next.
func TestManyRecordsInOneCall(t *testing.T) {
	ca := newAuthority(t, "root")
	b := newBridge(t, ca, &Config{})
	eachVersion(t, func(t *testing.T, version uint16) {
		calls := 0
		s := newScript(func(s *script, p []byte) listen.Verdict { calls++; return echo(s, p) })
		h := newHand(t, ca, b, version, s)
		in := bytes.Join([][]byte{h.raw.data("one "), h.raw.data("two "), h.raw.data("three")}, nil)
		h.feed(in[:len(in)-7])
		h.raw.want("one two ")
		if calls != 1 {
			t.Errorf("two records came in %d calls of Data, want 1", calls)
		}
		h.feed(in[len(in)-7:])
		h.raw.want("three")
	})
}

// More plaintext than the buffer holds reaches the inner protocol in order.
func TestMoreThanOneBuffer(t *testing.T) {
	ca := newAuthority(t, "root")
	b := newBridge(t, ca, &Config{})
	h := newHand(t, ca, b, tls.VersionTLS13, newScript(nil))
	var in []byte
	var want strings.Builder
	for i := range 5 {
		s := strings.Repeat(fmt.Sprint(i), 9000)
		want.WriteString(s)
		in = append(in, h.raw.data(s)...)
	}
	h.feed(in)
	if got := h.script.got.String(); got != want.String() {
		t.Fatalf("got %d bytes, want %d", len(got), want.Len())
	}
}

// Key updates arrive split at every byte, with and without a request for ours,
// and the connection goes on under the new keys (RFC 8446 section 4.6.3).
func TestKeyUpdate(t *testing.T) {
	ca := newAuthority(t, "root")
	b := newBridge(t, ca, &Config{})
	for _, request := range []bool{false, true} {
		t.Run(fmt.Sprintf("request=%v", request), func(t *testing.T) {
			h := newHand(t, ca, b, tls.VersionTLS13, newScript(echo))
			n := recordHeaderLen + 5 + 1 + 16
			for i := 1; i < n; i++ {
				rec := h.raw.keyUpdate(request)
				h.feed(rec[:i])
				h.feed(rec[i:])
				h.feed(h.raw.data("after"))
				h.raw.want("after")
			}
		})
	}
}

// A post-handshake message may be cut over several records, which come apart.
func TestPostHandshakeMessageInPieces(t *testing.T) {
	ca := newAuthority(t, "root")
	b := newBridge(t, ca, &Config{})
	h := newHand(t, ca, b, tls.VersionTLS13, newScript(echo))
	msg := []byte{24, 0, 0, 1, 0}
	for i := 1; i < len(msg); i++ {
		h.feed(h.raw.seal(typeHandshake, msg[:i]))
		h.feed(h.raw.seal(typeHandshake, msg[i:]))
		h.raw.out.update()
		h.feed(h.raw.data("on"))
		h.raw.want("on")
	}
}

// Application data inside a cut message is refused (RFC 8446 section 5.1).
func TestInterleavedHandshakeMessageIsRefused(t *testing.T) {
	ca := newAuthority(t, "root")
	b := newBridge(t, ca, &Config{})
	h := newHand(t, ca, b, tls.VersionTLS13, newScript(echo))
	h.feed(h.raw.seal(typeHandshake, []byte{24, 0, 0}))
	if v := h.feed(h.raw.data("x")); v != listen.Close {
		t.Fatalf("verdict %d, want Close", v)
	}
	h.raw.wantAlert(10) // unexpected_message
	if h.script.got.Len() > 0 {
		t.Fatalf("the protocol got %q", &h.script.got)
	}
}

// A server has nothing to do with other messages after the handshake.
func TestUnexpectedPostHandshakeMessageIsRefused(t *testing.T) {
	ca := newAuthority(t, "root")
	b := newBridge(t, ca, &Config{})
	h := newHand(t, ca, b, tls.VersionTLS13, newScript(echo))
	if v := h.feed(h.raw.seal(typeHandshake, []byte{13, 0, 0, 3, 0, 0, 0})); v != listen.Close { // CertificateRequest
		t.Fatalf("verdict %d, want Close", v)
	}
	h.p.Lost(nil)
	if len(h.script.lost) != 1 || h.script.lost[0] == nil {
		t.Fatalf("Lost(%v), want the reason", h.script.lost)
	}
}

// Renegotiation (TLS 1.2) is refused whatever form it takes.
func TestRenegotiationIsRefused(t *testing.T) {
	ca := newAuthority(t, "root")
	b := newBridge(t, ca, &Config{})
	hello := append([]byte{1, 0, 0, 41, 3, 3}, make([]byte, 39)...)
	hello[6+32+2], hello[6+32+4] = 2, 0x2f // one cipher suite
	for name, msg := range map[string][]byte{"ClientHello": hello, "HelloRequest": {0, 0, 0, 0}} {
		t.Run(name, func(t *testing.T) {
			h := newHand(t, ca, b, tls.VersionTLS12, newScript(echo))
			if v := h.feed(h.raw.seal(typeHandshake, msg)); v != listen.Close {
				t.Fatalf("verdict %d, want Close", v)
			}
			if h.script.got.Len() > 0 {
				t.Fatal("the protocol got data")
			}
		})
	}
}

func TestCloseNotifySplitAtEveryByte(t *testing.T) {
	ca := newAuthority(t, "root")
	b := newBridge(t, ca, &Config{})
	eachVersion(t, func(t *testing.T, version uint16) {
		n := 1 << 10
		for i := 0; i < n; i++ {
			s := newScript(echo)
			s.eof = func(s *script) listen.Verdict {
				s.link.End(append(s.link.Begin(), "bye"...))
				return listen.Close
			}
			h := newHand(t, ca, b, version, s)
			rec := h.raw.seal(typeAlert, []byte{1, 0})
			n = len(rec)
			if i > 0 {
				if v := h.feed(rec[:i]); v != listen.Wait {
					t.Fatalf("split at %d: verdict %d", i, v)
				}
			}
			if v := h.feed(rec[i:]); v != listen.Close {
				t.Fatalf("split at %d: verdict %d, want Close", i, v)
			}
			h.raw.want("bye")
			h.raw.wantAlert(0)
			if s.eofs != 1 {
				t.Fatalf("EOF %d times", s.eofs)
			}
		}
	})
}

// Data behind close_notify is ignored, and a FIN after it is no second EOF.
func TestNothingCountsAfterCloseNotify(t *testing.T) {
	ca := newAuthority(t, "root")
	b := newBridge(t, ca, &Config{})
	eachVersion(t, func(t *testing.T, version uint16) {
		s := newScript(echo)
		s.eof = func(*script) listen.Verdict { return listen.Wait } // answers later
		h := newHand(t, ca, b, version, s)
		h.feed(append(append(h.raw.data("last"), h.raw.seal(typeAlert, []byte{1, 0})...), h.raw.data("more")...))
		h.feed(h.raw.data("and more"))
		if v := h.p.EOF(); v != listen.Wait {
			t.Fatalf("verdict %d of EOF", v)
		}
		if s.got.String() != "last" || s.eofs != 1 {
			t.Fatalf("got %q, EOF %d times", &s.got, s.eofs)
		}
	})
}

// A FIN between records is an end of input; inside a record it is a truncation.
func TestEndWithoutCloseNotify(t *testing.T) {
	ca := newAuthority(t, "root")
	b := newBridge(t, ca, &Config{})
	eachVersion(t, func(t *testing.T, version uint16) {
		h := newHand(t, ca, b, version, newScript(echo))
		h.feed(h.raw.data("x"))
		if v := h.p.EOF(); v != listen.Close || h.script.eofs != 1 {
			t.Fatalf("between records: verdict %d, EOF %d times", v, h.script.eofs)
		}

		h = newHand(t, ca, b, version, newScript(echo))
		rec := h.raw.data("x")
		h.feed(rec[:len(rec)-1])
		if v := h.p.EOF(); v != listen.Close || h.script.eofs != 0 {
			t.Fatalf("inside a record: verdict %d, EOF %d times", v, h.script.eofs)
		}
		h.p.Lost(nil)
		if !errors.Is(h.script.lost[0], io.ErrUnexpectedEOF) {
			t.Fatalf("Lost(%v), want io.ErrUnexpectedEOF", h.script.lost[0])
		}
	})
}

// What the peer gets wrong ends the connection with the alert that says so.
func TestAlerts(t *testing.T) {
	ca := newAuthority(t, "root")
	b := newBridge(t, ca, &Config{})
	eachVersion(t, func(t *testing.T, version uint16) {
		tests := []struct {
			name  string
			input func(c *rawClient) []byte
			alert byte
		}{
			{"forged record", func(c *rawClient) []byte { r := c.data("x"); r[len(r)-1] ^= 1; return r }, 20},
			{"record too long", func(c *rawClient) []byte { return []byte{typeData, 3, 3, 0xff, 0xff} }, 22},
			{"wrong record version", func(c *rawClient) []byte { return []byte{typeData, 3, 9, 0, 20} }, 70},
			{"unknown alert level", func(c *rawClient) []byte { return c.seal(typeAlert, []byte{1}) }, 10},
			{"unknown record type", func(c *rawClient) []byte { return c.seal(99, []byte{1}) }, 10},
			{"empty records without end", func(c *rawClient) []byte {
				var p []byte
				for range 20 {
					p = append(p, c.data("")...)
				}
				return p
			}, 10},
		}
		for _, tt := range tests {
			t.Run(tt.name, func(t *testing.T) {
				h := newHand(t, ca, b, version, newScript(echo))
				if v := h.feed(tt.input(h.raw)); v != listen.Close {
					t.Fatalf("verdict %d, want Close", v)
				}
				h.raw.wantAlert(tt.alert)
				if h.script.got.Len() > 0 || h.script.eofs > 0 {
					t.Fatal("the protocol heard of it as data or as an end")
				}
			})
		}
	})
}

// A few empty records are harmless, as crypto/tls has it.
func TestEmptyRecords(t *testing.T) {
	ca := newAuthority(t, "root")
	b := newBridge(t, ca, &Config{})
	eachVersion(t, func(t *testing.T, version uint16) {
		h := newHand(t, ca, b, version, newScript(echo))
		for range 10 {
			if v := h.feed(h.raw.data("")); v != listen.Wait {
				t.Fatalf("verdict %d", v)
			}
		}
		h.feed(h.raw.data("x"))
		h.raw.want("x")
	})
}

// A fatal alert from the peer ends the connection and is the reason of Lost.
func TestAlertFromPeer(t *testing.T) {
	ca := newAuthority(t, "root")
	b := newBridge(t, ca, &Config{})
	eachVersion(t, func(t *testing.T, version uint16) {
		h := newHand(t, ca, b, version, newScript(echo))
		if v := h.feed(h.raw.seal(typeAlert, []byte{2, 80})); v != listen.Close {
			t.Fatalf("verdict %d, want Close", v)
		}
		h.p.Lost(nil)
		if len(h.script.lost) != 1 || h.script.lost[0] == nil {
			t.Fatalf("Lost(%v), want the alert", h.script.lost)
		}
	})
}

// The data before a fault in the same call is delivered.
func TestDataBeforeFaultIsDelivered(t *testing.T) {
	ca := newAuthority(t, "root")
	b := newBridge(t, ca, &Config{})
	h := newHand(t, ca, b, tls.VersionTLS13, newScript(echo))
	bad := h.raw.data("bad")
	h.raw.out.seq--
	good := h.raw.data("good")
	bad[10] ^= 1
	if v := h.feed(append(good, bad...)); v != listen.Close {
		t.Fatalf("verdict %d, want Close", v)
	}
	if h.script.got.String() != "good" {
		t.Fatalf("got %q", &h.script.got)
	}
}

// A protocol that need not wait for its client's end has a client with a
// close_notify still to send.
func TestFinishIsCloseOverTLS(t *testing.T) {
	ca := newAuthority(t, "root")
	b := newBridge(t, ca, &Config{})
	h := newHand(t, ca, b, tls.VersionTLS13, newScript(func(s *script, p []byte) listen.Verdict {
		s.link.End(append(s.link.Begin(), "last"...))
		return listen.Finish
	}))
	if v := h.feed(h.raw.data("x")); v != listen.Close {
		t.Fatalf("verdict %d, want Close", v)
	}
	h.raw.want("last")
	h.raw.wantAlert(0) // close_notify
}
