package main

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"net/http"

	"github.com/windhover-server/windhover"
	"github.com/windhover-server/windhover/cmd/windhover/internal/config"
	"github.com/windhover-server/windhover/cmd/windhover/internal/handover"
	"github.com/windhover-server/windhover/proto"
)

// engine is the lifecycle.Service of the program: the server, and the admin
// endpoint beside it, which outlives the server's drain.
type engine struct {
	sockets
	server  *windhover.Server
	admin   *windhover.Server
	failed  chan error
	process handover.Process
}

func newEngine(cfg *config.Config, logger *slog.Logger, app, adminHandler http.Handler, inherited *handover.Inherited) (*engine, error) {
	e := &engine{sockets: sockets{cfg: cfg, logger: logger, inherited: inherited}, failed: make(chan error, 1)}
	transport, err := windhover.ParseTransport(cfg.Transport)
	if err != nil {
		return nil, err
	}
	e.server = &windhover.Server{
		Handler: app, Transport: transport, Rings: int(cfg.Rings), Limits: limits(&cfg.Limits), Logger: logger,
	}
	if !cfg.ServerHeader {
		e.server.ServerHeader = "-"
	}
	e.admin = &windhover.Server{Handler: adminHandler, Transport: windhover.Portable}
	e.process, err = thisProcess()
	return e, err
}

// limits translates: proto.Limits has the default at zero and no limit below.
// A response buffer of zero bytes is one of one byte: every write waits until
// the kernel has all of it. The other zeros are enforced by zeroLimits.
func limits(c *config.Limits) proto.Limits {
	return proto.Limits{
		MaxConcurrentConnections:         c.MaxConcurrentConnections,
		MaxConcurrentUpgradedConnections: c.MaxConcurrentUpgradedConnections,
		MaxRequestBodySize:               c.MaxRequestBodySize,
		MaxRequestBufferSize:             int(c.MaxRequestBufferSize),
		MaxResponseBufferSize:            int(cmp.Or(c.MaxResponseBufferSize, 1)),
		MaxRequestLineSize:               int(c.MaxRequestLineSize),
		MaxRequestHeadersTotalSize:       int(c.MaxRequestHeadersTotalSize),
		MaxRequestHeaderCount:            int(c.MaxRequestHeaderCount),
		KeepAliveTimeout:                 c.KeepAliveTimeout,
		RequestHeadersTimeout:            c.RequestHeadersTimeout,
		MinRequestBodyDataRate:           proto.DataRate{BytesPerSecond: c.MinRequestBodyDataRate, GracePeriod: c.MinRequestBodyDataRateGrace},
		MinResponseDataRate:              proto.DataRate{BytesPerSecond: c.MinResponseDataRate, GracePeriod: c.MinResponseDataRateGrace},
		DrainTimeout:                     c.DrainTimeout,
	}
}

// Start implements lifecycle.Service.
func (e *engine) Start() error {
	if err := e.bind(context.Background()); err != nil {
		return err
	}
	for _, sock := range e.all {
		go e.accept(sock)
	}
	return nil
}

func (e *engine) accept(sock socket) {
	server := e.server
	if sock.admin {
		server = e.admin
	}
	if err := server.Serve(sock.Unwrap()); !errors.Is(err, http.ErrServerClosed) {
		select {
		case e.failed <- err:
		default: // one is enough to end the program
		}
	}
}

// Addresses implements lifecycle.Service.
func (e *engine) Addresses() []string { return e.addresses(false) }

func (e *engine) adminAddress() string {
	if all := e.addresses(true); len(all) > 0 {
		return all[0]
	}
	return ""
}

// Failed implements lifecycle.Service.
func (e *engine) Failed() <-chan error { return e.failed }

// Shutdown implements lifecycle.Service. The admin endpoint answers until the
// end, so that the drain can be watched.
func (e *engine) Shutdown(ctx context.Context) error {
	if err := e.server.Shutdown(ctx); err != nil {
		return err
	}
	return e.admin.Close()
}

// Close implements lifecycle.Service.
func (e *engine) Close() error { return errors.Join(e.server.Close(), e.admin.Close()) }

func (e *engine) announce(pidFile string) {
	logError(e.logger, "pid file not written", writePID(pidFile))
	logError(e.logger, "predecessor not told", e.inherited.Ready())
}

func (e *engine) announceStopping() {}

func (e *engine) upgrade(ctx context.Context) error { return e.handOver(ctx, e.process) }
