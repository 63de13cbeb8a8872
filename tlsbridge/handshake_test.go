package tlsbridge

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/windhover-server/windhover/listen"
)

// hooks collects what the handshake hooks are told.
type hooks struct {
	mu   sync.Mutex
	errs []error
	all  []Handshake
}

func (h *hooks) config() *Config {
	return &Config{
		OnHandshakeError: func(_ net.Addr, err error) { h.mu.Lock(); h.errs = append(h.errs, err); h.mu.Unlock() },
		OnHandshake:      func(x Handshake) { h.mu.Lock(); h.all = append(h.all, x); h.mu.Unlock() },
	}
}

func (h *hooks) one(t *testing.T) error {
	t.Helper()
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.errs) != 1 || len(h.all) != 1 || h.all[0].Err != h.errs[0] {
		t.Fatalf("hooks were told of errors %v and handshakes %v, want one", h.errs, h.all)
	}
	return h.errs[0]
}

func TestPlainHTTPIsToldSo(t *testing.T) {
	ca := newAuthority(t, "root")
	for _, request := range []string{"GET / HTTP/1.1\r\n\r\n", "HEAD / HTTP/1.1\r\n\r\n", "POST / HTTP/1.1\r\n\r\n", "PUT /x HTTP/1.1\r\n\r\n",
		"OPTIONS * HTTP/1.1\r\n\r\n", "DELETE / HTTP/1.1\r\n\r\n", "PATCH / HTTP/1.1\r\n\r\n", "GET /"} {
		t.Run(strings.Fields(request)[0], func(t *testing.T) {
			var h hooks
			b := newBridge(t, ca, h.config())
			s := newScript(nil)
			c := serveMem(t, b.Wrap(s.accept, nil))
			for _, x := range []byte(request) {
				c.Write([]byte{x})
			}
			got, err := io.ReadAll(c)
			want := "HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTP request to an HTTPS server.\n"
			if err != nil || string(got) != want {
				t.Fatalf("answer %q, %v", got, err)
			}
			c.Close()
			<-s.ended
			if err := h.one(t); !errors.Is(err, ErrPlainHTTP) || !errors.Is(s.lost[0], ErrPlainHTTP) {
				t.Fatalf("hook %v, Lost %v", err, s.lost[0])
			}
			if st := b.Stats(); st != (Stats{Failed: 1}) {
				t.Fatalf("stats %+v", st)
			}
		})
	}
}

// Other noise gets no answer beyond what crypto/tls has for it.
func TestGarbageIsNotAnswered(t *testing.T) {
	ca := newAuthority(t, "root")
	b := newBridge(t, ca, &Config{})
	for name, in := range map[string]string{
		"SSH":          "SSH-2.0-OpenSSH_9.6\r\n",
		"no letters":   "\x00\x00\x00\x00\x00\x00",
		"HTTP/2":       "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
		"data record":  "\x17\x03\x03\x00\x01x",
		"long record":  "\x16\x03\x01\xff\xff",
		"fatal alert":  "\x15\x03\x01\x00\x02\x02\x28",
		"empty record": "\x16\x03\x01\x00\x00",
	} {
		t.Run(name, func(t *testing.T) {
			s := newScript(nil)
			c := serveMem(t, b.Wrap(s.accept, nil))
			c.Write([]byte(in))
			got, err := io.ReadAll(c)
			if err != nil || bytes.Contains(got, []byte("HTTP")) {
				t.Fatalf("answer %q, %v", got, err)
			}
			c.Close()
			<-s.ended
			if s.got.Len() > 0 || s.lost[0] == nil {
				t.Fatalf("the protocol got %q, Lost(%v)", &s.got, s.lost[0])
			}
		})
	}
}

// A client that says nothing, half a hello, or does not answer, is dropped at
// the handshake timeout; one that has finished is not.
func TestHandshakeTimeout(t *testing.T) {
	ca := newAuthority(t, "root")
	hello := clientHello(t)
	for name, input := range map[string][]byte{"nothing": nil, "half a hello": hello[:50], "no answer": hello} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var h hooks
				b := newBridge(t, ca, h.config())
				s := newScript(nil)
				start := time.Now()
				c := serveMem(t, b.Wrap(s.accept, nil))
				c.Write(input)
				io.Copy(io.Discard, c)
				if d := time.Since(start); d != DefaultHandshakeTimeout {
					t.Fatalf("dropped after %v, want %v", d, DefaultHandshakeTimeout)
				}
				<-s.ended
				if err := h.one(t); !errors.Is(err, os.ErrDeadlineExceeded) {
					t.Fatal(err)
				}
				if h.all[0].Duration != DefaultHandshakeTimeout {
					t.Fatalf("duration %v", h.all[0].Duration)
				}
			})
		})
	}
	t.Run("finished", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			b := newBridge(t, ca, &Config{HandshakeTimeout: time.Second})
			c := dial(t, b.Wrap(newScript(echo).accept, nil), clientConfig(ca, 0))
			time.Sleep(time.Hour)
			wantEcho(t, c, "still here")
		})
	})
	t.Run("none", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			b := newBridge(t, ca, &Config{HandshakeTimeout: -1})
			end := serveMem(t, b.Wrap(newScript(echo).accept, nil))
			time.Sleep(time.Hour)
			c := tls.Client(end, clientConfig(ca, 0))
			wantEcho(t, c, "slow")
		})
	})
}

