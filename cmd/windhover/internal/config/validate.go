package config

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// validate checks what no option can see by itself.
func (c *Config) validate() error {
	if len(c.URLs) == 0 {
		return fmt.Errorf("urls (%s) holds no address; give one such as %q", c.Source("urls"), DefaultURL)
	}
	if err := c.checkBuffers(); err != nil {
		return err
	}
	if c.TLS.ClientMode != "none" && c.TLS.ClientCA == "" {
		return fmt.Errorf("%s is %q, but %s is not set; give the authorities that sign client certificates",
			c.Name("tls.client-certificates"), c.TLS.ClientMode, c.Name("tls.client-ca"))
	}
	if c.TLS.ClientMode == "none" && c.TLS.ClientCA != "" {
		return fmt.Errorf(`%s is set, but %s is "none"; make that "allow" or "require"`, c.Name("tls.client-ca"), c.Name("tls.client-certificates"))
	}
	if c.Forwarded.Standard && slices.Contains(c.Forwarded.Headers, "prefix") {
		return errors.New(`forwarded-headers.fields holds "prefix", which the header Forwarded does not have; remove it or forwarded-headers.standard`)
	}
	if err := c.Defaults.check("endpoint-defaults"); err != nil {
		return err
	}
	for _, e := range c.Endpoints {
		if err := e.check("endpoints." + e.Name); err != nil {
			return err
		}
	}
	return nil
}

// checkBuffers is Kestrel's start-time check: a request line or head that may
// not be received whole could never be answered.
func (c *Config) checkBuffers() error {
	l := &c.Limits
	if l.MaxRequestBufferSize == Unlimited {
		return nil
	}
	for _, part := range []struct {
		key  string
		size int64
	}{
		{"limits.max-request-line-size", l.MaxRequestLineSize},
		{"limits.max-request-headers-total-size", l.MaxRequestHeadersTotalSize},
	} {
		if l.MaxRequestBufferSize < part.size {
			return fmt.Errorf("%s is %d, but %s is %d; allowed: at least that, or \"unlimited\"",
				c.Name("limits.max-request-buffer-size"), l.MaxRequestBufferSize, c.Name(part.key), part.size)
		}
	}
	return nil
}

func (e *Endpoint) check(name string) error {
	if !slices.Contains(e.Protocols, "http1") {
		return fmt.Errorf(`%s.protocols is %q; allowed: http1, or http1 and http2`, name, strings.Join(e.Protocols, ","))
	}
	if e.Certificate.Path == "" && (e.Certificate.KeyPath != "" || e.Certificate.PasswordFile != "" || e.Certificate.Password != "") {
		return fmt.Errorf("%s.certificate has a key or a password but no path; give the certificate, too (for all endpoints: --tls-certificate)", name)
	}
	return nil
}

// Address is one address to listen on, with what holds for it.
type Address struct {
	Name string // of the endpoint in the file, "" for one of urls
	URL  string
	Endpoint
}

// Addresses returns where to listen, and a remark on what was overridden if
// anything was.
//
// Endpoints of the file win over urls of the same file (as Kestrel's win over
// addresses) unless prefer-urls says otherwise; urls given by a flag or the
// environment win over the file.
func (c *Config) Addresses() (addresses []Address, overridden string) {
	source := c.Source("urls")
	urlsSet := source != "default"
	outranks := urlsSet && source != fromFile+c.file
	switch {
	case len(c.Endpoints) > 0 && urlsSet && (outranks || c.PreferURLs):
		overridden = fmt.Sprintf("endpoints of %s are overridden by urls (%s)", c.file, source)
	case len(c.Endpoints) > 0:
		if urlsSet {
			overridden = fmt.Sprintf("urls %q are overridden by endpoints of the same file; set prefer-urls to use them", c.URLs)
		}
		for _, e := range c.Endpoints {
			addresses = append(addresses, Address(e))
		}
		return addresses, overridden
	}
	for _, url := range c.URLs {
		addresses = append(addresses, Address{"", url, c.Defaults})
	}
	return addresses, overridden
}
