package windhover

import (
	"context"
	"crypto/tls"
	"errors"
	"log"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/windhover-server/windhover/listen"
	"github.com/windhover-server/windhover/proto"
	"github.com/windhover-server/windhover/tlsbridge"
	"github.com/windhover-server/windhover/tlsbridge/h2"
)

// Server serves HTTP/1.1. Fields that http.Server has too keep their name and
// meaning, so that changing the type name is enough to switch. The zero value
// serves http.DefaultServeMux on http://localhost:5000.
//
// Fields must not be changed once a method has been called. The methods may be
// called from any goroutine. A Server cannot be used again after Shutdown or
// Close.
type Server struct {
	// Addr is http.Server's: the TCP address "host:port" for ListenAndServe.
	// It is used when URLs and Endpoints are empty.
	Addr string
	// URLs are the prefixes to listen on, such as "http://localhost:5000",
	// "https://*:8443" or "http://unix:/run/app.sock"; each may be a list
	// separated by semicolons. See [listen.Parse]. Default, when Addr and
	// Endpoints are empty too: "http://localhost:5000".
	URLs []string
	// Endpoints are addresses with settings of their own, beside URLs.
	Endpoints []Endpoint
	// Handler answers requests; nil means http.DefaultServeMux.
	Handler http.Handler
	// Native, if set, answers requests instead of Handler, which must be nil.
	Native proto.Handler

	// Transport selects io_uring or package net. Default: Auto.
	Transport Transport
	// Rings is how many rings the ring transport has, each with a loop of its
	// own (Kestrel's ThreadCount). Default: GOMAXPROCS.
	Rings int

	// TLS has the certificates for https endpoints that have none of their
	// own. TLSConfig is http.Server's and is used where TLS is nil.
	TLS       *tlsbridge.Config
	TLSConfig *tls.Config
	// TLSNextProto is http.Server's: it takes over connections for which ALPN
	// chose the protocol. Non-nil switches the built-in HTTP/2 off.
	TLSNextProto map[string]func(*http.Server, *tls.Conn, http.Handler)
	// DisableHTTP2 stops https endpoints from offering h2.
	DisableHTTP2 bool

	// Limits are the caps and timeouts; the zero value means Kestrel's
	// defaults.
	Limits proto.Limits
	// ReadTimeout, ReadHeaderTimeout, WriteTimeout, IdleTimeout and
	// MaxHeaderBytes are http.Server's. The zero values leave it to Limits.
	ReadTimeout, ReadHeaderTimeout, WriteTimeout, IdleTimeout time.Duration
	MaxHeaderBytes                                            int

	// BaseContext, ConnContext, ConnState and DisableGeneralOptionsHandler are
	// http.Server's.
	BaseContext                  func(net.Listener) context.Context
	ConnContext                  func(ctx context.Context, c net.Conn) context.Context
	ConnState                    func(net.Conn, http.ConnState)
	DisableGeneralOptionsHandler bool

	// ErrorLog gets what http.Server would log; nil means Logger, then the
	// standard logger.
	ErrorLog *log.Logger
	// Logger gets connection events under Kestrel's names, and which transport
	// was chosen and why. Nil means none.
	Logger *slog.Logger
	// ServerHeader is the value of the Server response field: "" means
	// "Windhover", "-" none.
	ServerHeader string
	// DrainTimeout is how long Run drains. Default [DefaultDrainTimeout];
	// negative means as long as it takes.
	DrainTimeout time.Duration
	// HTTPServer is what handlers find under http.ServerContextKey. Default: a
	// new one with this server's fields.
	HTTPServer *http.Server

	mu         sync.Mutex
	svc        *proto.Service
	transports transports
	onShutdown []func()
	bound      []bound
	serving    bool // ServeListeners was called
	bridges    []*tlsbridge.Bridge
	h2         []*h2.Server
}

