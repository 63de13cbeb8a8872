package tlsbridge

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/tls"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
)

// Record types (RFC 8446 section 5.1).
const (
	typeCCS       = 20
	typeAlert     = 21
	typeHandshake = 22
	typeData      = 23
)

// rawClient is a TLS client whose handshake crypto/tls has made and whose
// records the test makes itself, to send what crypto/tls would not.
type rawClient struct {
	t       testing.TB
	conn    net.Conn
	state   tls.ConnectionState
	in, out rawHalf
	log     bytes.Buffer
	flight  []byte // what the server sent during the handshake
	early   *bytes.Reader
	r       io.Reader
}

type rawHalf struct {
	secret []byte // TLS 1.3
	aead   cipher.AEAD
	iv     []byte
	seq    uint64
}

// recorder keeps what the client reads during the handshake.
type recorder struct {
	net.Conn
	read bytes.Buffer
}

func (r *recorder) Read(b []byte) (int, error) {
	n, err := r.Conn.Read(b)
	r.read.Write(b[:n])
	return n, err
}

// dialRaw makes a handshake of the given version over conn.
func dialRaw(t testing.TB, conn net.Conn, ca *testAuthority, version uint16) *rawClient {
	t.Helper()
	c := &rawClient{t: t, conn: conn}
	rec := &recorder{Conn: conn}
	tc := tls.Client(rec, &tls.Config{
		ServerName: "localhost", RootCAs: ca.pool(), MaxVersion: version, KeyLogWriter: &c.log,
		CipherSuites: []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256},
		// Nothing of the server's beyond the handshake may be read by crypto/tls.
		ClientSessionCache: nil,
	})
	if err := tc.Handshake(); err != nil {
		t.Fatalf("handshake: %v", err)
	}
	c.state = tc.ConnectionState()
	c.flight = rec.read.Bytes()
	c.r = conn
	if version == tls.VersionTLS13 {
		c.keys13()
	} else {
		c.keys12()
	}
	return c
}

func (c *rawClient) secret(label string) (random, secret []byte) {
	for line := range strings.Lines(c.log.String()) {
		f := strings.Fields(line)
		if len(f) == 3 && f[0] == label {
			random, _ = hex.DecodeString(f[1])
			secret, _ = hex.DecodeString(f[2])
			return random, secret
		}
	}
	c.t.Fatalf("no %s in the key log", label)
	return nil, nil
}

func expandLabel(secret []byte, label string, n int) []byte {
	label = "tls13 " + label
	info := binary.BigEndian.AppendUint16(nil, uint16(n))
	info = append(append(append(info, byte(len(label))), label...), 0)
	b, err := hkdf.Expand(sha256.New, secret, string(info), n)
	if err != nil {
		panic(err)
	}
	return b
}

func newGCM(key []byte) cipher.AEAD {
	block, err := aes.NewCipher(key)
	if err != nil {
		panic(err)
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		panic(err)
	}
	return aead
}

func (h *rawHalf) set13(secret []byte) {
	h.secret, h.seq = secret, 0
	h.aead, h.iv = newGCM(expandLabel(secret, "key", 16)), expandLabel(secret, "iv", 12)
}

// update moves to the next traffic secret (RFC 8446 section 7.2).
func (h *rawHalf) update() { h.set13(expandLabel(h.secret, "traffic upd", 32)) }

func (c *rawClient) keys13() {
	if c.state.CipherSuite != tls.TLS_AES_128_GCM_SHA256 {
		c.t.Skipf("the raw client knows only TLS_AES_128_GCM_SHA256, this machine prefers %s", tls.CipherSuiteName(c.state.CipherSuite))
	}
	_, s := c.secret("CLIENT_TRAFFIC_SECRET_0")
	c.out.set13(s)
	_, s = c.secret("SERVER_TRAFFIC_SECRET_0")
	c.in.set13(s)
	// crypto/tls may have read session tickets along with the handshake.
	c.early = bytes.NewReader(c.flight)
	c.r = io.MultiReader(c.early, c.conn)
}

