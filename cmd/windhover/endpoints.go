package main

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"slices"
	"time"

	"github.com/windhover-server/windhover"
	"github.com/windhover-server/windhover/cmd/windhover/internal/config"
	"github.com/windhover-server/windhover/listen"
	"github.com/windhover-server/windhover/listen/proxyproto"
	"github.com/windhover-server/windhover/proto"
	"github.com/windhover-server/windhover/tlsbridge"
)

// endpoints translates the configured addresses, with the sockets that exist
// for them already.
func endpoints(cfg *config.Config, o *origins, logger *slog.Logger) ([]windhover.Endpoint, error) {
	addresses, overridden := cfg.Addresses()
	if overridden != "" {
		logger.Warn(overridden)
	}
	if cfg.Source("urls") == "default" && len(cfg.Endpoints) == 0 && len(o.activated) > 0 {
		addresses = o.activatedAddresses(cfg.Defaults)
	}
	var out []windhover.Endpoint
	for _, a := range addresses {
		e, err := endpoint(cfg, a, o, logger)
		if err != nil {
			return nil, err
		}
		out = append(out, e)
	}
	return out, nil
}

func endpoint(cfg *config.Config, a config.Address, o *origins, logger *slog.Logger) (windhover.Endpoint, error) {
	e := windhover.Endpoint{
		URL: a.URL,
		Bind: listen.BindOptions{
			Backlog: int(a.Backlog), ReusePort: a.ReusePort, DisableNoDelay: !a.NoDelay,
			UnixMode: a.UnixMode, UnixOwner: a.UnixOwner,
		},
	}
	prefix, err := listen.Parse(a.URL)
	if err != nil {
		return e, err
	}
	if prefix.TLS() {
		if e.TLS, err = tlsConfig(cfg, &a, logger); err != nil {
			return e, err
		}
		e.DisableHTTP2 = !slices.Contains(a.Protocols, "http2")
	}
	if a.Proxy.Enabled {
		e.Sleeve = proxySleeve(&a.Proxy, a.URL, logger)
	}
	e.Bind.Inherited, err = o.take("service", a.Name, a.URL)
	return e, err
}

func proxySleeve(c *config.ProxyProtocol, url string, logger *slog.Logger) func(listen.Acceptor) listen.Acceptor {
	pp := &proxyproto.Config{Trusted: c.Trusted, AllowDirect: c.AllowDirect, Timeout: c.Timeout}
	var limit proto.LogLimit
	pp.OnError = func(peer net.Addr, err error) {
		if suppressed, ok := limit.Allow(time.Now(), 1); ok {
			logger.Warn("connection refused", slog.String("endpoint", url), slog.String("peer", peer.String()),
				slog.String("error", err.Error()), slog.Int64("suppressed", suppressed))
		}
	}
	return func(next listen.Acceptor) listen.Acceptor { return proxyproto.Wrap(pp, next) }
}

func tlsConfig(cfg *config.Config, a *config.Address, logger *slog.Logger) (*tlsbridge.Config, error) {
	t := &cfg.TLS
	version, err := tlsbridge.ParseVersion(t.MinVersion)
	if err != nil {
		return nil, usageError{err}
	}
	out := &tlsbridge.Config{
		MinVersion: version, HandshakeTimeout: t.HandshakeTimeout, TicketKeysPath: t.TicketKeys, ReloadInterval: t.Reload,
		ClientCertificate: map[string]tlsbridge.ClientCertificateMode{
			"none": tlsbridge.NoClientCertificate, "allow": tlsbridge.AllowClientCertificate, "require": tlsbridge.RequireClientCertificate,
		}[t.ClientMode],
		OnReload: func(err error) {
			logError(logger, "certificates not reloaded; the old ones stay in use", nameSettings(err))
			if err == nil {
				logger.Info("certificates reloaded", slog.String("endpoint", a.URL))
			}
		},
		OnWarning: func(err error) { logger.Warn("certificate", slog.String("warning", err.Error())) },
	}
	if t.ClientCA != "" {
		out.ClientCAPaths = []string{t.ClientCA}
	}
	for host, cert := range t.SNI {
		if out.Names == nil {
			out.Names = make(map[string]tlsbridge.Name)
		}
		out.Names[host] = tlsbridge.Name{Certificates: []tlsbridge.Certificate{certificate(cert)}}
	}
	if a.Certificate.Path != "" {
		out.Certificates = []tlsbridge.Certificate{certificate(a.Certificate)}
	} else if len(out.Names) == 0 {
		return out, developmentCertificate(out, a.URL, logger)
	}
	return out, nil
}

func certificate(c config.Certificate) tlsbridge.Certificate {
	return tlsbridge.Certificate{Path: c.Path, KeyPath: c.KeyPath, Password: c.Password}
}

// developmentCertificate is for https without a certificate, as with Kestrel:
// the one that dev-cert has made, or a usage error.
func developmentCertificate(out *tlsbridge.Config, url string, logger *slog.Logger) error {
	dir, err := tlsbridge.DevCertDir()
	if err == nil {
		_, err = tlsbridge.LoadDevCert(dir)
	}
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return usageError{fmt.Errorf(`%s needs a certificate: give --tls-certificate and --tls-key, or make one for development with "windhover dev-cert"`, url)}
	case err != nil:
		return usageError{fmt.Errorf("%s: %w", url, err)}
	}
	logger.Info("using the development certificate", slog.String("endpoint", url), slog.String("directory", dir))
	out.Certificates = []tlsbridge.Certificate{tlsbridge.DevCertificate(dir)}
	return nil
}
