package main

import (
	"fmt"
	"log/slog"
	"net/http"

	"github.com/windhover-server/windhover"
	"github.com/windhover-server/windhover/cmd/windhover/internal/config"
	"github.com/windhover-server/windhover/cmd/windhover/internal/observe"
)

// chain puts what every request passes in front of the content:
//
//	forwarded headers ──▶ metrics, access log ──▶ allowed hosts ──▶ content
//
// so that the log shows the real client, and also who was turned away.
func chain(cfg *config.Config, app http.Handler, logger *slog.Logger, observers ...observe.Observer) (http.Handler, error) {
	if cfg.Limits.MaxConcurrentUpgradedConnections == 0 {
		app = withoutUpgrade(app)
	}
	if len(cfg.Hosts.Allowed) > 0 {
		f := &windhover.HostFilter{
			Handler: app, AllowedHosts: cfg.Hosts.Allowed, RefuseEmptyHosts: !cfg.Hosts.AllowEmpty,
			OmitFailureMessage: !cfg.Hosts.FailureMessage, Logger: logger,
		}
		if err := f.Validate(); err != nil {
			return nil, usageError{fmt.Errorf("%s: %w", cfg.Name("allowed-hosts"), err)}
		}
		app = f
	}
	app = observe.Handler(app, observers...)
	if len(cfg.Forwarded.Headers) == 0 {
		return app, nil
	}
	f := forwarded(&cfg.Forwarded)
	f.Handler, f.Logger = app, logger
	if err := f.Validate(); err != nil {
		return nil, usageError{fmt.Errorf("%s: %w", cfg.Name("forwarded-headers.allowed-hosts"), err)}
	}
	return f, nil
}

func forwarded(c *config.Forwarded) *windhover.ForwardedHeaders {
	f := &windhover.ForwardedHeaders{
		Standard: c.Standard, ForwardLimit: int(c.Limit), KnownNetworks: c.KnownProxies,
		TrustAll: c.TrustAll, AllowedHosts: c.AllowedHosts, RequireSymmetry: c.Symmetry,
	}
	for _, name := range c.Headers {
		f.Fields |= map[string]windhover.ForwardedFields{
			"for": windhover.ForwardedFor, "proto": windhover.ForwardedProto,
			"host": windhover.ForwardedHost, "prefix": windhover.ForwardedPrefix,
		}[name]
	}
	return f
}

// withoutUpgrade hides requests for an upgrade from app, which then answers
// them as ordinary ones (RFC 9110 section 7.8 lets a server ignore Upgrade).
func withoutUpgrade(app http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Upgrade") != "" {
			r = r.Clone(r.Context())
			r.Header.Del("Upgrade")
			r.Header.Del("Connection")
		}
		app.ServeHTTP(w, r)
	})
}