// keys12 derives the keys of RFC 5246 section 6.3 for AES-128-GCM.
func (c *rawClient) keys12() {
	clientRandom, master := c.secret("CLIENT_RANDOM")
	serverRandom := c.flight[recordHeaderLen+4+2:][:32]
	seed := append(append([]byte("key expansion"), serverRandom...), clientRandom...)
	var block []byte
	mac := func(parts ...[]byte) []byte {
		h := hmac.New(sha256.New, master)
		for _, p := range parts {
			h.Write(p)
		}
		return h.Sum(nil)
	}
	for a := mac(seed); len(block) < 40; a = mac(a) {
		block = append(block, mac(a, seed)...)
	}
	c.out.aead, c.out.iv = newGCM(block[:16]), block[32:36]
	c.in.aead, c.in.iv = newGCM(block[16:32]), block[36:40]
	c.out.seq, c.in.seq = 1, 1 // Finished was number 0
}

// seal makes a record.
func (c *rawClient) seal(typ byte, p []byte) []byte {
	h := &c.out
	defer func() { h.seq++ }()
	if c.state.Version == tls.VersionTLS13 {
		inner := append(append([]byte{}, p...), typ)
		head := []byte{typeData, 3, 3, 0, 0}
		binary.BigEndian.PutUint16(head[3:], uint16(len(inner)+16))
		return h.aead.Seal(head, h.nonce(), inner, head)
	}
	head := []byte{typ, 3, 3, 0, 0}
	binary.BigEndian.PutUint16(head[3:], uint16(8+len(p)+16))
	explicit := binary.BigEndian.AppendUint64(nil, h.seq)
	ad := append(append(explicit, typ, 3, 3), byte(len(p)>>8), byte(len(p)))
	rec := append(head, explicit[:8]...)
	return h.aead.Seal(rec, append(append([]byte{}, h.iv...), explicit[:8]...), p, ad)
}

func (h *rawHalf) nonce() []byte {
	n := bytes.Clone(h.iv)
	for i := range 8 {
		n[4+i] ^= byte(h.seq >> (56 - 8*i))
	}
	return n
}

// data makes a record of application data.
func (c *rawClient) data(s string) []byte { return c.seal(typeData, []byte(s)) }

// keyUpdate makes a KeyUpdate record and moves to the new key.
func (c *rawClient) keyUpdate(request bool) []byte {
	msg := []byte{24, 0, 0, 1, 0}
	if request {
		msg[4] = 1
	}
	rec := c.seal(typeHandshake, msg)
	c.out.update()
	return rec
}

// next reads and opens a record.
func (c *rawClient) next() (typ byte, p []byte, err error) {
	early := c.early != nil && c.early.Len() > 0
	head := make([]byte, recordHeaderLen)
	if _, err := io.ReadFull(c.r, head); err != nil {
		return 0, nil, err
	}
	body := make([]byte, binary.BigEndian.Uint16(head[3:]))
	if _, err := io.ReadFull(c.r, body); err != nil {
		return 0, nil, err
	}
	h := &c.in
	if c.state.Version == tls.VersionTLS13 {
		p, err = h.aead.Open(nil, h.nonce(), body, head)
		if err != nil && early {
			return c.next() // of the handshake, under its own keys
		}
		if err != nil {
			return 0, nil, fmt.Errorf("record %d: %w", h.seq, err)
		}
		h.seq++
		return p[len(p)-1], p[:len(p)-1], nil
	}
	n := len(body) - 8 - 16
	ad := append(binary.BigEndian.AppendUint64(nil, h.seq), head[0], 3, 3, byte(n>>8), byte(n))
	p, err = h.aead.Open(nil, append(append([]byte{}, h.iv...), body[:8]...), body[8:], ad)
	h.seq++
	return head[0], p, err
}

// want reads records until application data of len(s) bytes has come, which
// must be s. Session tickets are skipped; a KeyUpdate is obeyed.
func (c *rawClient) want(s string) {
	c.t.Helper()
	var got []byte
	for len(got) < len(s) {
		typ, p, err := c.next()
		if err != nil {
			c.t.Fatalf("reading %q, after %q: %v", s, got, err)
		}
		switch typ {
		case typeData:
			got = append(got, p...)
		case typeHandshake:
			if p[0] == 24 {
				c.in.update()
			}
		default:
			c.t.Fatalf("reading %q: record of type %d: %x", s, typ, p)
		}
	}
	if string(got) != s {
		c.t.Fatalf("got %q, want %q", got, s)
	}
}

// wantAlert reads until an alert comes, which must be the given one.
func (c *rawClient) wantAlert(code byte) {
	c.t.Helper()
	for {
		typ, p, err := c.next()
		if err != nil {
			c.t.Fatalf("waiting for alert %d: %v", code, err)
		}
		if typ == typeAlert {
			if p[1] != code {
				c.t.Fatalf("alert %d, want %d", p[1], code)
			}
			return
		}
	}
}
