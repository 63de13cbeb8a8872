package tlsbridge

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"

	"software.sslmate.com/src/go-pkcs12"
)

// DevCertDays is how many days a development certificate lasts: the most that
// platforms accept (Apple's limit of 398 days for TLS certificates).
const DevCertDays = 398

// Names of the files that [DevCert.Write] makes.
const (
	devCertFile = "localhost.pem"
	devKeyFile  = "localhost.key"
	devPFXFile  = "localhost.pfx"
)

// devCertOrg marks a development certificate in the lists of browsers and
// operating systems.
const devCertOrg = "Windhover development certificate"

// DevCert is a certificate for localhost, signed by itself and no authority:
// whoever trusts it trusts nothing else by that.
type DevCert struct {
	CertPEM []byte // CERTIFICATE
	KeyPEM  []byte // PRIVATE KEY
	Leaf    *x509.Certificate

	key *ecdsa.PrivateKey
}

// NewDevCert makes a certificate with a new P-256 key for CN=localhost and the
// names localhost, *.localhost, 127.0.0.1 and ::1. It is valid from an hour
// before now, for clocks that are behind, to [DevCertDays] days after that.
func NewDevCert(now time.Time) (*DevCert, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("tlsbridge: development certificate: %w", err)
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return nil, fmt.Errorf("tlsbridge: development certificate: %w", err)
	}
	start := now.Add(-time.Hour)
	template := &x509.Certificate{
		SerialNumber:          serial,
		Subject:               pkix.Name{CommonName: "localhost", Organization: []string{devCertOrg}},
		DNSNames:              []string{"localhost", "*.localhost"},
		IPAddresses:           []net.IP{net.IPv4(127, 0, 0, 1).To4(), net.IPv6loopback},
		NotBefore:             start,
		NotAfter:              start.AddDate(0, 0, DevCertDays).Add(-time.Second),
		KeyUsage:              x509.KeyUsageDigitalSignature,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return nil, fmt.Errorf("tlsbridge: development certificate: %w", err)
	}
	return newDevCert(der, key)
}

func newDevCert(der []byte, key *ecdsa.PrivateKey) (*DevCert, error) {
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("tlsbridge: development certificate: %w", err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, fmt.Errorf("tlsbridge: development certificate: %w", err)
	}
	return &DevCert{
		CertPEM: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
		KeyPEM:  pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER}),
		Leaf:    leaf,
		key:     key,
	}, nil
}

// TLS returns the certificate for a server.
func (d *DevCert) TLS() tls.Certificate {
	return tls.Certificate{Certificate: [][]byte{d.Leaf.Raw}, PrivateKey: d.key, Leaf: d.Leaf}
}

// Pool returns the authorities of a client that trusts the certificate.
func (d *DevCert) Pool() *x509.CertPool {
	p := x509.NewCertPool()
	p.AddCert(d.Leaf)
	return p
}

// PFX returns certificate and key as a PKCS #12 file, encrypted with password.
func (d *DevCert) PFX(password string) ([]byte, error) {
	b, err := pkcs12.Modern.Encode(d.key, d.Leaf, nil, password)
	if err != nil {
		return nil, fmt.Errorf("tlsbridge: development certificate as PFX: %w", err)
	}
	return b, nil
}

// ExpiresSoon reports whether a new certificate should be made: fewer than 14
// days are left at now.
func (d *DevCert) ExpiresSoon(now time.Time) bool {
	return now.AddDate(0, 0, 14).After(d.Leaf.NotAfter)
}

// DevCertDir returns the folder of the development certificate, below
// os.UserConfigDir: on Linux ~/.config/windhover/dev-cert. It need not exist.
func DevCertDir() (string, error) {
	dir, err := os.UserConfigDir()
	if err != nil {
		return "", fmt.Errorf("tlsbridge: folder of the development certificate: %w", err)
	}
	return filepath.Join(dir, "windhover", "dev-cert"), nil
}

// DevCertificate returns the configuration of the certificate that Write has
// put into dir.
func DevCertificate(dir string) Certificate {
	return Certificate{Path: filepath.Join(dir, devCertFile), KeyPath: filepath.Join(dir, devKeyFile)}
}

// Write puts the certificate and its key into dir, which it makes if need be,
// and returns where. Only the user may read the key. Earlier files are
// replaced, each as a whole.
func (d *DevCert) Write(dir string) (Certificate, error) {
	c := DevCertificate(dir)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return c, fmt.Errorf("tlsbridge: development certificate: %w", err)
	}
	if err := writePrivate(c.KeyPath, d.KeyPEM); err != nil {
		return c, err
	}
	return c, writePrivate(c.Path, d.CertPEM)
}

// WritePFX puts a PKCS #12 file beside the others and returns its path.
func (d *DevCert) WritePFX(dir, password string) (string, error) {
	path := filepath.Join(dir, devPFXFile)
	b, err := d.PFX(password)
	if err != nil {
		return path, err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return path, fmt.Errorf("tlsbridge: development certificate: %w", err)
	}
	return path, writePrivate(path, b)
}

// writePrivate replaces a file by one that only the user can read. It is never
// there with other permissions or with half its content.
func writePrivate(path string, b []byte) (err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("tlsbridge: development certificate: %w", err)
		}
	}()
	f, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*") // mode 0600
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	err = errors.Join(err, f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		_ = os.Remove(f.Name())
	}
	return err
}

// LoadDevCert reads the certificate that Write has put into dir. The error is
// fs.ErrNotExist when there is none.
func LoadDevCert(dir string) (*DevCert, error) {
	c := DevCertificate(dir)
	if _, err := os.Stat(c.Path); errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("tlsbridge: no development certificate in %s: %w", dir, fs.ErrNotExist)
	}
	b, err := c.load("development certificate")
	if err != nil {
		return nil, err
	}
	key, ok := b.cert.PrivateKey.(*ecdsa.PrivateKey)
	if !ok || !isDevCert(b.cert.Leaf) {
		return nil, &ConfigError{"development certificate", c.Path, errors.New("not made by windhover dev-cert"), "remove it, or write the new one elsewhere"}
	}
	return newDevCert(b.cert.Certificate[0], key)
}

func isDevCert(c *x509.Certificate) bool {
	return len(c.Subject.Organization) == 1 && c.Subject.Organization[0] == devCertOrg
}
