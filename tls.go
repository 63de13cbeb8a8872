package windhover

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log"
	"net"

	"github.com/windhover-server/windhover/listen"
	"github.com/windhover-server/windhover/proto"
	"github.com/windhover-server/windhover/tlsbridge"
	"github.com/windhover-server/windhover/tlsbridge/h2"
)

var errNoCertificate = errors.New("windhover: an https endpoint needs a certificate: set Server.TLS or TLSConfig, or make one with \"windhover dev-cert\"")

// tlsFor returns the TLS settings for certificate files given by name, which
// may be empty, or for none.
func (s *Server) tlsFor(certFile, keyFile string) (*tlsbridge.Config, error) {
	cfg := tlsbridge.Config{}
	if s.TLS != nil {
		cfg = *s.TLS
	}
	if cfg.Base == nil {
		cfg.Base = s.TLSConfig
	}
	if certFile != "" || keyFile != "" {
		cfg.Certificates = []tlsbridge.Certificate{{Path: certFile, KeyPath: keyFile}}
	}
	b := cfg.Base
	if len(cfg.Certificates)+len(cfg.Names) == 0 && cfg.GetCertificate == nil &&
		(b == nil || len(b.Certificates) == 0 && b.GetCertificate == nil && b.GetConfigForClient == nil) {
		return nil, errNoCertificate
	}
	return &cfg, nil
}

// newBridge makes the bridge for cfg with the ALPN protocols that this server
// speaks.
func (s *Server) newBridge(cfg *tlsbridge.Config) (*tlsbridge.Bridge, error) {
	c := *cfg
	if len(c.Protocols) == 0 && (c.Base == nil || len(c.Base.NextProtos) == 0) {
		for name := range s.TLSNextProto {
			c.Protocols = append(c.Protocols, name)
		}
		if s.http2() {
			c.Protocols = append(c.Protocols, "h2")
		}
		c.Protocols = append(c.Protocols, "http/1.1")
	}
	if c.OnHandshakeError == nil {
		c.OnHandshakeError = s.logHandshakeError
	}
	b, err := tlsbridge.New(&c)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	s.bridges = append(s.bridges, b)
	s.mu.Unlock()
	return b, nil
}

// serveNextProto serves ln over package tls, for the functions of TLSNextProto.
func (s *Server) serveNextProto(ln net.Listener, cfg *tlsbridge.Config) error {
	b, err := s.newBridge(cfg)
	if err != nil {
		_ = ln.Close()
		return err
	}
	return s.serve(tls.NewListener(ln, b.TLS()), nil)
}

// http2 reports whether https endpoints speak HTTP/2. The native handler has
// no HTTP/2 form.
func (s *Server) http2() bool {
	return !s.DisableHTTP2 && s.TLSNextProto == nil && s.Native == nil
}

// switches says who serves connections for which ALPN chose another protocol
// than HTTP/1.1.
func (s *Server) switches(svc *proto.Service) (map[string]tlsbridge.Switch, error) {
	if !s.http2() {
		return nil, nil
	}
	h := &h2.Server{
		Handler: s.Handler, HTTPServer: svc.HTTPServer,
		Context: connContext, ConnState: s.ConnState, Limits: s.http2Limits(),
	}
	if err := h.Prepare(); err != nil {
		return nil, err
	}
	s.mu.Lock()
	s.h2 = append(s.h2, h)
	s.mu.Unlock()
	return map[string]tlsbridge.Switch{"h2": h.Switch}, nil
}

// http2Limits are those of Limits that HTTP/2 has, with http.Server's fields over
// them as in HTTP/1.1.
func (s *Server) http2Limits() h2.Limits {
	lim := s.Limits.WithDefaults()
	h := h2.Limits{
		MaxRequestLineSize:         lim.MaxRequestLineSize,
		MaxRequestHeadersTotalSize: lim.MaxRequestHeadersTotalSize,
		MaxRequestHeaderCount:      lim.MaxRequestHeaderCount,
		MaxRequestBodySize:         lim.MaxRequestBodySize,
		KeepAliveTimeout:           lim.KeepAliveTimeout,
		MinResponseDataRate:        lim.MinResponseDataRate.BytesPerSecond,
		MinResponseDataGracePeriod: lim.MinResponseDataRate.GracePeriod,
	}
	if n := s.MaxHeaderBytes; n > 0 {
		h.MaxRequestLineSize, h.MaxRequestHeadersTotalSize = -1, n
	}
	if h.MaxRequestHeadersTotalSize < 0 {
		h.MaxRequestHeadersTotalSize = 1 << 30 // http2 knows no "unlimited"
	}
	if s.IdleTimeout > 0 {
		h.KeepAliveTimeout = s.IdleTimeout
	} else if s.IdleTimeout == 0 && s.ReadTimeout > 0 {
		h.KeepAliveTimeout = s.ReadTimeout
	}
	return h
}

// connContext is the context of a connection, as BaseContext and ConnContext
// have made it.
func connContext(_ listen.Link, base listen.Protocol) context.Context {
	if c, ok := base.(*proto.Conn); ok {
		return c.Context()
	}
	return context.Background()
}

// logHandshakeError reports a failed handshake in net/http's words.
func (s *Server) logHandshakeError(remote net.Addr, err error) {
	if errors.Is(err, io.EOF) {
		return // a port scan, a health check
	}
	reason := err.Error()
	if errors.Is(err, tlsbridge.ErrPlainHTTP) {
		reason = "client sent an HTTP request to an HTTPS server"
	}
	if s.Logger != nil {
		s.Logger.Debug("TLS handshake failed", "remote", remote.String(), "error", reason)
		return
	}
	s.logf("http: TLS handshake error from %s: %v", remote, reason)
}

func (s *Server) logf(format string, args ...any) {
	switch {
	case s.ErrorLog != nil:
		s.ErrorLog.Printf(format, args...)
	case s.HTTPServer != nil && s.HTTPServer.ErrorLog != nil:
		s.HTTPServer.ErrorLog.Printf(format, args...)
	default:
		log.Printf(format, args...)
	}
}
