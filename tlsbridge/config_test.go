package tlsbridge

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"
)

// New reports all faults at once, each with its option and a remedy.
func TestConfigFaultsComeTogether(t *testing.T) {
	pool := x509.NewCertPool()
	_, err := New(&Config{
		Certificates: []Certificate{{Path: "/none.pem"}, {}},
		Names: map[string]Name{
			"127.0.0.1":       {},
			"[::1]":           {},
			"bücher.example":  {},
			"a.*.example.com": {},
			"https://x":       {},
			"x.example.":      {},
			"good.example":    {MinVersion: tls.VersionTLS10, Protocols: []string{""}, Certificates: []Certificate{{Path: "/other.pem"}}},
		},
		ClientCAs:             pool,
		MinVersion:            0x300,
		CipherSuites:          []uint16{tls.TLS_RSA_WITH_RC4_128_SHA, tls.TLS_AES_128_GCM_SHA256, 0xffff},
		Protocols:             []string{"h2", strings.Repeat("x", 256)},
		DisableSessionTickets: true,
		TicketKeysPath:        "/none.keys",
	})
	for _, want := range []string{
		"Certificates[0].Path (/none.pem)", "Certificates[1]:", `Names["127.0.0.1"]`, `Names["[::1]"]`, `Names["bücher.example"]`,
		`Names["a.*.example.com"]`, `Names["https://x"]`, `Names["x.example."]`, `Names["good.example"].MinVersion`,
		`Names["good.example"].Protocols`, `Names["good.example"].Certificates[0].Path (/other.pem)`,
		"ClientCertificate:", "MinVersion: SSLv3", "CipherSuites: TLS_RSA_WITH_RC4_128_SHA", "CipherSuites: TLS_AES_128_GCM_SHA256",
		"CipherSuites: 0xFFFF", "CipherSuites: HTTP/2", "Protocols:", "TicketKeysPath: ticket keys", "TicketKeysPath (/none.keys)",
	} {
		if !strings.Contains(fmt.Sprint(err), "tlsbridge: "+want) {
			t.Errorf("%q is missing in\n%v", want, err)
		}
	}
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok {
		t.Fatalf("a %T", err)
	}
	for _, e := range joined.Unwrap() {
		if ce, ok := errors.AsType[*ConfigError](e); !ok || ce.Remedy == "" || ce.Option == "" {
			t.Errorf("no remedy or no option in: %v", e)
		}
	}
}

