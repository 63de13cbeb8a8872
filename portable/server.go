package portable

import (
	"context"
	"log"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/windhover-server/windhover/listen"
	"github.com/windhover-server/windhover/proto"
)

// Server serves HTTP/1.1 on any net.Listener, on every operating system that
// package net supports. It is the way to embed Windhover: no unsafe, no cgo, no
// configuration, no process-wide state. Fields that http.Server has too keep
// their meaning. They must not be changed once a method has been called; the
// methods may be called from any goroutine. A Server cannot be used again
// after Shutdown or Close.
type Server struct {
	// Handler answers requests; nil means http.DefaultServeMux.
	Handler http.Handler
	// Native, if set, answers requests instead of Handler, which must be nil.
	Native proto.Handler
	// Limits are the caps and timeouts; the zero value means Kestrel's
	// defaults.
	Limits proto.Limits

	// ReadTimeout, ReadHeaderTimeout, WriteTimeout, IdleTimeout and
	// MaxHeaderBytes are http.Server's. The zero values leave it to Limits.
	ReadTimeout, ReadHeaderTimeout, WriteTimeout, IdleTimeout time.Duration
	MaxHeaderBytes                                            int

	// BaseContext, ConnContext and ConnState are http.Server's.
	BaseContext func(net.Listener) context.Context
	ConnContext func(ctx context.Context, c net.Conn) context.Context
	ConnState   func(net.Conn, http.ConnState)
	// ErrorLog gets what http.Server would log; nil means Logger, then the
	// standard logger.
	ErrorLog *log.Logger
	// Logger gets connection events under Kestrel's names; nil means none.
	Logger *slog.Logger
	// ServerHeader is the value of the Server response field: "" means
	// "Windhover", "-" none.
	ServerHeader string

	mu        sync.Mutex
	svc       *proto.Service
	transport Transport
	onStop    []func()
}

// prepare makes the service at the first use.
func (s *Server) prepare() (*proto.Service, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.svc != nil {
		return s.svc, nil
	}
	svc := &proto.Service{
		Handler: s.Handler, Native: s.Native, Limits: s.Limits,
		ReadTimeout: s.ReadTimeout, ReadHeaderTimeout: s.ReadHeaderTimeout,
		WriteTimeout: s.WriteTimeout, IdleTimeout: s.IdleTimeout, MaxHeaderBytes: s.MaxHeaderBytes,
		ConnContext: s.ConnContext, ConnState: s.ConnState,
		ErrorLog: s.ErrorLog, Logger: s.Logger, ServerHeader: s.ServerHeader,
	}
	if err := svc.Prepare(); err != nil {
		return nil, err
	}
	s.svc = svc
	return svc, nil
}

// Serve accepts connections from ln until Shutdown or Close, when it returns
// http.ErrServerClosed, or until ln fails. It closes ln. A listener made by
// tls.NewListener gives HTTPS.
func (s *Server) Serve(ln net.Listener) error {
	svc, err := s.prepare()
	if err != nil {
		_ = ln.Close()
		return err
	}
	ctx := context.Background()
	if s.BaseContext != nil {
		if ctx = s.BaseContext(ln); ctx == nil {
			panic("BaseContext returned a nil context")
		}
	}
	err = s.transport.Serve(ln, svc.Options(), svc.AcceptWith(ctx))
	if err == listen.ErrServerClosed {
		return http.ErrServerClosed
	}
	return err
}

// ListenAndServe listens on the TCP address and calls Serve.
func (s *Server) ListenAndServe(addr string) error {
	ln, err := net.Listen("tcp", addr)
	if err != nil {
		return err
	}
	return s.Serve(ln)
}

// RegisterOnShutdown has f called, on a goroutine of its own, when Shutdown
// begins.
func (s *Server) RegisterOnShutdown(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.onStop = append(s.onStop, f)
}

// SetKeepAlivesEnabled switches persistent connections on (the default) or
// off; then idle connections close.
func (s *Server) SetKeepAlivesEnabled(on bool) {
	svc, err := s.prepare()
	if err != nil {
		return // Serve reports it
	}
	svc.SetKeepAlives(on)
	if !on {
		s.transport.DrainIdle()
	}
}

// Shutdown stops listening, closes idle connections, and returns when the
// busy ones have answered and closed, or with ctx's error when it ends first.
// Hijacked connections are not waited for.
func (s *Server) Shutdown(ctx context.Context) error {
	svc, err := s.prepare()
	if err != nil {
		return err
	}
	svc.SetDraining()
	s.mu.Lock()
	for _, f := range s.onStop {
		go f()
	}
	s.mu.Unlock()
	return s.transport.Shutdown(ctx)
}

// Close stops listening and breaks all connections. It does not wait for
// handlers.
func (s *Server) Close() error {
	if svc, err := s.prepare(); err == nil {
		svc.SetDraining()
	}
	return s.transport.Close()
}