// prepare makes the service and the transports at the first use.
func (s *Server) prepare() (*proto.Service, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.svc != nil {
		return s.svc, nil
	}
	hs := s.HTTPServer
	if hs == nil {
		hs = &http.Server{
			Addr: s.Addr, Handler: s.Handler, TLSConfig: s.TLSConfig,
			ReadTimeout: s.ReadTimeout, ReadHeaderTimeout: s.ReadHeaderTimeout,
			WriteTimeout: s.WriteTimeout, IdleTimeout: s.IdleTimeout, MaxHeaderBytes: s.MaxHeaderBytes,
			ErrorLog: s.ErrorLog, TLSNextProto: s.TLSNextProto,
		}
	}
	svc := &proto.Service{
		Handler: s.Handler, Native: s.Native, Limits: s.Limits, HTTPServer: hs,
		ReadTimeout: s.ReadTimeout, ReadHeaderTimeout: s.ReadHeaderTimeout,
		WriteTimeout: s.WriteTimeout, IdleTimeout: s.IdleTimeout, MaxHeaderBytes: s.MaxHeaderBytes,
		ConnContext: s.ConnContext, ConnState: s.ConnState,
		ErrorLog: s.ErrorLog, Logger: s.Logger, ServerHeader: s.ServerHeader,
		DisableGeneralOptionsHandler: s.DisableGeneralOptionsHandler,
	}
	if err := svc.Prepare(); err != nil {
		return nil, err
	}
	s.transports.kind, s.transports.rings, s.transports.logger = s.Transport, s.Rings, s.Logger
	if err := s.transports.check(); err != nil {
		return nil, err
	}
	s.svc = svc
	return svc, nil
}

// Serve accepts connections from ln until Shutdown or Close, when it returns
// http.ErrServerClosed, or until ln fails. It closes ln. TCP and Unix
// listeners are served by the selected transport, others (in memory, or made
// by tls.NewListener) by the portable one. Connections outlive a listener that
// fails or that its owner closes; once they have ended too, nothing runs on
// that neither Shutdown nor Close has ended, and Serve may be called again.
func (s *Server) Serve(ln net.Listener) error {
	return s.serve(ln, nil)
}

// ServeTLS is Serve with TLS on every connection. The certificate comes from
// the files, or from TLS or TLSConfig when both names are empty.
func (s *Server) ServeTLS(ln net.Listener, certFile, keyFile string) error {
	cfg, err := s.tlsFor(certFile, keyFile)
	if err == nil && len(s.TLSNextProto) > 0 {
		// Its functions want a *tls.Conn that nobody has read from.
		return s.serveNextProto(ln, cfg)
	}
	if err == nil {
		var b *tlsbridge.Bridge
		if b, err = s.newBridge(cfg); err == nil {
			return s.serve(ln, b)
		}
	}
	_ = ln.Close()
	return err
}

// serve runs ln on the transport that suits it. b, if set, speaks TLS.
func (s *Server) serve(ln net.Listener, b *tlsbridge.Bridge) error {
	return s.serveBound(ln, b, nil, false)
}

// serveBound is serve with a sleeve outside of TLS, if it is set, and with
// Nagle's algorithm if delay is.
func (s *Server) serveBound(ln net.Listener, b *tlsbridge.Bridge, sleeve func(listen.Acceptor) listen.Acceptor, delay bool) error {
	svc, err := s.prepare()
	if err != nil {
		_ = ln.Close()
		return err
	}
	base := context.Background()
	if s.BaseContext != nil {
		if base = s.BaseContext(ln); base == nil {
			panic("BaseContext returned a nil context")
		}
	}
	accept := svc.AcceptWith(base)
	if b != nil {
		sw, err := s.switches(svc)
		if err != nil {
			_ = ln.Close()
			return err
		}
		accept = b.Wrap(accept, sw)
	}
	if sleeve != nil {
		accept = svc.Reserve(sleeve, accept)
	}
	opt := svc.Options()
	opt.Delay = delay
	err = s.transports.serve(ln, opt, accept)
	if errors.Is(err, listen.ErrServerClosed) {
		return http.ErrServerClosed
	}
	return err
}

