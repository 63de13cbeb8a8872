package tlsbridge

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"strings"
	"testing"
)

func TestCertificateByName(t *testing.T) {
	ca := newAuthority(t, "root")
	named := func(n string) []Certificate {
		c := ca.issue(t, nil, n)
		return []Certificate{{TLS: &c}}
	}
	cfg := &Config{
		Certificates: named("endpoint"),
		Names: map[string]Name{
			"www.example.com":    {Certificates: named("exact")},
			"*.example.com":      {Certificates: named("wild")},
			"*.deep.example.com": {Certificates: named("deep")},
			"Upper.Example.ORG":  {Certificates: named("upper")},
		},
	}
	table := map[string]string{
		"www.example.com":      "exact",
		"WWW.example.COM":      "exact",
		"www.example.com.":     "exact",
		"a.example.com":        "wild",
		"a.b.example.com":      "wild",
		"x.deep.example.com":   "deep",
		"x.y.deep.example.com": "deep",
		"deep.example.com":     "wild",
		"example.com":          "endpoint",
		"notexample.com":       "endpoint",
		"upper.example.org":    "upper",
		"other":                "endpoint",
		"":                     "endpoint",
	}
	run := func(t *testing.T, cfg *Config, table map[string]string) {
		b, err := New(cfg)
		if err != nil {
			t.Fatal(err)
		}
		for name, want := range table {
			client := &tls.Config{ServerName: name, InsecureSkipVerify: true}
			if got := served(t, b, client).Subject.CommonName; got != want {
				t.Errorf("%q is served %q, want %q", name, got, want)
			}
		}
	}
	run(t, cfg, table)

	cfg.Names["*"] = Name{Certificates: named("rest")}
	for name, want := range table {
		if want == "endpoint" {
			table[name] = "rest"
		}
	}
	t.Run("rest", func(t *testing.T) { run(t, cfg, table) })
}

// A name without certificate of its own has the endpoint's; an unknown name
// without any fails with unrecognized_name.
func TestNameWithoutCertificate(t *testing.T) {
	ca := newAuthority(t, "root")
	c := ca.issue(t, nil, "a.example")
	b, err := New(&Config{Certificates: []Certificate{{TLS: &c}}, Names: map[string]Name{"a.example": {MinVersion: tls.VersionTLS13}}})
	if err != nil {
		t.Fatal(err)
	}
	if got := served(t, b, &tls.Config{ServerName: "a.example", RootCAs: ca.pool()}); !got.Equal(c.Leaf) {
		t.Errorf("served %v", got.Subject)
	}
	b, err = New(&Config{Names: map[string]Name{"a.example": {Certificates: []Certificate{{TLS: &c}}}}})
	if err != nil {
		t.Fatal(err)
	}
	err = tls.Client(serveMem(t, b.Wrap(newScript(echo).accept, nil)), &tls.Config{ServerName: "b.example"}).Handshake()
	if err == nil || !strings.Contains(err.Error(), "unrecognized name") {
		t.Errorf("unknown name: %v", err)
	}
}

func TestGetCertificate(t *testing.T) {
	ca := newAuthority(t, "root")
	good := ca.issue(t, nil, "localhost")
	bad := ca.issue(t, func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth} }, "localhost")
	bad.Leaf = nil
	calls := 0
	for name, tt := range map[string]struct {
		f  func(*tls.ClientHelloInfo) (*tls.Certificate, error)
		ok bool
	}{
		"chosen":          {func(*tls.ClientHelloInfo) (*tls.Certificate, error) { calls++; return &good, nil }, true},
		"none":            {func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return nil, nil }, false},
		"error":           {func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return nil, errors.New("no") }, false},
		"not for servers": {func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return &bad, nil }, false},
	} {
		t.Run(name, func(t *testing.T) {
			// It also wins over the endpoint's certificates.
			b, err := New(&Config{GetCertificate: tt.f, Certificates: []Certificate{{TLS: &good}}})
			if err != nil {
				t.Fatal(err)
			}
			for range 2 {
				err = tls.Client(serveMem(t, b.Wrap(newScript(echo).accept, nil)), clientConfig(ca, 0)).Handshake()
				if (err == nil) != tt.ok {
					t.Fatalf("handshake: %v", err)
				}
			}
		})
	}
	if calls != 2 {
		t.Errorf("called %d times for 2 handshakes", calls)
	}
}

