// Package lifecycle runs a server from its start to its end, as signals ask:
//
//	Start ──▶ "Now listening on" ──▶ ready ──▶ signal
//	                                  │ reload, upgrade: stay
//	                                  └ stop: draining ──delay──▶ Shutdown ──limit──▶ Close
//	                                                              second stop ─────▶ Close
package lifecycle

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"time"
)

// Service is a server that can be run.
type Service interface {
	// Start binds every address and begins to accept. On an error nothing is
	// bound.
	Start() error
	// Addresses are those to report, after Start.
	Addresses() []string
	// Failed delivers an error that ended the service by itself.
	Failed() <-chan error
	// Shutdown stops accepting and waits for what is under way, or for ctx.
	Shutdown(ctx context.Context) error
	// Close breaks what is left.
	Close() error
}

// Event is what a signal asks for.
type Event int

// The events.
const (
	Stop    Event = iota // drain and end; the second time: end now
	Reload               // read certificates anew, reopen logs
	Upgrade              // hand over to a new process, then drain and end
)

// ErrAborted says that a second stop has ended the service before it was
// drained.
var ErrAborted = errors.New("stopped at once by a second signal; connections were aborted")

// Runner runs one Service once.
type Runner struct {
	Service Service
	Events  <-chan Event
	Stdout  io.Writer
	Logger  *slog.Logger

	// Delay is how long the service goes on accepting after a stop, for load
	// balancers to notice that it is not ready any more. Timeout is how long
	// requests may take after that; negative means for ever.
	Delay, Timeout time.Duration

	// AdminAddress is reported beside the addresses, "" for none. It may be nil.
	AdminAddress func() string

	// Ready, Draining, Reload and Stopped are told of the service's course;
	// each may be nil. Reload's error is logged.
	Ready    func()
	Draining func()
	Reload   func() error
	Stopped  func()
	// Upgrade starts a successor and returns when it serves; when ctx ends it
	// ends the successor instead. Nil means that it is not possible.
	Upgrade func(ctx context.Context) error
}

// Run returns nil when the service has ended as it was asked to. It prints
// what Kestrel prints, in its order.
func (r *Runner) Run() error {
	if err := r.Service.Start(); err != nil {
		return err
	}
	for _, address := range r.Service.Addresses() {
		r.print("Now listening on: %s\n", address)
	}
	if r.AdminAddress != nil && r.AdminAddress() != "" {
		r.print("Admin endpoint: %s\n", r.AdminAddress())
	}
	r.print("Application started. Press Ctrl+C to shut down.\n")
	call(r.Ready)
	upgraded, err := r.serve()
	if err != nil {
		return errors.Join(err, r.Service.Close())
	}
	r.print("Application is shutting down...\n")
	call(r.Draining)
	err = r.stop(upgraded)
	call(r.Stopped)
	return err
}

// print writes to standard output; that nobody reads it is no reason to stop.
func (r *Runner) print(format string, args ...any) { _, _ = fmt.Fprintf(r.Stdout, format, args...) }

func call(f func()) {
	if f != nil {
		f()
	}
}

// serve returns when the service is to stop, or with the error that ended it.
func (r *Runner) serve() (upgraded bool, err error) {
	handedOver := make(chan error, 1)
	upgrading := false
	ctx, cancel := context.WithCancel(context.Background())
	defer func() {
		cancel()
		if upgrading {
			<-handedOver
		}
	}()
	for {
		select {
		case err := <-r.Service.Failed():
			return false, err
		case err := <-handedOver:
			upgrading = false
			if err == nil {
				return true, nil
			}
			r.Logger.Error("upgrade failed; this process goes on", slog.String("error", err.Error()))
		case event := <-r.Events:
			switch event {
			case Stop:
				return false, nil
			case Reload:
				r.reload()
			case Upgrade:
				if r.Upgrade == nil || upgrading {
					r.Logger.Warn("upgrade not possible", slog.Bool("under_way", upgrading))
					continue
				}
				upgrading = true
				go func() { handedOver <- r.Upgrade(ctx) }() // stops and reloads are heard meanwhile
			}
		}
	}
}

func (r *Runner) reload() {
	if r.Reload == nil {
		return
	}
	if err := r.Reload(); err != nil {
		r.Logger.Error("reload failed; what could not be read stays as it was", slog.String("error", err.Error()))
		return
	}
	r.Logger.Info("reloaded")
}

// stop drains. After an upgrade there is no delay: the successor accepts.
func (r *Runner) stop(upgraded bool) error {
	ctx, cancel := context.WithCancelCause(context.Background())
	defer cancel(nil)
	done := make(chan struct{})
	defer close(done)
	go func() {
		for {
			select {
			case event := <-r.Events:
				if event == Stop {
					cancel(ErrAborted)
					return
				}
			case <-done:
				return
			}
		}
	}()
	if r.Delay > 0 && !upgraded {
		wait(ctx, r.Delay)
	}
	limited := ctx
	if r.Timeout >= 0 {
		var release context.CancelFunc
		limited, release = context.WithTimeout(ctx, r.Timeout)
		defer release()
	}
	err := r.Service.Shutdown(limited)
	switch {
	case err == nil:
		return nil
	case errors.Is(context.Cause(ctx), ErrAborted):
		return errors.Join(ErrAborted, r.Service.Close())
	case limited.Err() != nil:
		r.Logger.Warn("drain limit reached; aborting what is left", slog.Int("event_id", 16), slog.Duration("limit", r.Timeout))
		return r.Service.Close()
	}
	return errors.Join(fmt.Errorf("shutting down: %w", err), r.Service.Close())
}

func wait(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}
