package portable_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"io"
	"math/big"
	"net"
	"testing"
	"time"

	"github.com/windhover-server/windhover/listen"
	"github.com/windhover-server/windhover/portable"
)

// funcs is a Protocol made of functions. A missing data echoes; other missing
// ones close.
type funcs struct {
	link    listen.Link
	data    func(p []byte) listen.Verdict
	expired func() listen.Verdict
	lost    chan error
}

func (f *funcs) Data(p []byte) listen.Verdict {
	if f.data != nil {
		return f.data(p)
	}
	f.send(string(p))
	return listen.Wait
}

func (f *funcs) send(text string) { f.link.End(append(f.link.Begin(), text...)) }

func (f *funcs) Expired() listen.Verdict {
	if f.expired != nil {
		return f.expired()
	}
	return listen.Close
}

func (f *funcs) EOF() listen.Verdict   { return listen.Close }
func (f *funcs) Drain() listen.Verdict { return listen.Close }
func (f *funcs) Gone(error)            {}
func (f *funcs) Lost(err error)        { f.lost <- err }

// serve serves ln until the test ends. configure makes each connection's
// protocol; it may be nil.
func serve(t testing.TB, ln net.Listener, opt listen.Options, configure func(*funcs)) (tr *portable.Transport, protos <-chan *funcs) {
	t.Helper()
	tr = new(portable.Transport)
	made := make(chan *funcs, 100)
	served := make(chan error, 1)
	go func() {
		served <- tr.Serve(ln, opt, func(l listen.Link) listen.Protocol {
			f := &funcs{link: l, lost: make(chan error, 1)}
			if configure != nil {
				configure(f)
			}
			select {
			case made <- f:
			default: // nobody looks at so many
			}
			return f
		})
	}()
	t.Cleanup(func() {
		tr.Close()
		if err := tr.Shutdown(context.Background()); err != nil {
			t.Errorf("connections are left: %v", err)
		}
		<-served
	})
	return tr, made
}

func listenTCP(t testing.TB) net.Listener {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return ln
}

// client is a net.Conn with the patience of a test.
type client struct {
	net.Conn
	t testing.TB
}

func dial(t testing.TB, ln net.Listener) *client {
	t.Helper()
	var c net.Conn
	var err error
	if m, ok := ln.(interface{ Dial() (net.Conn, error) }); ok {
		c, err = m.Dial()
	} else {
		c, err = net.Dial(ln.Addr().Network(), ln.Addr().String())
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return &client{c, t}
}

func (c *client) say(text string) {
	c.t.Helper()
	if _, err := io.WriteString(c, text); err != nil {
		c.t.Fatalf("client write: %v", err)
	}
}

func (c *client) hear(text string) {
	c.t.Helper()
	b := make([]byte, len(text))
	if n, err := io.ReadFull(c, b); err != nil || string(b) != text {
		c.t.Fatalf("client read %q, %v; want %q", b[:n], err, text)
	}
}

func (c *client) hearEnd() {
	c.t.Helper()
	if n, err := c.Read(make([]byte, 1)); n != 0 || err != io.EOF {
		c.t.Fatalf("client read %d bytes, %v; want the end", n, err)
	}
}

// certificate makes one for localhost.
func certificate(t testing.TB) (tls.Certificate, *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), DNSNames: []string{"localhost"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(leaf)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, roots
}
