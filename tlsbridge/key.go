package tlsbridge

import (
	"crypto"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"

	"github.com/youmark/pkcs8"
)

// keyError is a fault of a private key with what to do about it.
type keyError struct {
	err    error
	remedy string
}

func (e *keyError) Error() string { return e.err.Error() }
func (e *keyError) Unwrap() error { return e.err }

var (
	errKeyEncrypted = &keyError{errors.New("the private key is encrypted"), "set Password"}
	errKeyPassword  = &keyError{errors.New("the password does not fit the private key, or its encryption is not known"),
		"check Password; an old encryption is replaced by: openssl pkcs8 -topk8 -v2 aes-256-cbc -in KEY -out NEW"}
)

// isPrivateKey reports whether a PEM block holds a private key of any form.
func isPrivateKey(b *pem.Block) bool { return strings.HasSuffix(b.Type, "PRIVATE KEY") }

// parseKey decodes a private key: PKCS #8, plain or encrypted (PBES2), PKCS #1
// and SEC 1, plain or with the older encryption of RFC 1421.
func parseKey(b *pem.Block, password string) (crypto.PrivateKey, error) {
	der := b.Bytes
	//lint:ignore SA1019 insecure by design, but it is what key files of that age are encrypted with.
	if x509.IsEncryptedPEMBlock(b) {
		if password == "" {
			return nil, errKeyEncrypted
		}
		var err error
		//lint:ignore SA1019 as above.
		if der, err = x509.DecryptPEMBlock(b, []byte(password)); err != nil {
			return nil, errKeyPassword
		}
	}
	var key any
	var err error
	switch b.Type {
	case "ENCRYPTED PRIVATE KEY":
		return parseEncryptedPKCS8(der, password)
	case "RSA PRIVATE KEY":
		key, err = x509.ParsePKCS1PrivateKey(der)
	case "EC PRIVATE KEY":
		key, err = x509.ParseECPrivateKey(der)
	case "PRIVATE KEY":
		key, err = x509.ParsePKCS8PrivateKey(der)
	default:
		err = fmt.Errorf("private key of unknown form %q", b.Type)
	}
	if err == nil {
		return key, nil
	}
	if len(b.Headers) > 0 {
		// RFC 1421 has no check of the password but that the result parses.
		return nil, errKeyPassword
	}
	return nil, &keyError{err, "give an ECDSA, RSA or Ed25519 key in PEM form"}
}

func parseEncryptedPKCS8(der []byte, password string) (key crypto.PrivateKey, err error) {
	if password == "" {
		return nil, errKeyEncrypted
	}
	defer func() {
		// The library hands parameters of a damaged file to crypto/cipher,
		// which panics on an initialisation vector of the wrong length.
		if recover() != nil {
			key, err = nil, errKeyPassword
		}
	}()
	key, err = pkcs8.ParsePKCS8PrivateKey(der, []byte(password))
	if err != nil {
		return nil, errKeyPassword
	}
	return key, nil
}
