package tlsbridge

import (
	"bytes"
	"crypto"
	"crypto/tls"
	"crypto/x509"
	"encoding/asn1"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"time"

	"software.sslmate.com/src/go-pkcs12"
)

// bundle is what the files of one Certificate hold.
type bundle struct {
	cert        tls.Certificate
	staple      []byte
	stapleUntil time.Time // zero: no end
}

// load reads c. Errors are *ConfigError.
func (c *Certificate) load(option string) (*bundle, error) {
	if err := c.check(option); err != nil {
		return nil, err
	}
	if c.TLS != nil {
		return c.loadInline(option)
	}
	raw, err := readFile(option+".Path", c.Path)
	if err != nil {
		return nil, err
	}
	b := &bundle{}
	if bytes.Contains(raw, []byte("-----BEGIN ")) {
		err = b.readPEM(c, option, raw)
	} else {
		err = b.readPFX(c, option, raw)
	}
	if err != nil {
		return nil, err
	}
	if err := b.readOCSP(c, option); err != nil {
		return nil, err
	}
	return b, b.verify(option, c.Path)
}

// check finds contradictions in c.
func (c *Certificate) check(option string) error {
	switch {
	case c.TLS != nil && c.Path != "":
		return &ConfigError{option, c.Path, errors.New("two certificate sources, Path and TLS"), "set one of them"}
	case c.TLS == nil && c.Path == "" && c.KeyPath != "":
		return &ConfigError{option, c.KeyPath, errors.New("a private key without a certificate"), "set Path to the certificate's file"}
	case c.TLS == nil && c.Path == "":
		return &ConfigError{option, "", errors.New("no certificate source"), "set Path, or TLS"}
	case c.TLS != nil && (c.KeyPath != "" || c.Password != "" || c.OCSPPath != ""):
		return &ConfigError{option, "", errors.New("KeyPath, Password and OCSPPath belong to Path, not to TLS"), "leave them empty"}
	}
	return nil
}

func (c *Certificate) loadInline(option string) (*bundle, error) {
	b := &bundle{cert: *c.TLS, staple: c.TLS.OCSPStaple}
	if len(b.cert.Certificate) == 0 || b.cert.PrivateKey == nil {
		return nil, &ConfigError{option + ".TLS", "", errors.New("no certificate or no private key in it"), "make it with tls.LoadX509KeyPair or tls.X509KeyPair"}
	}
	return b, b.verify(option+".TLS", "")
}

// readPFX takes the certificates and the key from a PKCS #12 file.
func (b *bundle) readPFX(c *Certificate, option string, raw []byte) error {
	if c.KeyPath != "" {
		return &ConfigError{option + ".KeyPath", c.KeyPath, fmt.Errorf("%s is no PEM file, and a PKCS #12 file holds its own key", c.Path), "leave KeyPath empty, or give the certificate as PEM"}
	}
	key, leaf, cas, err := pkcs12.DecodeChain(raw, c.Password)
	if err != nil {
		remedy := "check that it is a PKCS #12 file with one certificate and its private key, or a PEM file"
		if errors.Is(err, pkcs12.ErrIncorrectPassword) {
			err, remedy = errors.New("the password does not fit"), "set Password to the one that the file was exported with"
		} else if !looksLikeDER(raw) {
			err = errors.New("neither a PEM nor a PKCS #12 file") // what the decoder says helps nobody
		}
		return &ConfigError{option + ".Path", c.Path, err, remedy}
	}
	b.cert.PrivateKey = key
	b.cert.Certificate = append(b.cert.Certificate, leaf.Raw)
	for _, ca := range cas {
		// The root is known to who trusts it.
		if !bytes.Equal(ca.RawSubject, ca.RawIssuer) {
			b.cert.Certificate = append(b.cert.Certificate, ca.Raw)
		}
	}
	return nil
}

// looksLikeDER reports whether raw begins as every PKCS #12 file does: with an
// ASN.1 SEQUENCE that is as long as the file.
func looksLikeDER(raw []byte) bool {
	var v asn1.RawValue
	rest, err := asn1.Unmarshal(raw, &v)
	return err == nil && len(rest) == 0 && v.Tag == asn1.TagSequence && v.Class == asn1.ClassUniversal
}

