package tlsbridge

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// check finds the faults of cfg that can be seen without its files.
func (cfg *Config) check() []error {
	var errs []error
	fail := func(option string, remedy, format string, args ...any) {
		errs = append(errs, &ConfigError{Option: option, Err: fmt.Errorf(format, args...), Remedy: remedy})
	}
	base := cfg.Base
	own := len(cfg.Certificates) > 0 || cfg.GetCertificate != nil ||
		len(base.Certificates) > 0 || base.GetCertificate != nil || base.GetConfigForClient != nil
	if !own && len(cfg.Names) == 0 {
		errs = append(errs, &ConfigError{Option: "Certificates", Err: errNoCertificate,
			Remedy: "configure one for the endpoint; for localhost, windhover dev-cert makes one"})
	}
	cfg.checkLevel("", cfg.ClientCertificate, cfg.MinVersion, cfg.Protocols, fail)
	asked := cfg.ClientCertificate > NoClientCertificate
	for name, n := range cfg.Names {
		option := fmt.Sprintf("Names[%q]", name)
		checkName(option, name, fail)
		if len(n.Certificates) == 0 && !own {
			fail(option+".Certificates", "configure one for the name or for the endpoint", "no certificate")
		}
		cfg.checkLevel(option+".", n.ClientCertificate, n.MinVersion, n.Protocols, fail)
		asked = asked || n.ClientCertificate > NoClientCertificate
	}
	haveCAs := len(cfg.ClientCAPaths) > 0 || cfg.ClientCAs != nil
	if !asked && (haveCAs && base.ClientAuth == tls.NoClientCert || cfg.VerifyClient != nil) {
		fail("ClientCertificate", "set it to AllowClientCertificate or RequireClientCertificate", "authorities or a callback for client certificates, which are not asked for")
	}
	if asked && !haveCAs && cfg.VerifyClient == nil && base.ClientCAs == nil {
		// crypto/tls would take the system's roots: anybody with a certificate
		// for a web site.
		fail("ClientCAPaths", "name the PEM file of the authority that issues client certificates", "client certificates are asked for, but not whose to accept")
	}
	if cfg.DisableSessionTickets && cfg.TicketKeysPath != "" {
		fail("TicketKeysPath", "remove it, or set DisableSessionTickets to false", "ticket keys, but session tickets are off")
	}
	cfg.checkSuites(fail)
	return errs
}

type failFunc func(option string, remedy, format string, args ...any)

// checkLevel checks what the endpoint and its names have in common.
func (cfg *Config) checkLevel(prefix string, mode ClientCertificateMode, minVersion uint16, protocols []string, fail failFunc) {
	if mode > RequireClientCertificate {
		fail(prefix+"ClientCertificate", "use one of the constants", "unknown mode %d", mode)
	}
	switch minVersion {
	case 0, tls.VersionTLS12, tls.VersionTLS13:
	default:
		fail(prefix+"MinVersion", "use 1.2 or 1.3", "%s is not supported", tls.VersionName(minVersion))
	}
	for _, p := range protocols {
		if len(p) == 0 || len(p) > 255 {
			fail(prefix+"Protocols", `use names such as "h2" and "http/1.1"`, "%q cannot be a protocol name of ALPN", p)
		}
	}
}

// checkName checks a key of Names.
func checkName(option, name string, fail failFunc) {
	host := strings.TrimPrefix(name, "*.")
	_, err := netip.ParseAddr(strings.Trim(host, "[]"))
	switch {
	case name == "*":
	case err == nil:
		fail(option, `clients that connect by address send no name; use "*"`, "an IP address")
	case strings.ContainsFunc(name, func(r rune) bool { return r >= 0x80 }):
		fail(option, "write it in its ASCII form, which begins with xn--", "a name with letters outside ASCII")
	case host == "" || strings.HasPrefix(host, ".") || strings.HasSuffix(host, ".") ||
		strings.Contains(host, "..") || strings.ContainsAny(host, "*:/ "):
		fail(option, `use a host name such as "www.example.com", "*.example.com", or "*"`, "not a server name")
	}
}

// checkSuites checks CipherSuites against crypto/tls's lists and HTTP/2's.
func (cfg *Config) checkSuites(fail failFunc) {
	for _, id := range cfg.CipherSuites {
		known := slices.ContainsFunc(tls.CipherSuites(), func(s *tls.CipherSuite) bool {
			return s.ID == id && slices.Contains(s.SupportedVersions, tls.VersionTLS12)
		})
		if !known {
			fail("CipherSuites", "use suites of TLS 1.2 that tls.CipherSuites lists; those of TLS 1.3 are always on", "%s cannot be chosen", tls.CipherSuiteName(id))
		}
	}
	// RFC 9113 section 9.2.2.
	if len(cfg.CipherSuites) > 0 && slices.Contains(cfg.Protocols, "h2") && cfg.MinVersion < tls.VersionTLS13 &&
		!slices.Contains(cfg.CipherSuites, tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256) &&
		!slices.Contains(cfg.CipherSuites, tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256) {
		fail("CipherSuites", "add TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256 or its ECDSA form, or set MinVersion to 1.3", "HTTP/2 over TLS 1.2 needs a suite that is missing")
	}
}

// ParseVersion returns the TLS version that s names: "1.2" or "1.3", with or
// without "TLS" in front.
func ParseVersion(s string) (uint16, error) {
	switch v := strings.TrimLeft(strings.TrimPrefix(strings.ToLower(s), "tls"), "v "); v {
	case "1.2", "12":
		return tls.VersionTLS12, nil
	case "1.3", "13":
		return tls.VersionTLS13, nil
	}
	return 0, fmt.Errorf("tlsbridge: TLS version %q is not supported; use 1.2 or 1.3", s)
}

// ParseCipherSuite returns the suite of TLS 1.2 with crypto/tls's name s, such
// as "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256".
func ParseCipherSuite(s string) (uint16, error) {
	var names []string
	for _, c := range tls.CipherSuites() {
		if !slices.Contains(c.SupportedVersions, tls.VersionTLS12) {
			continue
		}
		if strings.EqualFold(c.Name, s) {
			return c.ID, nil
		}
		names = append(names, c.Name)
	}
	return 0, fmt.Errorf("tlsbridge: cipher suite %q is not supported; use one of %s", s, strings.Join(names, ", "))
}

// String returns the mode's name in configuration files.
func (m ClientCertificateMode) String() string {
	switch m {
	case NoClientCertificate:
		return "none"
	case AllowClientCertificate:
		return "allow"
	case RequireClientCertificate:
		return "require"
	default:
		return "default"
	}
}

// UnmarshalText accepts "none", "allow" and "require", and Kestrel's
// "NoCertificate", "AllowCertificate" and "RequireCertificate", in any case.
func (m *ClientCertificateMode) UnmarshalText(text []byte) error {
	switch strings.ToLower(string(text)) {
	case "none", "nocertificate":
		*m = NoClientCertificate
	case "allow", "allowcertificate":
		*m = AllowClientCertificate
	case "require", "requirecertificate":
		*m = RequireClientCertificate
	default:
		return errors.New("tlsbridge: client certificate mode must be none, allow or require")
	}
	return nil
}
