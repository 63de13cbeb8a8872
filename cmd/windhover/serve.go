package main

import (
	"errors"
	"fmt"
	"log/slog"
	"net/http"

	"github.com/spf13/cobra"

	"github.com/windhover-server/windhover/cmd/windhover/internal/admin"
	"github.com/windhover-server/windhover/cmd/windhover/internal/config"
	"github.com/windhover-server/windhover/cmd/windhover/internal/lifecycle"
	"github.com/windhover-server/windhover/cmd/windhover/internal/observe"
	"github.com/windhover-server/windhover/listen/systemd"
)

// serve runs a server with the content of a command until a signal ends it.
func (p *program) serve(cmd *cobra.Command, args []string, make contentFunc) error {
	// Before anything else: what a predecessor has handed over must not leak
	// into what is started from here.
	o, err := findOrigins()
	if err != nil {
		return err
	}
	defer o.close()
	cfg, err := config.Load(cmd.Flags(), p.lookup)
	if err != nil {
		return usageError{err}
	}
	l, err := p.openLogs(cfg)
	if err != nil {
		return err
	}
	defer l.close()
	app, err := make(args, cfg, l.Logger)
	if err != nil {
		return err
	}
	defer app.close()
	return p.runServer(cfg, l, app, o)
}

func (p *program) runServer(cfg *config.Config, l *logs, app http.Handler, o *origins) error {
	metrics, observers := observe.NewMetrics(), l.observers(cfg.Log.AccessFormat)
	if cfg.Admin.URL != "" {
		observers = append(observers, metrics)
	}
	handler, err := chain(cfg, app, l.Logger, observers...)
	if err != nil {
		return err
	}
	var state admin.State
	e, err := newEngine(cfg, l.Logger, handler, admin.Handler(&state, metrics.Registry(), cfg.Admin.Pprof), o)
	if err != nil {
		return err
	}
	metrics.WatchServer(e.server.Stats)
	if l.buffer != nil {
		metrics.WatchLog(l.buffer.Dropped, l.buffer.Failed)
	}
	if err := checkPID(cfg.PIDFile); err != nil {
		return fmt.Errorf("%s: %w; name a file that this user may write", cfg.Name("pid-file"), err)
	}
	received, stop := events()
	defer stop()
	defer removePID(cfg.PIDFile)
	r := &lifecycle.Runner{
		Service: e, Events: received, Stdout: p.stdout, Logger: l.Logger,
		Delay: cfg.Shutdown.Delay, Timeout: cfg.Shutdown.Timeout,
		AdminAddress: e.adminAddress,
		Ready: func() {
			state.Ready()
			e.announce(cfg.PIDFile)
		},
		Draining: func() { state.Draining(); e.retire(); e.announceStopping() },
		Reload: func() error {
			e.notify(systemd.Reloading())
			defer e.notify(systemd.Ready)
			return errors.Join(l.reopen(), nameSettings(e.server.ReloadCertificates()))
		},
		Upgrade: e.upgrade,
	}
	return r.Run()
}

// logError is for what goes wrong beside the service and must not end it.
func logError(logger *slog.Logger, what string, err error) {
	if err != nil {
		logger.Error(what, slog.String("error", fmt.Sprint(err)))
	}
}