func TestClientCertificateModes(t *testing.T) {
	ca, clients, strangers := newAuthority(t, "root"), newAuthority(t, "clients"), newAuthority(t, "strangers")
	valid, foreign := clients.issue(t, nil, "client"), strangers.issue(t, nil, "client")
	serverOnly := clients.issue(t, func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth} }, "client")
	policy := func(err error) func(*x509.Certificate, [][]*x509.Certificate, error) error {
		return func(c *x509.Certificate, chains [][]*x509.Certificate, fault error) error {
			if (fault == nil) != (len(chains) > 0) {
				t.Errorf("chains %v with error %v", chains, fault)
			}
			return err
		}
	}
	refuse := errors.New("refused")
	tests := []struct {
		name   string
		mode   ClientCertificateMode
		verify func(*x509.Certificate, [][]*x509.Certificate, error) error
		cert   *tls.Certificate
		ok     bool
		seen   bool // the protocol can see the certificate
	}{
		{"none, none sent", NoClientCertificate, nil, nil, true, false},
		{"none, one sent", NoClientCertificate, nil, &valid, true, false},
		{"allow, none sent", AllowClientCertificate, nil, nil, true, false},
		{"allow, valid", AllowClientCertificate, nil, &valid, true, true},
		{"allow, foreign", AllowClientCertificate, nil, &foreign, false, false},
		{"allow, for servers", AllowClientCertificate, nil, &serverOnly, false, false},
		{"allow, none sent, callback", AllowClientCertificate, policy(refuse), nil, true, false},
		{"allow, foreign, callback accepts", AllowClientCertificate, policy(nil), &foreign, true, true},
		{"allow, valid, callback refuses", AllowClientCertificate, policy(refuse), &valid, false, false},
		{"require, none sent", RequireClientCertificate, nil, nil, false, false},
		{"require, valid", RequireClientCertificate, nil, &valid, true, true},
		{"require, foreign", RequireClientCertificate, nil, &foreign, false, false},
		{"require, none sent, callback", RequireClientCertificate, policy(nil), nil, false, false},
		{"require, foreign, callback accepts", RequireClientCertificate, policy(nil), &foreign, true, true},
		{"require, valid, callback refuses", RequireClientCertificate, policy(refuse), &valid, false, false},
	}
	eachVersion(t, func(t *testing.T, version uint16) {
		for _, tt := range tests {
			t.Run(tt.name, func(t *testing.T) {
				cfg := &Config{ClientCertificate: tt.mode, VerifyClient: tt.verify}
				if tt.mode != NoClientCertificate {
					cfg.ClientCAs = clients.pool()
				}
				b := newBridge(t, ca, cfg)
				client := clientConfig(ca, version)
				if tt.cert != nil {
					client.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return tt.cert, nil }
				}
				client.ClientSessionCache = tls.NewLRUClientSessionCache(1)
				for range 2 { // the second time resumed
					s := newScript(echo)
					c := tls.Client(serveMem(t, b.Wrap(s.accept, nil)), client)
					err := c.Handshake()
					if err == nil {
						// With TLS 1.3 the client learns of the server's verdict after its handshake.
						c.Write([]byte("x"))
						_, err = c.Read(make([]byte, 1))
					}
					if (err == nil) != tt.ok {
						t.Fatalf("handshake: %v", err)
					}
					if tt.ok {
						state := s.link.(interface{ ConnectionState() tls.ConnectionState }).ConnectionState()
						if seen := len(state.PeerCertificates) > 0; seen != tt.seen {
							t.Errorf("the protocol sees a certificate: %v", seen)
						}
					}
					c.Close()
				}
			})
		}
	})
}

// A session from a name that asks for nothing does not open one that requires
// a client certificate.
func TestResumptionDoesNotCarryOverToStricterName(t *testing.T) {
	ca, clients := newAuthority(t, "root"), newAuthority(t, "clients")
	c := ca.issue(t, nil, "open.example", "strict.example")
	b, err := New(&Config{
		Certificates: []Certificate{{TLS: &c}},
		Names:        map[string]Name{"strict.example": {ClientCertificate: RequireClientCertificate}},
		ClientCAs:    clients.pool(),
	})
	if err != nil {
		t.Fatal(err)
	}
	eachVersion(t, func(t *testing.T, version uint16) {
		cache := &oneSession{}
		client := func(name string) error {
			cfg := clientConfig(ca, version)
			cfg.ServerName, cfg.ClientSessionCache = name, cache
			conn := tls.Client(serveMem(t, b.Wrap(newScript(echo).accept, nil)), cfg)
			defer conn.Close()
			conn.Write([]byte("x"))
			_, err := conn.Read(make([]byte, 1))
			return err
		}
		if err := client("open.example"); err != nil {
			t.Fatal(err)
		}
		if cache.state == nil {
			t.Fatal("no session to carry over")
		}
		if err := client("strict.example"); err == nil {
			t.Fatal("a session without client certificate opened strict.example")
		}
	})
}

// oneSession is a session cache that offers its session to every server name.
type oneSession struct{ state *tls.ClientSessionState }

func (c *oneSession) Get(string) (*tls.ClientSessionState, bool) { return c.state, c.state != nil }
func (c *oneSession) Put(_ string, s *tls.ClientSessionState)    { c.state = s }