func wantEcho(t testing.TB, c net.Conn, s string) {
	t.Helper()
	if _, err := c.Write([]byte(s)); err != nil {
		t.Fatal(err)
	}
	got := make([]byte, len(s))
	if _, err := io.ReadFull(c, got); err != nil || string(got) != s {
		t.Fatalf("echo %q, %v, want %q", got, err, s)
	}
}

// clientHello returns the first flight of a client.
func clientHello(t testing.TB) []byte {
	t.Helper()
	a, b := memConnPair()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		tls.Client(a, &tls.Config{ServerName: "localhost"}).HandshakeContext(ctx)
	}()
	buf := make([]byte, 16<<10)
	n, err := b.Read(buf)
	if err != nil {
		t.Fatal(err)
	}
	cancel()
	<-done
	return buf[:n]
}

// The deadlines that a protocol sets when it is made count after the handshake.
func TestDeadlineFromBeforeTheHandshake(t *testing.T) {
	ca := newAuthority(t, "root")
	synctest.Test(t, func(t *testing.T) {
		b := newBridge(t, ca, &Config{})
		s := newScript(echo)
		start := time.Now()
		accept := b.Wrap(func(l listen.Link) listen.Protocol {
			l.SetReadDeadline(start.Add(time.Minute))
			return s.accept(l)
		}, nil)
		c := dial(t, accept, clientConfig(ca, 0))
		wantEcho(t, c, "x")
		if _, err := c.Read(make([]byte, 1)); err == nil {
			t.Fatal("data after the end")
		}
		if d := time.Since(start); d != time.Minute {
			t.Fatalf("Expired after %v, want 1m", d)
		}
	})
}

// What crypto/tls is given of a ClientHello is the same message in records that
// fit its smallest buffer, with what followed left alone.
func TestRefragment(t *testing.T) {
	for _, n := range []int{0, 1, maxFragment, maxFragment + 1, 1500, 1501, 4095, 16384} {
		body := make([]byte, n)
		for i := range body {
			body[i] = byte(i * 5)
		}
		record := append([]byte{handshakeRecord, 3, 1, byte(n >> 8), byte(n)}, body...)
		out := refragment(append(record, "rest"...))
		var got []byte
		for len(got) < n {
			k := int(out[3])<<8 | int(out[4])
			if !bytes.Equal(out[:3], record[:3]) || k > maxFragment || k == 0 {
				t.Fatalf("%d bytes: fragment %x of %d", n, out[:3], k)
			}
			got = append(got, out[recordHeaderLen:recordHeaderLen+k]...)
			out = out[recordHeaderLen+k:]
		}
		if n == 0 {
			out = out[recordHeaderLen:]
		}
		if !bytes.Equal(got, body) || string(out) != "rest" {
			t.Fatalf("%d bytes: the message changed, or %q after it", n, out)
		}
	}
	for _, in := range []string{"GET / HTTP/1.1", "\x16\x03\x01\xff\xffxxxx"} {
		if got := refragment([]byte(in)); string(got) != in {
			t.Errorf("%q became %q", in, got)
		}
	}
}

// One that is earlier than the handshake's own deadline counts for it.
func TestProtocolsDeadlineEndsTheHandshake(t *testing.T) {
	ca := newAuthority(t, "root")
	synctest.Test(t, func(t *testing.T) {
		b := newBridge(t, ca, &Config{})
		s := newScript(nil)
		start := time.Now()
		c := serveMem(t, b.Wrap(func(l listen.Link) listen.Protocol {
			l.SetReadDeadline(start.Add(time.Second))
			l.SetWriteDeadline(start.Add(time.Hour))
			return s.accept(l)
		}, nil))
		io.Copy(io.Discard, c)
		if d := time.Since(start); d != time.Second {
			t.Fatalf("dropped after %v, want 1s", d)
		}
	})
}

// A client that connects and leaves is no error of the server's.
func TestClientLeavesBeforeTheHandshake(t *testing.T) {
	ca := newAuthority(t, "root")
	var h hooks
	b := newBridge(t, ca, h.config())
	s := newScript(nil)
	c := serveMem(t, b.Wrap(s.accept, nil))
	c.Close()
	<-s.ended
	if err := h.one(t); !errors.Is(err, io.EOF) {
		t.Fatal(err)
	}
	if s.eofs != 0 {
		t.Fatal("the protocol was told of an end of input that it could not have had")
	}
}

