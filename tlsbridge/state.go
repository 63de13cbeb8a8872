package tlsbridge

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"strings"
	"time"
)

// state is what handshakes use at one time. It does not change.
type state struct {
	endpoint *tls.Config            // for names that nothing covers
	exact    map[string]*tls.Config // "www.example.com"
	below    map[string]*tls.Config // "example.com" for "*.example.com"
	rest     *tls.Config            // "*", or nil
	until    time.Time              // when an OCSP response in it runs out
	warnings []error                // what is not as it should be
}

// pick chooses by the server name that a client asked for; "" if it did not.
func (st *state) pick(name string) *tls.Config {
	if len(st.exact)+len(st.below) > 0 {
		name = strings.ToLower(strings.TrimSuffix(name, "."))
		if c := st.exact[name]; c != nil {
			return c
		}
		// The longest wildcard is met first.
		for {
			_, parent, ok := strings.Cut(name, ".")
			if !ok {
				break
			}
			if c := st.below[parent]; c != nil {
				return c
			}
			name = parent
		}
	}
	if st.rest != nil {
		return st.rest
	}
	return st.endpoint
}

// publish makes a state of what is loaded, and returns warnings about it.
func (s *store) publish() []error {
	st := &state{exact: map[string]*tls.Config{}, below: map[string]*tls.Config{}}
	// Far enough, and a time that UnixNano can express.
	st.until = s.now().AddDate(100, 0, 0)
	cfg := s.cfg
	endpoint := Name{ClientCertificate: cfg.ClientCertificate, MinVersion: cfg.MinVersion, Protocols: cfg.Protocols}
	st.endpoint = s.config(st, "Certificates", endpoint)
	for name, n := range cfg.Names {
		option := "Certificates"
		if len(n.Certificates) > 0 {
			option = fmt.Sprintf("Names[%q].Certificates", name)
		}
		if n.ClientCertificate == ClientCertificateDefault {
			n.ClientCertificate = endpoint.ClientCertificate
		}
		if n.MinVersion == 0 {
			n.MinVersion = endpoint.MinVersion
		}
		if n.Protocols == nil {
			n.Protocols = endpoint.Protocols
		}
		c := s.config(st, option, n)
		switch parent, wild := strings.CutPrefix(name, "*."); {
		case name == "*":
			st.rest = c
		case wild:
			st.below[strings.ToLower(parent)] = c
		default:
			st.exact[strings.ToLower(name)] = c
		}
	}
	if len(s.tickets) > 0 {
		s.root.SetSessionTicketKeys(s.tickets)
	}
	warnings := st.warnings
	st.warnings = nil
	s.state.Store(st)
	return warnings
}

// config makes the tls.Config for one name, with the certificates of option.
func (s *store) config(st *state, option string, n Name) *tls.Config {
	cfg := s.cfg
	c := cfg.Base.Clone()
	c.GetConfigForClient = nil
	c.SessionTicketsDisabled = c.SessionTicketsDisabled || cfg.DisableSessionTickets
	if bundles := s.certs[option]; len(bundles) > 0 {
		c.GetCertificate = nil
		c.Certificates = make([]tls.Certificate, len(bundles))
		for i, b := range bundles {
			c.Certificates[i] = s.certificate(st, b)
		}
	}
	if cfg.GetCertificate != nil && option == "Certificates" {
		c.Certificates = nil
		c.GetCertificate = selector(cfg.GetCertificate)
	}
	switch {
	case n.MinVersion != 0:
		c.MinVersion = n.MinVersion
	case c.MinVersion == 0:
		c.MinVersion = tls.VersionTLS12
	}
	if cfg.CipherSuites != nil {
		c.CipherSuites = cfg.CipherSuites
	}
	switch {
	case n.Protocols != nil:
		c.NextProtos = n.Protocols
	case len(c.NextProtos) == 0:
		c.NextProtos = []string{"http/1.1"}
	}
	s.clientCertificates(c, n.ClientCertificate)
	if len(s.tickets) > 0 {
		c.SetSessionTicketKeys(s.tickets)
	}
	return c
}

// certificate returns b's certificate with a fresh OCSP response or none.
func (s *store) certificate(st *state, b *bundle) tls.Certificate {
	c := b.cert
	c.OCSPStaple = nil
	switch {
	case b.fresh(s.now()):
		c.OCSPStaple = b.staple
		if !b.stapleUntil.IsZero() && b.stapleUntil.Before(st.until) {
			st.until = b.stapleUntil
		}
	case len(b.staple) > 0:
		st.warnings = append(st.warnings, fmt.Errorf("tlsbridge: the OCSP response for %q is past its time (%v) and not stapled", b.cert.Leaf.Subject, b.stapleUntil))
	}
	return c
}

// clientCertificates applies a mode (kestrel-parity section 6.3).
func (s *store) clientCertificates(c *tls.Config, mode ClientCertificateMode) {
	if s.cas != nil {
		c.ClientCAs = s.cas
	} else if s.cfg.ClientCAs != nil {
		c.ClientCAs = s.cfg.ClientCAs
	}
	verify := s.cfg.VerifyClient
	switch mode {
	case ClientCertificateDefault:
		return // Base's
	case NoClientCertificate:
		c.ClientAuth = tls.NoClientCert
		return
	case AllowClientCertificate:
		c.ClientAuth = tls.VerifyClientCertIfGiven
		if verify != nil {
			c.ClientAuth = tls.RequestClientCert
		}
	case RequireClientCertificate:
		c.ClientAuth = tls.RequireAndVerifyClientCert
		if verify != nil {
			c.ClientAuth = tls.RequireAnyClientCert
		}
	}
	if verify != nil {
		c.VerifyConnection = verifier(c, verify)
	}
}

// verifier runs the callback with what crypto/tls would have found. It is
// called for resumed sessions, too.
func verifier(c *tls.Config, verify func(*x509.Certificate, [][]*x509.Certificate, error) error) func(tls.ConnectionState) error {
	also := c.VerifyConnection
	return func(cs tls.ConnectionState) error {
		if also != nil {
			if err := also(cs); err != nil {
				return err
			}
		}
		if len(cs.PeerCertificates) == 0 {
			return nil
		}
		opts := x509.VerifyOptions{
			Roots:         c.ClientCAs,
			Intermediates: x509.NewCertPool(),
			KeyUsages:     []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
		}
		if c.Time != nil {
			opts.CurrentTime = c.Time()
		}
		for _, ca := range cs.PeerCertificates[1:] {
			opts.Intermediates.AddCert(ca)
		}
		chains, err := cs.PeerCertificates[0].Verify(opts)
		return verify(cs.PeerCertificates[0], chains, err)
	}
}

// selector checks what a callback chooses as the endpoint's own certificates
// are checked.
func selector(f func(*tls.ClientHelloInfo) (*tls.Certificate, error)) func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	return func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
		c, err := f(hello)
		if err != nil {
			return nil, err
		}
		if c == nil || len(c.Certificate) == 0 {
			return nil, fmt.Errorf("tlsbridge: GetCertificate has none for %q", hello.ServerName)
		}
		leaf := c.Leaf
		if leaf == nil {
			if leaf, err = x509.ParseCertificate(c.Certificate[0]); err != nil {
				return nil, fmt.Errorf("tlsbridge: certificate from GetCertificate: %w", err)
			}
		}
		return c, serverUsage(leaf)
	}
}

// errNoCertificate is the fault of an endpoint that could serve nobody.
var errNoCertificate = errors.New("no certificate")
