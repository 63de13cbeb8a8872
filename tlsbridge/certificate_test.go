package tlsbridge

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/asn1"
	"encoding/pem"
	"errors"
	"io/fs"
	"path/filepath"
	"strings"
	"testing"

	"github.com/youmark/pkcs8"
	"software.sslmate.com/src/go-pkcs12"
)

// serves reports the certificate that a client gets from cfg.
func served(t testing.TB, b *Bridge, cfg *tls.Config) *x509.Certificate {
	t.Helper()
	c := dial(t, b.Wrap(newScript(echo).accept, nil), cfg)
	defer c.Close()
	return c.ConnectionState().PeerCertificates[0]
}

func TestCertificateFiles(t *testing.T) {
	dir := t.TempDir()
	ca := newAuthority(t, "root")
	c := ca.issue(t, nil, "localhost")
	certPath, keyPath := writePEM(t, dir, "plain", c)
	chain := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Certificate[0]})
	pkcs8DER, err := x509.MarshalPKCS8PrivateKey(c.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	keyPEM := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8DER})
	write := func(name string, parts ...[]byte) string {
		path := filepath.Join(dir, name)
		var b []byte
		for _, p := range parts {
			b = append(b, p...)
		}
		writeFile(t, path, b)
		return path
	}
	encrypted, err := pkcs8.MarshalPrivateKey(c.PrivateKey, []byte("secret"), nil)
	if err != nil {
		t.Fatal(err)
	}
	ecDER, err := x509.MarshalECPrivateKey(newKeyOf(t, c))
	if err != nil {
		t.Fatal(err)
	}
	//lint:ignore SA1019 the form that is tested
	legacy, err := x509.EncryptPEMBlock(rand.Reader, "EC PRIVATE KEY", ecDER, []byte("secret"), x509.PEMCipherAES128)
	if err != nil {
		t.Fatal(err)
	}
	pfx := func(e *pkcs12.Encoder, password string) []byte {
		b, err := e.Encode(c.PrivateKey, c.Leaf, []*x509.Certificate{ca.cert}, password)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	for name, cert := range map[string]Certificate{
		"PEM pair":           {Path: certPath, KeyPath: keyPath},
		"PEM bundle":         {Path: write("bundle.pem", keyPEM, chain)},
		"SEC 1 key":          {Path: certPath, KeyPath: write("sec1.key", pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: ecDER}))},
		"encrypted PKCS #8":  {Path: certPath, KeyPath: write("enc.key", pem.EncodeToMemory(&pem.Block{Type: "ENCRYPTED PRIVATE KEY", Bytes: encrypted})), Password: "secret"},
		"encrypted RFC 1421": {Path: certPath, KeyPath: write("legacy.key", pem.EncodeToMemory(legacy)), Password: "secret"},
		"key after text":     {Path: certPath, KeyPath: write("text.key", []byte("Bag Attributes\n"), chain, keyPEM)},
		"PFX":                {Path: write("modern.pfx", pfx(pkcs12.Modern, "secret")), Password: "secret"},
		"PFX of old":         {Path: write("legacy.pfx", pfx(pkcs12.LegacyRC2, "secret")), Password: "secret"},
		"PFX, no password":   {Path: write("open.pfx", pfx(pkcs12.Modern, ""))},
		"inline":             {TLS: &c},
	} {
		t.Run(name, func(t *testing.T) {
			b, err := New(&Config{Certificates: []Certificate{cert}})
			if err != nil {
				t.Fatal(err)
			}
			if got := served(t, b, clientConfig(ca, 0)); !got.Equal(c.Leaf) {
				t.Fatalf("served %v", got.Subject)
			}
			if all := b.Certificates(); len(all) != 1 || !all[0].Equal(c.Leaf) {
				t.Fatalf("Certificates() = %v", all)
			}
		})
	}
}

func newKeyOf(t testing.TB, c tls.Certificate) *ecdsa.PrivateKey {
	t.Helper()
	key, ok := c.PrivateKey.(*ecdsa.PrivateKey)
	if !ok {
		t.Fatalf("a %T", c.PrivateKey)
	}
	return key
}