// readPEM takes certificates, and key and OCSP response if they are there,
// from a PEM file.
func (b *bundle) readPEM(c *Certificate, option string, raw []byte) error {
	var keyBlock *pem.Block
	for block, rest := pem.Decode(raw); block != nil; block, rest = pem.Decode(rest) {
		switch {
		case block.Type == "CERTIFICATE" || block.Type == "TRUSTED CERTIFICATE":
			b.cert.Certificate = append(b.cert.Certificate, block.Bytes)
		case block.Type == "OCSP RESPONSE":
			b.staple = block.Bytes
		case isPrivateKey(block) && keyBlock == nil:
			keyBlock = block
		}
	}
	if len(b.cert.Certificate) == 0 {
		return &ConfigError{option + ".Path", c.Path, errors.New("no CERTIFICATE block in it"), "give the file with the certificate chain"}
	}
	keyOption, keyPath := option+".Path", c.Path
	if c.KeyPath != "" {
		keyOption, keyPath = option+".KeyPath", c.KeyPath
		rawKey, err := readFile(keyOption, keyPath)
		if err != nil {
			return err
		}
		keyBlock = nil
		for block, rest := pem.Decode(rawKey); block != nil && keyBlock == nil; block, rest = pem.Decode(rest) {
			if isPrivateKey(block) {
				keyBlock = block
			}
		}
	}
	if keyBlock == nil {
		return &ConfigError{keyOption, keyPath, errors.New("no private key in it"), "set KeyPath to the PEM file with the private key"}
	}
	key, err := parseKey(keyBlock, c.Password)
	if err != nil {
		var remedy string
		if r, ok := errors.AsType[*keyError](err); ok {
			remedy = r.remedy
		}
		return &ConfigError{keyOption, keyPath, err, remedy}
	}
	b.cert.PrivateKey = key
	return nil
}

// verify checks what both kinds of files can get wrong, and fills in Leaf.
func (b *bundle) verify(option, path string) error {
	leaf, err := x509.ParseCertificate(b.cert.Certificate[0])
	if err != nil {
		return &ConfigError{option, path, fmt.Errorf("certificate: %w", err), "give an X.509 certificate"}
	}
	b.cert.Leaf = leaf
	signer, ok := b.cert.PrivateKey.(crypto.Signer)
	if !ok {
		return &ConfigError{option, path, fmt.Errorf("private key of type %T cannot sign", b.cert.PrivateKey), "use an ECDSA, RSA or Ed25519 key"}
	}
	pub, ok := signer.Public().(interface{ Equal(crypto.PublicKey) bool })
	if !ok || !pub.Equal(leaf.PublicKey) {
		return &ConfigError{option, path, fmt.Errorf("the private key is not that of the certificate %q", leaf.Subject), "give the key that belongs to it, and put the server's own certificate first in the file"}
	}
	if err := serverUsage(leaf); err != nil {
		return &ConfigError{option, path, err, "ask the authority for one that may authenticate servers"}
	}
	return b.checkStaple(option, path)
}

// serverUsage applies Kestrel's rule (CertificateLoader.EnsureCertificateIsAllowedForServerAuth):
// a certificate without extended key usage may serve, one with it must list
// server authentication.
func serverUsage(leaf *x509.Certificate) error {
	if len(leaf.ExtKeyUsage) == 0 && len(leaf.UnknownExtKeyUsage) == 0 {
		return nil
	}
	for _, u := range []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageAny} {
		if slices.Contains(leaf.ExtKeyUsage, u) {
			return nil
		}
	}
	return fmt.Errorf("the extended key usage of certificate %q does not allow server authentication (OID 1.3.6.1.5.5.7.3.1)", leaf.Subject)
}

// readFile reads a file and says what to do when that fails.
func readFile(option, path string) ([]byte, error) {
	raw, err := os.ReadFile(path)
	if err == nil {
		return raw, nil
	}
	remedy := "check that it is a readable file"
	switch {
	case errors.Is(err, fs.ErrNotExist):
		remedy = "check the path; a relative one starts at the working directory"
	case errors.Is(err, fs.ErrPermission):
		remedy = "let the user that runs the server read it"
	}
	if pe, ok := errors.AsType[*fs.PathError](err); ok {
		err = pe.Err
	}
	return nil, &ConfigError{option, path, err, remedy}
}