// RegisterOnShutdown has f called, on a goroutine of its own, when Shutdown
// begins.
func (s *Server) RegisterOnShutdown(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.onShutdown = append(s.onShutdown, f)
}

// SetKeepAlivesEnabled switches persistent connections on (the default) or
// off; then idle connections close.
func (s *Server) SetKeepAlivesEnabled(on bool) {
	svc, err := s.prepare()
	if err != nil {
		return // Serve reports it
	}
	svc.SetKeepAlives(on)
	s.mu.Lock()
	for _, h := range s.h2 {
		h.SetKeepAlives(on)
	}
	s.mu.Unlock()
	if !on {
		s.transports.drainIdle()
	}
}

// Retire makes every HTTP/1.1 response from now on the last one of its
// connection, and say so by Connection: close. Unlike Shutdown it closes
// nothing: connections go on being accepted, and idle ones stay open for the
// requests that are on their way. A server that is retired a moment before
// Shutdown, while its successor accepts or load balancers turn away, loses none
// of the requests of busy connections.
func (s *Server) Retire() {
	if svc, err := s.prepare(); err == nil {
		svc.Retire()
	}
}

// Shutdown stops listening, closes idle connections, and returns when the busy
// ones have answered and closed, or with ctx's error when it ends first. Then
// what is left stays open until Close. Hijacked connections are not waited
// for; upgraded ones are, and are told by [proto.Upgraded.Draining].
func (s *Server) Shutdown(ctx context.Context) error {
	svc, err := s.prepare()
	if err != nil {
		return err
	}
	svc.SetDraining()
	s.transports.stopListening()
	s.closeUnserved()
	s.mu.Lock()
	for _, f := range s.onShutdown {
		go f()
	}
	http2 := s.h2
	s.mu.Unlock()
	for _, h := range http2 {
		h.Shutdown() // the transport waits for their connections too
	}
	if err = s.transports.shutdown(ctx); err != nil && s.Logger != nil {
		open, upgraded := svc.Connections()
		s.Logger.Debug("NotAllConnectionsClosedGracefully", slog.Int("event_id", 16),
			slog.Int64("connections", open), slog.Int64("upgraded", upgraded))
	}
	return err
}

// Close stops listening and breaks all connections. It does not wait for
// handlers.
func (s *Server) Close() error {
	if svc, err := s.prepare(); err == nil {
		svc.SetDraining()
	}
	err := s.transports.close()
	s.closeUnserved()
	return err
}

// Stats are the server's counters.
type Stats struct {
	Connections         int64 // open, upgraded ones not counted
	UpgradedConnections int64 // hijacked ones only under Limits.MaxConcurrentUpgradedConnections
	Rejected            int64 // over MaxConcurrentConnections
	BadRequests         int64 // answered with an error by the server itself
	Timeouts            int64 // keep-alive, head, body, drain, slow readers
	Panics              int64 // of handlers
	Handshakes          tlsbridge.Stats
}

// Stats returns the counters as they are now.
func (s *Server) Stats() Stats {
	svc, err := s.prepare()
	if err != nil {
		return Stats{}
	}
	var st Stats
	st.Connections, st.UpgradedConnections = svc.Connections()
	st.Rejected = svc.Counters.Rejected.Load()
	st.BadRequests = svc.Counters.BadRequests.Load()
	st.Timeouts = svc.Counters.Timeouts.Load()
	st.Panics = svc.Counters.Panics.Load()
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, b := range s.bridges {
		x := b.Stats()
		st.Handshakes.Active += x.Active
		st.Handshakes.Succeeded += x.Succeeded
		st.Handshakes.Resumed += x.Resumed
		st.Handshakes.Failed += x.Failed
	}
	return st
}

// ReloadCertificates reads all certificate files anew. Connections are not
// disturbed; what cannot be loaded keeps its old value and is reported.
func (s *Server) ReloadCertificates() error {
	s.mu.Lock()
	bridges := s.bridges
	s.mu.Unlock()
	var errs []error
	for _, b := range bridges {
		errs = append(errs, b.Reload())
	}
	return errors.Join(errs...)
}