// The whole chain is sent, without the root that a PFX file carries along.
func TestChainOfPFX(t *testing.T) {
	root := newAuthority(t, "root")
	middleKey := newKey(t)
	middle := root.issueFor(t, middleKey, func(c *x509.Certificate) {
		c.IsCA, c.BasicConstraintsValid, c.KeyUsage, c.ExtKeyUsage = true, true, x509.KeyUsageCertSign, nil
	}, "middle")
	leaf := (&testAuthority{middle.Leaf, middleKey}).issue(t, nil, "localhost")
	b, err := pkcs12.Modern.Encode(leaf.PrivateKey, leaf.Leaf, []*x509.Certificate{middle.Leaf, root.cert}, "x")
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "chain.pfx")
	writeFile(t, path, b)
	bridge, err := New(&Config{Certificates: []Certificate{{Path: path, Password: "x"}}})
	if err != nil {
		t.Fatal(err)
	}
	c := dial(t, bridge.Wrap(newScript(echo).accept, nil), clientConfig(root, 0))
	if got := c.ConnectionState().PeerCertificates; len(got) != 2 || !got[1].Equal(middle.Leaf) {
		t.Fatalf("%d certificates sent, want leaf and intermediate", len(got))
	}
}

func TestKeyKinds(t *testing.T) {
	ca := newAuthority(t, "root")
	_, ed, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for name, c := range map[string]tls.Certificate{"Ed25519": ca.issueFor(t, ed, nil, "localhost"), "RSA": ca.issueFor(t, rsaKey, nil, "localhost")} {
		certPath, keyPath := writePEM(t, dir, name, c)
		b, err := New(&Config{Certificates: []Certificate{{Path: certPath, KeyPath: keyPath}}})
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if got := served(t, b, clientConfig(ca, 0)); !got.Equal(c.Leaf) {
			t.Fatalf("%s: served %v", name, got.Subject)
		}
	}
}

// A client that knows no ECDSA gets the RSA certificate.
func TestCertificateThatSuitsTheClient(t *testing.T) {
	ca := newAuthority(t, "root")
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	ec, old := ca.issue(t, nil, "localhost"), ca.issueFor(t, rsaKey, nil, "localhost")
	b, err := New(&Config{Certificates: []Certificate{{TLS: &ec}, {TLS: &old}}})
	if err != nil {
		t.Fatal(err)
	}
	if got := served(t, b, clientConfig(ca, 0)); !got.Equal(ec.Leaf) {
		t.Errorf("modern client got %v", got.PublicKeyAlgorithm)
	}
	cfg := clientConfig(ca, tls.VersionTLS12)
	cfg.CipherSuites = []uint16{tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256}
	if got := served(t, b, cfg); !got.Equal(old.Leaf) {
		t.Errorf("old client got %v", got.PublicKeyAlgorithm)
	}
}

