package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net/http"
	"os"
	"sync/atomic"
	"time"

	"github.com/windhover-server/windhover"
	"github.com/windhover-server/windhover/cmd/windhover/internal/config"
	"github.com/windhover-server/windhover/cmd/windhover/internal/handover"
	"github.com/windhover-server/windhover/listen"
	"github.com/windhover-server/windhover/listen/systemd"
	"github.com/windhover-server/windhover/proto"
	"github.com/windhover-server/windhover/ring"
)

// engine is the lifecycle.Service of the program: the server, and the admin
// endpoint beside it, which outlives the server's drain.
type engine struct {
	server  *windhover.Server
	admin   *windhover.Server // nil when there is none
	origins *origins
	process handover.Process
	// noSuccessor is why there cannot be another process, as in a chroot
	// without /proc. Only an upgrade wants one.
	noSuccessor error
	logger      *slog.Logger
	failed      chan error

	handedOver atomic.Bool
	retired    time.Time // when connections began to end with their responses
}

func newEngine(cfg *config.Config, logger *slog.Logger, app, adminHandler http.Handler, o *origins) (*engine, error) {
	e := &engine{origins: o, logger: logger, failed: make(chan error, 1)}
	transport, err := windhover.ParseTransport(cfg.Transport)
	if err != nil {
		return nil, usageError{err}
	}
	e.server = &windhover.Server{
		Handler: app, Transport: transport, Rings: int(cfg.Rings), Limits: limits(&cfg.Limits), Logger: logger,
	}
	if !cfg.ServerHeader {
		e.server.ServerHeader = "-"
	}
	if e.server.Endpoints, err = endpoints(cfg, o, logger); err != nil {
		return nil, err
	}
	if cfg.Admin.URL != "" {
		if e.admin, err = adminServer(cfg, adminHandler, o, logger); err != nil {
			return nil, err
		}
	}
	if err := o.unclaimed(); err != nil {
		return nil, err
	}
	e.process, e.noSuccessor = thisProcess()
	return e, nil
}

// adminServer is apart from the other: its connections are few, count against
// no limit, and stay while the service drains.
func adminServer(cfg *config.Config, h http.Handler, o *origins, logger *slog.Logger) (*windhover.Server, error) {
	e := windhover.Endpoint{URL: cfg.Admin.URL}
	prefix, err := listen.Parse(e.URL)
	if err != nil {
		return nil, err
	}
	if prefix.TLS() {
		return nil, usageError{fmt.Errorf("admin.url is %q (%s); allowed: an http:// address that only those who run the server can reach", e.URL, cfg.Source("admin.url"))}
	}
	if e.Bind.Inherited, err = o.take("admin", "admin", e.URL); err != nil {
		return nil, err
	}
	return &windhover.Server{Handler: h, Transport: windhover.Portable, Endpoints: []windhover.Endpoint{e}, Logger: logger}, nil
}

