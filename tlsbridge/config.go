package tlsbridge

import (
	"crypto/tls"
	"crypto/x509"
	"net"
	"time"
)

// DefaultHandshakeTimeout is Kestrel's HttpsConnectionAdapterOptions.HandshakeTimeout.
const DefaultHandshakeTimeout = 10 * time.Second

// DefaultReloadInterval is how often, at most, files are looked at for changes.
const DefaultReloadInterval = 10 * time.Second

// ClientCertificateMode says whether clients are asked for a certificate
// (Kestrel's ClientCertificateMode).
type ClientCertificateMode uint8

const (
	// ClientCertificateDefault is the endpoint's mode in a [Name], and
	// NoClientCertificate in a [Config].
	ClientCertificateDefault ClientCertificateMode = iota
	// NoClientCertificate does not ask.
	NoClientCertificate
	// AllowClientCertificate asks, and verifies what comes; a client without
	// one is welcome.
	AllowClientCertificate
	// RequireClientCertificate fails the handshake without a valid one.
	RequireClientCertificate
)

// Certificate says where a certificate with its private key comes from. Either
// Path or TLS is set.
type Certificate struct {
	// Path is a file with the certificate chain, the server's own certificate
	// first: PEM, or PKCS #12 (PFX), which is told from its content. A PEM
	// file may hold the private key, and an "OCSP RESPONSE" block, too.
	Path string
	// KeyPath is the PEM file with the private key. Empty means it is in Path.
	KeyPath string
	// Password decrypts the PFX file or the private key. Empty means none.
	Password string
	// OCSPPath is a file with a DER encoded OCSP response to staple. Empty
	// means Path with ".ocsp" appended, if there is such a file. A response
	// past its time is not stapled.
	OCSPPath string
	// TLS is a certificate made elsewhere. It is never reloaded.
	TLS *tls.Certificate
}

// Name is what differs for clients that ask for a certain server name. Zero
// fields mean the value of the [Config].
type Name struct {
	Certificates      []Certificate
	ClientCertificate ClientCertificateMode
	MinVersion        uint16
	Protocols         []string
}

// Config says how an endpoint speaks TLS. The zero value of each field means
// the default in its comment. It must not be changed after [New].
type Config struct {
	// Certificates are those of the endpoint. With several, the first that
	// suits the client is used (for instance ECDSA before RSA).
	Certificates []Certificate

	// Names are settings by server name (SNI): "www.example.com"; a wildcard
	// "*.example.com", which covers every name below, the longest one
	// counting; "*", which covers the rest and clients that send no name. A
	// name that nothing covers gets Certificates, and when there are none the
	// handshake fails with the alert unrecognized_name.
	Names map[string]Name

	// GetCertificate chooses the certificate for each handshake instead of
	// Certificates (Kestrel's ServerCertificateSelector). A nil certificate
	// fails the handshake, as does one whose extended key usage excludes
	// servers.
	GetCertificate func(*tls.ClientHelloInfo) (*tls.Certificate, error)

	// ClientCertificate is whether clients are asked for a certificate.
	// Default: they are not.
	ClientCertificate ClientCertificateMode
	// ClientCAPaths are PEM files of the authorities that client certificates
	// must come from; they are reloaded as the certificates are.
	ClientCAPaths []string
	// ClientCAs are such authorities, given directly.
	ClientCAs *x509.CertPool
	// VerifyClient, if set, decides about every client certificate (Kestrel's
	// ClientCertificateValidation): chains are those that lead to an
	// authority, err says why there are none. Its result fails the handshake.
	VerifyClient func(cert *x509.Certificate, chains [][]*x509.Certificate, err error) error

	// MinVersion is the lowest TLS version, tls.VersionTLS12 (the default) or
	// higher.
	MinVersion uint16
	// CipherSuites are the suites for TLS 1.2; those of TLS 1.3 are all on.
	// Default: crypto/tls's. Suites that crypto/tls calls insecure are refused.
	CipherSuites []uint16

	// Protocols are offered by ALPN, the preferred one first. Default:
	// Base.NextProtos, else "http/1.1" alone.
	Protocols []string

	// HandshakeTimeout bounds the time from the connection's acceptance to the
	// end of the handshake. Default 10 s; negative means none.
	HandshakeTimeout time.Duration

	// DisableSessionTickets switches resumption off.
	DisableSessionTickets bool
	// TicketKeysPath is a file of session ticket keys that a fleet shares: a
	// key of 32 bytes in base64 or hexadecimal on each line; the first
	// encrypts, all decrypt. To rotate, put a new line first. Default: keys of
	// this process, replaced every day and used for a week.
	TicketKeysPath string

	// ReloadInterval is how often, at most, files are looked at for changes;
	// that happens at a handshake, without a goroutine of its own. Default
	// 10 s; negative means only [Bridge.Reload].
	ReloadInterval time.Duration

	// Base is where fields that this type lacks come from, and those left
	// zero here. It is not changed. Its GetConfigForClient is asked first.
	Base *tls.Config

	// OnHandshake is told of every handshake; OnHandshakeError of those that
	// failed (Kestrel logs them at level Debug). OnReload is told the outcome
	// when files have changed, nil meaning that they are in use. OnWarning is
	// told of what does not keep a certificate from being served, such as an
	// OCSP response past its time. They are called from connections'
	// goroutines and must not block.
	OnHandshake      func(Handshake)
	OnHandshakeError func(remote net.Addr, err error)
	OnReload         func(err error)
	OnWarning        func(err error)
}

// ConfigError says what is wrong with an option of a [Config].
type ConfigError struct {
	Option string // such as `Names["example.com"].Certificates[0]`
	Path   string // the file, if one is to blame
	Err    error  // what is wrong
	Remedy string // what to do
}

// Error names the option, the file, the fault and the remedy.
func (e *ConfigError) Error() string {
	s := "tlsbridge: " + e.Option
	if e.Path != "" {
		s += " (" + e.Path + ")"
	}
	s += ": " + e.Err.Error()
	if e.Remedy != "" {
		s += "; " + e.Remedy
	}
	return s
}

// Unwrap returns Err.
func (e *ConfigError) Unwrap() error { return e.Err }

// New checks cfg, loads its files, and reports every fault at once: the error
// is an errors.Join of [*ConfigError].
func New(cfg *Config) (*Bridge, error) {
	b := &Bridge{cfg: *cfg, timeout: cfg.HandshakeTimeout}
	if b.timeout == 0 {
		b.timeout = DefaultHandshakeTimeout
	}
	if b.cfg.ReloadInterval == 0 {
		b.cfg.ReloadInterval = DefaultReloadInterval
	}
	if b.cfg.Base == nil {
		b.cfg.Base = &tls.Config{}
	}
	st, err := newStore(&b.cfg)
	if err != nil {
		return nil, err
	}
	b.store = st
	b.tls = st.root
	return b, nil
}

// Reload reads all files anew, changed or not, without disturbing a
// connection. What cannot be loaded keeps its old value and is reported;
// everything else is used from the next handshake on.
func (b *Bridge) Reload() error { return b.store.reload(true) }

// Certificates returns the certificates in use, the endpoint's own before
// those by name, for logs and for metrics of their expiry.
func (b *Bridge) Certificates() []*x509.Certificate { return b.store.leaves() }