// The protocol decides about a connection without handshake when the server
// stops.
func TestDrainBeforeTheHandshake(t *testing.T) {
	ca := newAuthority(t, "root")
	b := newBridge(t, ca, &Config{})
	s := newScript(nil)
	_, server := memConnPair()
	p := b.Wrap(s.accept, nil)(&memLink{conn: server})
	if v := p.Drain(); v != listen.Close {
		t.Fatalf("verdict %d, want Close", v)
	}
	p.Lost(nil)
	if s.drain != 1 || len(s.lost) != 1 || !errors.Is(s.lost[0], listen.ErrServerClosed) {
		t.Fatalf("Drain %d times, Lost %v", s.drain, s.lost)
	}
	if st := b.Stats(); st != (Stats{Failed: 1}) {
		t.Fatalf("stats %+v", st)
	}
}

// An acceptor that refuses is obeyed before anything is sent.
func TestRefusedConnection(t *testing.T) {
	ca := newAuthority(t, "root")
	b := newBridge(t, ca, &Config{})
	c := serveMem(t, b.Wrap(func(listen.Link) listen.Protocol { return nil }, nil))
	if got, err := io.ReadAll(c); err != nil || len(got) != 0 {
		t.Fatalf("%q, %v", got, err)
	}
	if st := b.Stats(); st != (Stats{}) {
		t.Fatalf("stats %+v", st)
	}
}

func TestPanicInCallbackFailsTheHandshake(t *testing.T) {
	ca := newAuthority(t, "root")
	var h hooks
	cfg := h.config()
	cfg.GetCertificate = func(*tls.ClientHelloInfo) (*tls.Certificate, error) { panic("as the test wants") }
	b := newBridge(t, ca, cfg)
	s := newScript(nil)
	c := tls.Client(serveMem(t, b.Wrap(s.accept, nil)), clientConfig(ca, 0))
	if err := c.Handshake(); err == nil {
		t.Fatal("handshake succeeded")
	}
	c.Close()
	<-s.ended
	if err := h.one(t); !strings.Contains(err.Error(), "as the test wants") {
		t.Fatal(err)
	}
}

// ALPN decides who serves: a switch takes the connection over from the
// protocol made at first, which owes its Lost to it.
func TestSwitch(t *testing.T) {
	ca := newAuthority(t, "root")
	b := newBridge(t, ca, &Config{Protocols: []string{"special", "http/1.1"}})
	tests := []struct {
		offer      []string
		negotiated string
		switched   bool
	}{
		{[]string{"special"}, "special", true},
		{[]string{"http/1.1", "special"}, "special", true}, // the server's preference
		{[]string{"http/1.1"}, "http/1.1", false},
		{nil, "", false},
	}
	for _, tt := range tests {
		t.Run(strings.Join(tt.offer, ","), func(t *testing.T) {
			first, second := newScript(echo), newScript(echo)
			switches := map[string]Switch{"special": func(l listen.Link, p listen.Protocol) listen.Protocol {
				if p != listen.Protocol(first) {
					t.Error("the switch was not given the first protocol")
				}
				if cs := l.(interface{ ConnectionState() tls.ConnectionState }).ConnectionState(); cs.NegotiatedProtocol != "special" {
					t.Errorf("negotiated %q", cs.NegotiatedProtocol)
				}
				return second.accept(l)
			}}
			cfg := clientConfig(ca, 0)
			cfg.NextProtos = tt.offer
			c := dial(t, b.Wrap(first.accept, switches), cfg)
			wantEcho(t, c, "hello")
			if got := c.ConnectionState().NegotiatedProtocol; got != tt.negotiated {
				t.Errorf("negotiated %q, want %q", got, tt.negotiated)
			}
			c.Close()
			serving, other := first, second
			if tt.switched {
				serving, other = second, first
			}
			<-serving.ended
			if serving.got.String() != "hello" || other.got.Len() > 0 || len(other.lost) > 0 {
				t.Errorf("served by the wrong protocol")
			}
		})
	}
	t.Run("nothing in common", func(t *testing.T) {
		cfg := clientConfig(ca, 0)
		cfg.NextProtos = []string{"gopher"}
		err := tls.Client(serveMem(t, b.Wrap(newScript(echo).accept, nil)), cfg).Handshake()
		if err == nil || !strings.Contains(err.Error(), "no application protocol") {
			t.Fatal(err)
		}
	})
}

func TestHandshakeHook(t *testing.T) {
	ca := newAuthority(t, "root")
	var h hooks
	b := newBridge(t, ca, h.config())
	cfg := clientConfig(ca, tls.VersionTLS13)
	cfg.ClientSessionCache = tls.NewLRUClientSessionCache(1)
	for range 2 {
		c := dial(t, b.Wrap(newScript(echo).accept, nil), cfg)
		wantEcho(t, c, "x") // reads the session ticket
		c.Close()
	}
	if st := b.Stats(); st.Succeeded != 2 || st.Resumed != 1 || st.Failed != 0 || st.Active != 0 {
		t.Fatalf("stats %+v", st)
	}
	if len(h.errs) > 0 || len(h.all) != 2 || h.all[0].State.DidResume || !h.all[1].State.DidResume || h.all[0].Remote.String() != "remote" {
		t.Fatalf("hooks: %v, %+v", h.errs, h.all)
	}
}