// limits translates: proto.Limits has the default at zero and no limit below.
// A response buffer of zero bytes is one of one byte: every write waits until
// the kernel has all of it. Upgraded connections always have a limit, if only
// one that nobody reaches: the server counts hijacked ones only under a limit,
// and the drain wants to know of them.
func limits(c *config.Limits) proto.Limits {
	upgraded := cmp.Or(c.MaxConcurrentUpgradedConnections, proto.None)
	if upgraded == config.Unlimited {
		upgraded = math.MaxInt64
	}
	return proto.Limits{
		MaxConcurrentConnections:         c.MaxConcurrentConnections,
		MaxConcurrentUpgradedConnections: upgraded,
		MaxRequestBodySize:               cmp.Or(c.MaxRequestBodySize, proto.None),
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

// servers are those there are.
func (e *engine) servers() map[string]*windhover.Server {
	if e.admin == nil {
		return map[string]*windhover.Server{"service": e.server}
	}
	return map[string]*windhover.Server{"service": e.server, "admin": e.admin}
}

// Start implements lifecycle.Service.
func (e *engine) Start() error {
	if e.admin != nil {
		if err := e.admin.Listen(context.Background()); err != nil {
			return err
		}
	}
	if err := e.server.Listen(context.Background()); err != nil {
		var unavailable *ring.UnavailableError
		if errors.As(err, &unavailable) {
			err = fmt.Errorf(`transport "ring" was asked for: %w; use --transport auto or portable`, unavailable)
		}
		if e.admin != nil {
			closeAll(e.admin.Listeners())
		}
		return nameSettings(err)
	}
	for _, s := range e.servers() {
		for _, ln := range s.Listeners() {
			for _, warning := range ln.Warnings() {
				e.logger.Warn(warning)
			}
		}
		go e.run(s)
	}
	return nil
}

func closeAll(lns []*listen.Listener) {
	for _, ln := range lns {
		_ = ln.Close() // another error is reported
	}
}

func (e *engine) run(s *windhover.Server) {
	if err := s.ServeListeners(); !errors.Is(err, http.ErrServerClosed) {
		select {
		case e.failed <- err:
		default: // one is enough to end the program
		}
	}
}

// Addresses implements lifecycle.Service.
func (e *engine) Addresses() []string { return e.server.Addresses() }

func (e *engine) adminAddress() string {
	if e.admin == nil {
		return ""
	}
	return e.admin.Addresses()[0]
}

// Failed implements lifecycle.Service.
func (e *engine) Failed() <-chan error { return e.failed }

// How long busy connections have for a response that announces their end,
// before idle ones are closed: who is told does not send a request into a
// connection that is being closed. After a handover nobody waits for the end.
const (
	farewell         = 250 * time.Millisecond
	handoverFarewell = time.Second
)

// retire tells connections that the service is about to stop.
func (e *engine) retire() {
	e.retired = time.Now()
	e.server.Retire()
}

// awaitFarewell waits until the connections that there are have been told,
// which those that stay idle cannot be.
func (e *engine) awaitFarewell(ctx context.Context) {
	limit := farewell
	if e.handedOver.Load() {
		limit = handoverFarewell
	}
	ctx, cancel := context.WithDeadline(ctx, e.retired.Add(limit))
	defer cancel()
	ticker := time.NewTicker(farewellPoll)
	defer ticker.Stop()
	for e.server.Stats().Connections > 0 {
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
	}
}

// farewellPoll is how often connections are counted in the meantime.
const farewellPoll = 5 * time.Millisecond

// Shutdown implements lifecycle.Service. The admin endpoint answers until the
// end, so that the drain can be watched.
func (e *engine) Shutdown(ctx context.Context) error {
	e.awaitFarewell(ctx)
	if err := e.server.Shutdown(ctx); err != nil {
		return err
	}
	if err := e.awaitUpgraded(ctx); err != nil {
		return err
	}
	return e.closeAdmin()
}

// awaitUpgraded waits for what handlers have taken out of the server with
// Hijack, which Shutdown does not: the WebSockets of the proxy. They cannot be
// told, so they have until the limit.
func (e *engine) awaitUpgraded(ctx context.Context) error {
	ticker := time.NewTicker(upgradedPoll)
	defer ticker.Stop()
	for e.server.Stats().UpgradedConnections > 0 {
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// upgradedPoll is how often the connections are counted that nobody announces
// the end of.
const upgradedPoll = 50 * time.Millisecond

// Close implements lifecycle.Service.
func (e *engine) Close() error { return errors.Join(e.server.Close(), e.closeAdmin()) }

func (e *engine) closeAdmin() error {
	if e.admin == nil {
		return nil
	}
	return e.admin.Close()
}

// announce says that the service is up: to operators by the pid file, to the
// service manager, and last to the predecessor, which stops then.
func (e *engine) announce(pidFile string) {
	logError(e.logger, "pid file not written", writePID(pidFile))
	e.notify(systemd.MainPID(os.Getpid()), systemd.Ready)
	logError(e.logger, "predecessor not told", e.origins.inherited.Ready())
}

func (e *engine) announceStopping() {
	if !e.handedOver.Load() {
		e.notify(systemd.Stopping)
	}
}

func (e *engine) notify(states ...string) {
	_, err := systemd.Notify(states...)
	logError(e.logger, "service manager not told", err)
}

// upgrade is Runner.Upgrade. Afterwards the service goes on in the successor:
// for the service manager it does not stop.
func (e *engine) upgrade(ctx context.Context) error {
	if e.noSuccessor != nil {
		return e.noSuccessor
	}
	err := handOver(ctx, e.process, e.logger, e.servers())
	e.handedOver.Store(err == nil)
	return err
}
