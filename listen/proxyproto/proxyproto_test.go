package proxyproto_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	pires "github.com/pires/go-proxyproto"

	"github.com/windhover-server/windhover/listen"
	"github.com/windhover-server/windhover/listen/proxyproto"
)

var (
	peerAddr  = &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 1000}
	localAddr = &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 2000}
)

// fakeLink is a Link that moves nothing.
type fakeLink struct {
	listen.Link
	remote   net.Addr
	conn     net.Conn
	deadline time.Time
}

func (l *fakeLink) RemoteAddr() net.Addr              { return l.remote }
func (l *fakeLink) LocalAddr() net.Addr               { return localAddr }
func (l *fakeLink) NetConn() net.Conn                 { return l.conn }
func (l *fakeLink) SetReadDeadline(t time.Time)       { l.deadline = t }
func (l *fakeLink) Detach() (net.Conn, []byte, error) { return l.conn, []byte("left"), nil }

// recorder is an inner protocol that keeps what reaches it.
type recorder struct {
	link listen.Link
	data []byte
	log  []string
}

func (r *recorder) Data(p []byte) listen.Verdict { r.data = append(r.data, p...); return listen.Wait }
func (r *recorder) EOF() listen.Verdict          { r.log = append(r.log, "EOF"); return listen.Close }
func (r *recorder) Expired() listen.Verdict      { r.log = append(r.log, "Expired"); return listen.Close }
func (r *recorder) Drain() listen.Verdict        { r.log = append(r.log, "Drain"); return listen.Close }
func (r *recorder) Lost(error)                   { r.log = append(r.log, "Lost") }
func (r *recorder) Gone(error)                   { r.log = append(r.log, "Gone") }

// harness is one connection through Wrap.
type harness struct {
	link   *fakeLink
	outer  listen.Protocol
	inner  *recorder
	errors []error
}

func connect(c proxyproto.Config, remote net.Addr) *harness {
	h := &harness{link: &fakeLink{remote: remote}}
	c.OnError = func(_ net.Addr, err error) { h.errors = append(h.errors, err) }
	h.outer = proxyproto.Wrap(&c, func(l listen.Link) listen.Protocol {
		h.inner = &recorder{link: l}
		return h.inner
	})(h.link)
	return h
}

// feed delivers data in pieces that share no memory with it, and stops at the
// first verdict other than Wait.
func (h *harness) feed(pieces ...[]byte) listen.Verdict {
	for _, p := range pieces {
		lent := bytes.Clone(p)
		v := h.outer.Data(lent)
		clear(lent)
		if v != listen.Wait {
			return v
		}
	}
	return listen.Wait
}