// Each error names the option and the file, and says what to do.
func TestCertificateErrors(t *testing.T) {
	dir := t.TempDir()
	ca := newAuthority(t, "root")
	c := ca.issue(t, nil, "localhost")
	certPath, keyPath := writePEM(t, dir, "good", c)
	_, otherKey := writePEM(t, dir, "other", ca.issue(t, nil, "localhost"))
	clientOnly := ca.issue(t, func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth} }, "localhost")
	strange := ca.issue(t, func(c *x509.Certificate) {
		c.ExtKeyUsage, c.UnknownExtKeyUsage = nil, []asn1.ObjectIdentifier{{1, 2, 3}}
	}, "localhost")
	clientPath, clientKey := writePEM(t, dir, "client", clientOnly)
	write := func(name, content string) string {
		path := filepath.Join(dir, name)
		writeFile(t, path, []byte(content))
		return path
	}
	encrypted, err := pkcs8.MarshalPrivateKey(c.PrivateKey, []byte("secret"), nil)
	if err != nil {
		t.Fatal(err)
	}
	encPath := write("enc.key", string(pem.EncodeToMemory(&pem.Block{Type: "ENCRYPTED PRIVATE KEY", Bytes: encrypted})))
	damaged := write("damaged.key", string(pem.EncodeToMemory(&pem.Block{Type: "ENCRYPTED PRIVATE KEY", Bytes: encrypted[:len(encrypted)/2]})))
	pfx, err := pkcs12.Modern.Encode(c.PrivateKey, c.Leaf, nil, "secret")
	if err != nil {
		t.Fatal(err)
	}
	pfxPath := write("cert.pfx", string(pfx))
	tests := []struct {
		name   string
		cert   Certificate
		option string // after Certificates[0]
		path   string
		want   string // in the text
	}{
		{"missing", Certificate{Path: dir + "/none.pem"}, ".Path", dir + "/none.pem", "check the path"},
		{"missing key", Certificate{Path: certPath, KeyPath: dir + "/none.key"}, ".KeyPath", dir + "/none.key", "check the path"},
		{"a folder", Certificate{Path: dir}, ".Path", dir, "readable file"},
		{"wrong PFX password", Certificate{Path: pfxPath, Password: "wrong"}, ".Path", pfxPath, "password"},
		{"PFX with key file", Certificate{Path: pfxPath, KeyPath: keyPath}, ".KeyPath", keyPath, "leave KeyPath empty"},
		{"neither PEM nor PFX", Certificate{Path: write("junk", "junk")}, ".Path", dir + "/junk", "neither a PEM nor a PKCS #12 file"},
		{"no certificate", Certificate{Path: keyPath}, ".Path", keyPath, "CERTIFICATE"},
		{"no key", Certificate{Path: certPath}, ".Path", certPath, "set KeyPath"},
		{"no key in key file", Certificate{Path: certPath, KeyPath: certPath}, ".KeyPath", certPath, "private key"},
		{"no password", Certificate{Path: certPath, KeyPath: encPath}, ".KeyPath", encPath, "set Password"},
		{"wrong key password", Certificate{Path: certPath, KeyPath: encPath, Password: "wrong"}, ".KeyPath", encPath, "check Password"},
		{"damaged key", Certificate{Path: certPath, KeyPath: damaged, Password: "secret"}, ".KeyPath", damaged, "check Password"},
		{"other key", Certificate{Path: certPath, KeyPath: otherKey}, "", certPath, "is not that of the certificate"},
		{"not for servers", Certificate{Path: clientPath, KeyPath: clientKey}, "", clientPath, "server authentication"},
		{"not for servers, inline", Certificate{TLS: &strange}, ".TLS", "", "server authentication"},
		{"no source", Certificate{}, "", "", "set Path"},
		{"key alone", Certificate{KeyPath: keyPath}, "", keyPath, "set Path"},
		{"two sources", Certificate{Path: certPath, TLS: &c}, "", certPath, "set one of them"},
		{"password inline", Certificate{TLS: &c, Password: "x"}, "", "", "leave them empty"},
		{"empty inline", Certificate{TLS: &tls.Certificate{}}, ".TLS", "", "tls.LoadX509KeyPair"},
		{"missing OCSP response", Certificate{Path: certPath, KeyPath: keyPath, OCSPPath: dir + "/none"}, ".OCSPPath", dir + "/none", "check the path"},
		{"junk OCSP response", Certificate{Path: certPath, KeyPath: keyPath, OCSPPath: dir + "/junk"}, "", certPath, "OCSP response"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := New(&Config{Certificates: []Certificate{tt.cert}})
			ce, ok := errors.AsType[*ConfigError](err)
			if !ok {
				t.Fatalf("error %v, want a *ConfigError", err)
			}
			if ce.Option != "Certificates[0]"+tt.option || ce.Path != tt.path || ce.Remedy == "" || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("option %q, path %q: %v", ce.Option, ce.Path, err)
			}
		})
	}
	if _, err := New(&Config{Certificates: []Certificate{{Path: dir + "/none"}}}); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%v is not fs.ErrNotExist", err)
	}
}

// The extended key usage rule: none is fine, server authentication or any is.
func TestExtendedKeyUsage(t *testing.T) {
	ca := newAuthority(t, "root")
	for name, usage := range map[string][]x509.ExtKeyUsage{
		"none": nil, "server": {x509.ExtKeyUsageServerAuth}, "any": {x509.ExtKeyUsageAny},
		"both": {x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth},
	} {
		c := ca.issue(t, func(c *x509.Certificate) { c.ExtKeyUsage = usage }, "localhost")
		if _, err := New(&Config{Certificates: []Certificate{{TLS: &c}}}); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}
