// Package upstream passes requests on to another server: over TCP, TLS or a
// Unix socket, WebSocket and other upgrades included.
package upstream

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/windhover-server/windhover"
	"github.com/windhover-server/windhover/proto"
)

// Options say how the upstream is talked to. Zero durations and counts mean no
// bound.
type Options struct {
	PreserveHost    bool // send the client's Host instead of the upstream's
	ConnectTimeout  time.Duration
	ResponseTimeout time.Duration // for the head of a response
	IdleTimeout     time.Duration // of kept connections
	MaxIdle         int           // kept connections
	MaxConnections  int
	CA              string // PEM file; "": the system's
	Insecure        bool   // do not check the upstream's certificate
	Logger          *slog.Logger
}

// Proxy is an [http.Handler] for one upstream.
type Proxy struct {
	httputil.ReverseProxy
	transport *http.Transport
}

// Target is a parsed upstream.
type Target struct {
	URL    *url.URL // what requests are made for
	Socket string   // path of a Unix socket, or ""
}

// Parse reads an upstream: "http://host:port/base", "https://host",
// "unix:/run/app.sock" or, as a prefix for listening is written,
// "http://unix:/run/app.sock:/base".
func Parse(s string) (Target, error) {
	scheme, rest, ok := strings.Cut(s, "://")
	if socket, bare := strings.CutPrefix(s, "unix:"); bare {
		scheme, rest, ok = "http", "unix:"+socket, true
	}
	if !ok {
		return Target{}, fmt.Errorf(`upstream %q has no scheme; write it like "http://localhost:3000" or "unix:/run/app.sock"`, s)
	}
	scheme = strings.ToLower(scheme)
	if scheme != "http" && scheme != "https" {
		return Target{}, fmt.Errorf(`upstream %q has the scheme %q; use http or https`, s, scheme)
	}
	if path, isUnix := strings.CutPrefix(rest, "unix:"); isUnix && strings.HasPrefix(path, "/") {
		socket, base, _ := strings.Cut(path, ":")
		return Target{URL: &url.URL{Scheme: scheme, Host: "localhost", Path: base}, Socket: socket}, nil
	}
	u, err := url.Parse(scheme + "://" + rest)
	if err != nil {
		return Target{}, fmt.Errorf("upstream %q: %w", s, errors.Unwrap(err))
	}
	if u.Hostname() == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return Target{}, fmt.Errorf("upstream %q must be a scheme, a host and perhaps a path", s)
	}
	return Target{URL: u}, nil
}

// New returns the Proxy for a target.
func New(target Target, opt Options) (*Proxy, error) {
	tlsConfig, err := tlsFor(opt)
	if err != nil {
		return nil, err
	}
	dialer := &net.Dialer{Timeout: opt.ConnectTimeout}
	transport := &http.Transport{
		DialContext:           dialer.DialContext,
		TLSClientConfig:       tlsConfig,
		TLSHandshakeTimeout:   opt.ConnectTimeout,
		ResponseHeaderTimeout: opt.ResponseTimeout,
		IdleConnTimeout:       opt.IdleTimeout,
		MaxIdleConns:          opt.MaxIdle,
		MaxIdleConnsPerHost:   opt.MaxIdle,
		MaxConnsPerHost:       opt.MaxConnections,
		ForceAttemptHTTP2:     true,
		DisableCompression:    true, // the client's Accept-Encoding is for it to say
		ReadBufferSize:        16 << 10,
		WriteBufferSize:       16 << 10,
	}
	if target.Socket != "" {
		transport.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
			return dialer.DialContext(ctx, "unix", target.Socket)
		}
	}
	p, logger := &Proxy{transport: transport}, newLogger(opt.Logger)
	p.ReverseProxy = httputil.ReverseProxy{
		Transport:    transport,
		Rewrite:      rewrite(target.URL, opt.PreserveHost),
		ErrorHandler: fail(logger),
		ErrorLog:     slog.NewLogLogger(logger.Handler(), slog.LevelWarn),
	}
	return p, nil
}

// Close closes the kept connections.
func (p *Proxy) Close() { p.transport.CloseIdleConnections() }

func tlsFor(opt Options) (*tls.Config, error) {
	cfg := &tls.Config{MinVersion: tls.VersionTLS12, InsecureSkipVerify: opt.Insecure} // #nosec G402: on the user's demand
	if opt.CA == "" {
		return cfg, nil
	}
	pem, err := os.ReadFile(opt.CA)
	if err != nil {
		return nil, fmt.Errorf("proxy.ca: %w", err)
	}
	cfg.RootCAs = x509.NewCertPool()
	if !cfg.RootCAs.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("proxy.ca: %s holds no PEM certificate", opt.CA)
	}
	return cfg, nil
}

// rewrite turns the client's request into the upstream's. ReverseProxy has
// removed the client's own Forwarded and X-Forwarded headers by then; what
// windhover.ForwardedHeaders took from a trusted proxy's is in the request's
// address, host and scheme, and is what we pass on.
func rewrite(target *url.URL, preserveHost bool) func(*httputil.ProxyRequest) {
	return func(pr *httputil.ProxyRequest) {
		pr.SetURL(target)
		// As the client wrote it: nothing here reads parameters, so there is no
		// second opinion on what they are.
		pr.Out.URL.RawQuery = pr.In.URL.RawQuery
		if preserveHost {
			pr.Out.Host = pr.In.Host
		}
		pr.SetXForwarded()
		pr.Out.Header.Set("X-Forwarded-Proto", windhover.Scheme(pr.In))
		if prefix := windhover.PathPrefix(pr.In); prefix != "" {
			pr.Out.Header.Set("X-Forwarded-Prefix", prefix)
		}
	}
}

// fail answers for an upstream that has not: 504 if it took too long, else
// 502. A client that has gone away itself needs neither.
func fail(logger *slog.Logger) func(http.ResponseWriter, *http.Request, error) {
	return func(w http.ResponseWriter, r *http.Request, err error) {
		status, level := http.StatusBadGateway, slog.LevelWarn
		var body *proto.BodyError
		var tooLarge *http.MaxBytesError
		var netErr net.Error
		switch {
		case errors.Is(r.Context().Err(), context.Canceled):
			level = slog.LevelDebug
		case errors.As(err, &body): // the client's own doing: too large, too slow, malformed
			status, level = body.Status, slog.LevelInfo
		case errors.As(err, &tooLarge):
			status, level = http.StatusRequestEntityTooLarge, slog.LevelInfo
		case errors.As(err, &netErr) && netErr.Timeout(), errors.Is(err, context.DeadlineExceeded):
			status = http.StatusGatewayTimeout
		}
		logger.LogAttrs(r.Context(), level, "upstream failed",
			slog.String("method", r.Method), slog.String("path", r.URL.Path), slog.String("error", err.Error()), slog.Int("status", status))
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		w.WriteHeader(status)
		_, _ = io.WriteString(w, http.StatusText(status)+"\n") // the client is gone if this fails
	}
}