func header(t testing.TB, version byte, source, destination net.Addr) []byte {
	t.Helper()
	b, err := pires.HeaderProxyFromAddrs(version, source, destination).Format()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func local(version byte) []byte {
	if version == 1 {
		return []byte("PROXY UNKNOWN ffff::1 ffff::2 1 2\r\n")
	}
	return append(bytes.Clone(pires.SIGV2), 0x20, 0, 0, 3, 'x', 'y', 'z')
}

func TestHeaderReplacesAddresses(t *testing.T) {
	v4s, v4d := &net.TCPAddr{IP: net.IPv4(192, 0, 2, 7).To4(), Port: 4711}, &net.TCPAddr{IP: net.IPv4(198, 51, 100, 9).To4(), Port: 443}
	v6s, v6d := &net.TCPAddr{IP: net.ParseIP("2001:db8::7"), Port: 4711}, &net.TCPAddr{IP: net.ParseIP("2001:db8::9"), Port: 443}
	us, ud := &net.UnixAddr{Name: "/run/a", Net: "unix"}, &net.UnixAddr{Name: "/run/b", Net: "unix"}
	for _, c := range []struct {
		name          string
		head          []byte
		remote, local net.Addr
	}{
		{"v1 TCP4", header(t, 1, v4s, v4d), v4s, v4d},
		{"v1 TCP6", header(t, 1, v6s, v6d), v6s, v6d},
		{"v1 UNKNOWN", local(1), peerAddr, localAddr},
		{"v2 TCP4", header(t, 2, v4s, v4d), v4s, v4d},
		{"v2 TCP6", header(t, 2, v6s, v6d), v6s, v6d},
		{"v2 Unix", header(t, 2, us, ud), us, ud},
		{"v2 LOCAL", local(2), peerAddr, localAddr},
	} {
		t.Run(c.name, func(t *testing.T) {
			stream := append(bytes.Clone(c.head), "GET / HTTP/1.1\r\n"...)
			for split := range len(stream) {
				h := connect(proxyproto.Config{}, peerAddr)
				if v := h.feed(stream[:split], stream[split:]); v != listen.Wait || h.inner == nil {
					t.Fatalf("split %d: verdict %v, errors %v", split, v, h.errors)
				}
				h.check(t, c.remote, c.local)
			}
			h := connect(proxyproto.Config{}, peerAddr)
			for _, b := range stream {
				h.feed([]byte{b})
			}
			h.check(t, c.remote, c.local)
		})
	}
}

func (h *harness) check(t *testing.T, remote, local net.Addr) {
	t.Helper()
	l := h.inner.link
	if l.RemoteAddr().String() != remote.String() || l.LocalAddr().String() != local.String() {
		t.Errorf("addresses %v, %v", l.RemoteAddr(), l.LocalAddr())
	}
	if string(h.inner.data) != "GET / HTTP/1.1\r\n" {
		t.Errorf("inner protocol got %q", h.inner.data)
	}
	if !h.link.deadline.IsZero() {
		t.Error("the header's deadline is still set")
	}
}

func TestBadHeadersEndTheConnection(t *testing.T) {
	v2 := func(command, family byte, body int, n int) []byte {
		b := append(bytes.Clone(pires.SIGV2), command, family)
		return append(binary.BigEndian.AppendUint16(b, uint16(body)), make([]byte, n)...)
	}
	for name, head := range map[string][]byte{
		"plain HTTP":            []byte("GET / HTTP/1.1\r\n\r\n"),
		"TLS":                   {0x16, 3, 1},
		"v1 in lower case":      []byte("proxy TCP4 1.1.1.1 2.2.2.2 1 2\r\n"),
		"v1 without a space":    []byte("PROXYTCP4"),
		"v1 too long":           []byte("PROXY UNKNOWN " + strings.Repeat("x", 100)),
		"v1 with a bare LF":     []byte("PROXY TCP4 1.1.1.1 2.2.2.2 1 2\n"),
		"v1 family mismatch":    []byte("PROXY TCP4 ::1 ::2 1 2\r\n"),
		"v1 bad port":           []byte("PROXY TCP4 1.1.1.1 2.2.2.2 65536 2\r\n"),
		"v1 short":              []byte("PROXY TCP4 1.1.1.1\r\n"),
		"v2 bad version":        v2(0x11, 0x11, 12, 12),
		"v2 bad command":        v2(0x22, 0x11, 12, 12),
		"v2 bad family":         v2(0x21, 0x41, 12, 12),
		"v2 datagram":           v2(0x21, 0x12, 12, 12),
		"v2 short address":      v2(0x21, 0x11, 4, 4),
		"v2 too long":           v2(0x21, 0x11, 4097, 0),
		"v2 broken signature":   []byte("\r\n\r\n\x00\r\nQUIX"),
		"v2 without an address": v2(0x21, 0x00, 0, 0),
	} {
		for _, step := range []int{len(head), 1} {
			h := connect(proxyproto.Config{}, peerAddr)
			v := listen.Wait
			for i := 0; i < len(head) && v == listen.Wait; i += step {
				v = h.feed(head[i:min(i+step, len(head))])
			}
			if v != listen.Abort || h.inner != nil || len(h.errors) != 1 {
				t.Errorf("%s, %d bytes at a time: verdict %v, errors %v", name, step, v, h.errors)
			}
		}
	}
}

func TestOnlyTrustedPeersAreServed(t *testing.T) {
	tcp := func(s string) net.Addr { return net.TCPAddrFromAddrPort(netip.MustParseAddrPort(s)) }
	nets := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("fe80::/10")}
	for _, c := range []struct {
		name    string
		trusted []netip.Prefix
		peer    net.Addr
		want    bool
	}{
		{"loopback by default", nil, tcp("127.0.0.2:1"), true},
		{"IPv6 loopback by default", nil, tcp("[::1]:1"), true},
		{"others by default", nil, tcp("10.0.0.1:1"), false},
		{"in a network", nets, tcp("10.9.9.9:1"), true},
		{"v4-mapped in a network", nets, tcp("[::ffff:10.9.9.9]:1"), true},
		{"with a zone", nets, tcp("[fe80::1%lo]:1"), true},
		{"outside", nets, tcp("127.0.0.1:1"), false},
		{"a Unix socket", nets, &net.UnixAddr{Name: "@", Net: "unix"}, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := connect(proxyproto.Config{Trusted: c.trusted}, c.peer)
			if got := h.outer != nil; got != c.want {
				t.Fatalf("served: %v", got)
			}
			if !c.want && (len(h.errors) != 1 || !errors.Is(h.errors[0], proxyproto.ErrUntrusted)) {
				t.Errorf("reported %v", h.errors)
			}
			h = connect(proxyproto.Config{Trusted: c.trusted, AllowDirect: true}, c.peer)
			if got := h.inner != nil; got == c.want || h.outer == nil {
				t.Errorf("AllowDirect: inner protocol at once: %v", got)
			}
		})
	}
}

