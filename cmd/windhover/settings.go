package main

import (
	"errors"
	"strings"

	"github.com/windhover-server/windhover/tlsbridge"
)

// tlsSettings are the program's names for what tlsbridge calls its options.
var tlsSettings = strings.NewReplacer(
	`Names["`, "tls.sni.", `"].Certificates[0]`, "", `"]`, "",
	"Certificates[0].Path", "--tls-certificate (certificate.path)",
	"Certificates[0].KeyPath", "--tls-key (certificate.key-path)",
	"Certificates[0]", "--tls-certificate (certificate.path)",
	"ClientCAPaths[0]", "--tls-client-ca", "TicketKeysPath", "--tls-ticket-keys",
	"KeyPath", "key-path", "set Password", "set the password", ".Path", ".path",
)

// namedError is an error in which settings have the program's names.
type namedError struct {
	text string
	err  error
}

func (e *namedError) Error() string { return e.text }
func (e *namedError) Unwrap() error { return e.err }

// nameSettings puts the program's names for settings into an error of
// tlsbridge; it leaves others alone.
func nameSettings(err error) error {
	var ce *tlsbridge.ConfigError
	if !errors.As(err, &ce) {
		return err
	}
	return &namedError{tlsSettings.Replace(err.Error()), err}
}
