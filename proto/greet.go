package proto

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"time"
)

// Greet performs the handshake of connections that come from a listener made
// by tls.NewListener, as http.Server does: within the read and write timeouts,
// with its words in the error log, its answer to plain HTTP, and TLSNextProto
// for what ALPN chose. taken reports that the connection was served by such a
// function. It is for [listen.Options].Greet.
func (s *Service) Greet(nc net.Conn) (taken bool, err error) {
	conn, ok := nc.(*tls.Conn)
	if !ok {
		return false, nil
	}
	timeout := s.handshakeTimeout()
	if timeout > 0 {
		_ = conn.SetDeadline(time.Now().Add(timeout))
	}
	if err := conn.HandshakeContext(s.baseCtx); err != nil {
		reason := err.Error()
		var notTLS tls.RecordHeaderError
		if errors.As(err, &notTLS) && notTLS.Conn != nil && looksLikeHTTP(notTLS.RecordHeader) {
			_, _ = io.WriteString(notTLS.Conn, "HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTP request to an HTTPS server.\n")
			_ = notTLS.Conn.Close()
			reason = "client sent an HTTP request to an HTTPS server"
		}
		s.logf("http: TLS handshake error from %s: %v", conn.RemoteAddr(), reason)
		return false, err
	}
	if timeout > 0 {
		_ = conn.SetDeadline(time.Time{})
	}
	proto := conn.ConnectionState().NegotiatedProtocol
	if proto == "" || proto == "http/1.1" || proto == "http/1.0" {
		return false, nil
	}
	if fn := s.HTTPServer.TLSNextProto[proto]; fn != nil {
		fn(s.HTTPServer, conn, nextHandler{s, conn})
	}
	return true, nil
}

// defaultHandshakeTimeout is Kestrel's.
const defaultHandshakeTimeout = 10 * time.Second

// handshakeTimeout is the least of the timeouts that are set.
func (s *Service) handshakeTimeout() time.Duration {
	least := time.Duration(0)
	for _, d := range []time.Duration{s.ReadHeaderTimeout, s.ReadTimeout, s.WriteTimeout} {
		if d > 0 && (least == 0 || d < least) {
			least = d
		}
	}
	if least == 0 {
		return defaultHandshakeTimeout
	}
	return least
}

func looksLikeHTTP(hdr [5]byte) bool {
	switch string(hdr[:]) {
	case "GET /", "HEAD ", "POST ", "PUT /", "OPTIO":
		return true
	}
	return false
}

// nextHandler is the handler for functions of TLSNextProto: it completes the
// requests they make.
type nextHandler struct {
	s    *Service
	conn *tls.Conn
}

// BaseContext is looked for by x/net/http2.
func (h nextHandler) BaseContext() context.Context {
	ctx := context.WithValue(h.s.baseCtx, http.ServerContextKey, h.s.HTTPServer)
	return context.WithValue(ctx, http.LocalAddrContextKey, h.conn.LocalAddr())
}

func (h nextHandler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.TLS == nil {
		st := h.conn.ConnectionState()
		r.TLS = &st
	}
	if r.Body == nil {
		r.Body = http.NoBody
	}
	if r.RemoteAddr == "" {
		r.RemoteAddr = h.conn.RemoteAddr().String()
	}
	h.s.handler.ServeHTTP(w, r)
}