func TestTimeoutWhileTheHeaderIsIncomplete(t *testing.T) {
	h := connect(proxyproto.Config{}, peerAddr)
	if d := time.Until(h.link.deadline); d <= 0 || d > proxyproto.DefaultTimeout {
		t.Errorf("deadline in %v", d)
	}
	h.feed([]byte("PROXY TCP4 "))
	if v := h.outer.Expired(); v != listen.Abort || !errors.Is(h.errors[0], proxyproto.ErrHeaderTimeout) {
		t.Errorf("%v %v", v, h.errors)
	}
	if h := connect(proxyproto.Config{Timeout: -1}, peerAddr); !h.link.deadline.IsZero() {
		t.Error("a negative timeout sets a deadline")
	}
}

func TestEndBeforeTheHeader(t *testing.T) {
	h := connect(proxyproto.Config{}, peerAddr)
	if v := h.outer.EOF(); v != listen.Abort || len(h.errors) != 0 {
		t.Errorf("a bare connect: %v %v", v, h.errors)
	}
	h.outer.Lost(nil)
	h = connect(proxyproto.Config{}, peerAddr)
	h.feed([]byte("PROXY"))
	if v := h.outer.EOF(); v != listen.Abort || !errors.Is(h.errors[0], proxyproto.ErrNoHeader) {
		t.Errorf("half a header: %v %v", v, h.errors)
	}
	h.outer.Gone(io.EOF)
}

func TestDrainWaitsForTheFirstRequest(t *testing.T) {
	h := connect(proxyproto.Config{Timeout: -1}, peerAddr)
	if v := h.outer.Drain(); v != listen.Wait || h.link.deadline.IsZero() {
		t.Errorf("before the header: verdict %v, deadline %v", v, h.link.deadline)
	}
	if v := h.feed(append(local(2), "GET / HTTP/1.1"...)); v != listen.Close || string(h.inner.data) != "GET / HTTP/1.1" || strings.Join(h.inner.log, " ") != "Drain" {
		t.Errorf("with the header: verdict %v, inner protocol got %q and %q", v, h.inner.data, h.inner.log)
	}
	h = connect(proxyproto.Config{Timeout: -1}, peerAddr)
	h.outer.Drain()
	if v := h.outer.Expired(); v != listen.Abort {
		t.Errorf("no header comes: %v", v)
	}
}

func TestEventsReachTheInnerProtocol(t *testing.T) {
	h := connect(proxyproto.Config{}, peerAddr)
	h.feed(local(2))
	h.outer.Gone(io.EOF)
	for _, v := range []listen.Verdict{h.outer.EOF(), h.outer.Expired(), h.outer.Drain()} {
		if v != listen.Close {
			t.Errorf("verdict %v", v)
		}
	}
	h.outer.Lost(nil)
	if got := strings.Join(h.inner.log, " "); got != "Gone EOF Expired Drain Lost" {
		t.Error(got)
	}
}

func TestRefusedByTheInnerAcceptor(t *testing.T) {
	outer := proxyproto.Wrap(&proxyproto.Config{}, func(listen.Link) listen.Protocol { return nil })(&fakeLink{remote: peerAddr})
	if v := outer.Data(local(1)); v != listen.Abort {
		t.Errorf("verdict %v", v)
	}
	outer.Lost(nil)
}

func TestDetachedConnKeepsTheAddresses(t *testing.T) {
	ours, theirs := net.Pipe()
	defer ours.Close()
	defer theirs.Close()
	h := connect(proxyproto.Config{}, peerAddr)
	h.link.conn = ours
	client := &net.TCPAddr{IP: net.IPv4(192, 0, 2, 7).To4(), Port: 4711}
	h.feed(header(t, 2, client, localAddr))
	shown := h.inner.link.NetConn()
	c, left, err := h.inner.link.Detach()
	if err != nil || c != shown || string(left) != "left" || c.RemoteAddr().String() != client.String() {
		t.Errorf("%v %q %v", c, left, err)
	}
}

// FuzzWrap: never a panic, and the same outcome however the bytes are split.
func FuzzWrap(f *testing.F) {
	f.Add(append(header(f, 2, peerAddr, localAddr), "rest"...), 5)
	f.Add(append(header(f, 1, peerAddr, localAddr), "rest"...), 1)
	f.Add(local(2), 12)
	f.Add([]byte("GET / HTTP/1.1\r\n\r\n"), 3)
	f.Fuzz(func(t *testing.T, stream []byte, step int) {
		whole := connect(proxyproto.Config{}, peerAddr)
		want := whole.feed(stream)
		split := connect(proxyproto.Config{}, peerAddr)
		got, step := listen.Wait, max(1, step)
		for i := 0; i < len(stream) && got == listen.Wait; i += min(step, len(stream)-i) {
			got = split.feed(stream[i:min(i+step, len(stream))])
		}
		if len(stream) == 0 {
			return
		}
		if got != want || (whole.inner == nil) != (split.inner == nil) {
			t.Fatalf("whole %v, in steps of %d %v", want, step, got)
		}
		if whole.inner != nil && (!bytes.Equal(whole.inner.data, split.inner.data) ||
			whole.inner.link.RemoteAddr().String() != split.inner.link.RemoteAddr().String()) {
			t.Fatal("the split changes what the inner protocol sees")
		}
	})
}