func TestConfigWithoutCertificate(t *testing.T) {
	for name, cfg := range map[string]*Config{
		"nothing": {}, "empty base": {Base: &tls.Config{}},
		"name without one": {Names: map[string]Name{"example.com": {}}},
	} {
		if _, err := New(cfg); err == nil || !strings.Contains(err.Error(), "no certificate") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestClientCertificatesNeedAnAuthority(t *testing.T) {
	ca := newAuthority(t, "root")
	c := ca.issue(t, nil, "localhost")
	cfg := &Config{Certificates: []Certificate{{TLS: &c}}, ClientCertificate: RequireClientCertificate}
	if _, err := New(cfg); err == nil || !strings.Contains(err.Error(), "ClientCAPaths") {
		t.Fatal(err)
	}
}

// Fields of Base count where Config is silent, and Base is not changed.
func TestBase(t *testing.T) {
	ca := newAuthority(t, "root")
	c := ca.issue(t, nil, "localhost")
	base := &tls.Config{
		Certificates: []tls.Certificate{c}, NextProtos: []string{"custom"}, MinVersion: tls.VersionTLS13,
		GetConfigForClient: func(h *tls.ClientHelloInfo) (*tls.Config, error) {
			if h.ServerName == "refused.example" {
				return nil, errors.New("refused")
			}
			return nil, nil
		},
	}
	b, err := New(&Config{Base: base})
	if err != nil {
		t.Fatal(err)
	}
	cfg := clientConfig(ca, 0)
	cfg.NextProtos = []string{"custom"}
	conn := dial(t, b.Wrap(newScript(echo).accept, nil), cfg)
	if cs := conn.ConnectionState(); cs.NegotiatedProtocol != "custom" || !cs.PeerCertificates[0].Equal(c.Leaf) {
		t.Fatalf("%+v", cs)
	}
	if err := tls.Client(serveMem(t, b.Wrap(newScript(echo).accept, nil)), clientConfig(ca, tls.VersionTLS12)).Handshake(); err == nil {
		t.Error("TLS 1.2 in spite of Base.MinVersion")
	}
	cfg = clientConfig(ca, 0)
	cfg.ServerName = "refused.example"
	if err := tls.Client(serveMem(t, b.Wrap(newScript(echo).accept, nil)), cfg).Handshake(); err == nil {
		t.Error("Base.GetConfigForClient was not asked")
	}
	if len(base.NextProtos) != 1 || base.MinVersion != tls.VersionTLS13 {
		t.Error("Base was changed")
	}
}

func TestMinimumVersion(t *testing.T) {
	ca := newAuthority(t, "root")
	handshake := func(b *Bridge, name string, version uint16) error {
		cfg := clientConfig(ca, version)
		cfg.ServerName, cfg.MinVersion = name, tls.VersionTLS10
		return tls.Client(serveMem(t, b.Wrap(newScript(echo).accept, nil)), cfg).Handshake()
	}
	c := ca.issue(t, nil, "localhost", "new.example")
	b := newBridge(t, ca, &Config{Certificates: []Certificate{{TLS: &c}}, Names: map[string]Name{"new.example": {MinVersion: tls.VersionTLS13}}})
	for _, tt := range []struct {
		name    string
		version uint16
		ok      bool
	}{
		{"localhost", tls.VersionTLS10, false}, {"localhost", tls.VersionTLS11, false}, {"localhost", tls.VersionTLS12, true},
		{"localhost", tls.VersionTLS13, true}, {"new.example", tls.VersionTLS12, false}, {"new.example", tls.VersionTLS13, true},
	} {
		if err := handshake(b, tt.name, tt.version); (err == nil) != tt.ok {
			t.Errorf("%s with %s: %v", tt.name, tls.VersionName(tt.version), err)
		}
	}
}

func TestCipherSuites(t *testing.T) {
	ca := newAuthority(t, "root")
	b := newBridge(t, ca, &Config{CipherSuites: []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384}})
	c := dial(t, b.Wrap(newScript(echo).accept, nil), clientConfig(ca, tls.VersionTLS12))
	if got := c.ConnectionState().CipherSuite; got != tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384 {
		t.Fatal(tls.CipherSuiteName(got))
	}
}

func TestParse(t *testing.T) {
	for in, want := range map[string]uint16{"1.2": tls.VersionTLS12, "TLS1.3": tls.VersionTLS13, "tls13": tls.VersionTLS13, "TLSv1.2": tls.VersionTLS12, "TLS 1.3": tls.VersionTLS13} {
		if got, err := ParseVersion(in); got != want || err != nil {
			t.Errorf("ParseVersion(%q) = %x, %v", in, got, err)
		}
	}
	for _, in := range []string{"", "1.1", "1.0", "ssl3", "1.4"} {
		if _, err := ParseVersion(in); err == nil {
			t.Errorf("ParseVersion(%q) succeeded", in)
		}
	}
	for _, s := range tls.CipherSuites() {
		got, err := ParseCipherSuite(strings.ToLower(s.Name))
		if is12 := s.SupportedVersions[0] != tls.VersionTLS13; is12 != (err == nil) || is12 && got != s.ID {
			t.Errorf("ParseCipherSuite(%q) = %x, %v", s.Name, got, err)
		}
	}
	for in, want := range map[string]ClientCertificateMode{"none": NoClientCertificate, "Allow": AllowClientCertificate, "RequireCertificate": RequireClientCertificate} {
		var m ClientCertificateMode
		if err := m.UnmarshalText([]byte(in)); err != nil || m != want {
			t.Errorf("%q: %v, %v", in, m, err)
		}
		var again ClientCertificateMode
		if err := again.UnmarshalText([]byte(m.String())); err != nil || again != m {
			t.Errorf("%v does not parse back", m)
		}
	}
	var m ClientCertificateMode
	if err := m.UnmarshalText([]byte("maybe")); err == nil {
		t.Error(`"maybe" is a mode`)
	}
}

func TestDefaults(t *testing.T) {
	ca := newAuthority(t, "root")
	b := newBridge(t, ca, &Config{})
	if b.timeout != 10*time.Second {
		t.Errorf("handshake timeout %v", b.timeout)
	}
	cfg := clientConfig(ca, 0)
	cfg.NextProtos = []string{"h2", "http/1.1"}
	c := dial(t, b.Wrap(newScript(echo).accept, nil), cfg)
	if cs := c.ConnectionState(); cs.NegotiatedProtocol != "http/1.1" || cs.Version != tls.VersionTLS13 {
		t.Errorf("%+v", cs)
	}
}
