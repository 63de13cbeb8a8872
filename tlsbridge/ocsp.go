package tlsbridge

import (
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"golang.org/x/crypto/ocsp"
)

// staplePath is where the OCSP response of c is looked for.
func (c *Certificate) staplePath() string {
	switch {
	case c.OCSPPath != "":
		return c.OCSPPath
	case c.Path != "":
		return c.Path + ".ocsp"
	}
	return ""
}

// readOCSP takes the OCSP response from its file, if there is one; it replaces
// one from the bundle.
func (b *bundle) readOCSP(c *Certificate, option string) error {
	if c.OCSPPath != "" {
		raw, err := readFile(option+".OCSPPath", c.OCSPPath)
		b.staple = raw
		return err
	}
	raw, err := os.ReadFile(c.staplePath())
	if err == nil {
		b.staple = raw
	} else if !errors.Is(err, fs.ErrNotExist) {
		return &ConfigError{option, c.staplePath(), err, "make the OCSP response readable, or remove it"}
	}
	return nil
}

// checkStaple verifies that the OCSP response belongs to the certificate and
// says that it is good, and notes until when.
func (b *bundle) checkStaple(option, path string) error {
	if len(b.staple) == 0 {
		return nil
	}
	fail := func(err error) error {
		return &ConfigError{option, path, fmt.Errorf("OCSP response: %w", err), "fetch a new one from the authority, or remove it"}
	}
	var issuer *x509.Certificate
	if len(b.cert.Certificate) > 1 {
		var err error
		if issuer, err = x509.ParseCertificate(b.cert.Certificate[1]); err != nil {
			return fail(err)
		}
	}
	r, err := ocsp.ParseResponseForCert(b.staple, b.cert.Leaf, issuer)
	switch {
	case err != nil:
		return fail(err)
	case r.Status == ocsp.Revoked:
		return fail(errors.New("it says that the certificate is revoked"))
	case r.Status != ocsp.Good:
		return fail(errors.New("it does not say that the certificate is good"))
	}
	b.stapleUntil = r.NextUpdate
	return nil
}

// fresh reports whether the OCSP response may be stapled at t. Clients of
// must-staple certificates refuse one past its time.
func (b *bundle) fresh(t time.Time) bool {
	return len(b.staple) > 0 && (b.stapleUntil.IsZero() || t.Before(b.stapleUntil))
}
