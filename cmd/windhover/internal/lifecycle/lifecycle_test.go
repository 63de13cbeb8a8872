package lifecycle_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/windhover-server/windhover/cmd/windhover/internal/lifecycle"
)

// fake is a Service whose requests need some time to end.
type fake struct {
	startErr error
	needs    time.Duration
	failed   chan error
	closed   bool
	shutdown time.Time
}

func (f *fake) Start() error         { return f.startErr }
func (f *fake) Addresses() []string  { return []string{"http://a", "http://b"} }
func (f *fake) Failed() <-chan error { return f.failed }
func (f *fake) Close() error         { f.closed = true; return nil }

func (f *fake) Shutdown(ctx context.Context) error {
	f.shutdown = time.Now()
	select {
	case <-time.After(f.needs):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

type run struct {
	runner *lifecycle.Runner
	events chan lifecycle.Event
	stdout text
	log    text
	course text
	result chan error
}

// text is written by the Runner and read by the test.
type text struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (x *text) Write(p []byte) (int, error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.b.Write(p)
}

func (x *text) String() string {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.b.String()
}

func newRun(f *fake) *run {
	r := &run{events: make(chan lifecycle.Event), result: make(chan error, 1)}
	f.failed = make(chan error)
	note := func(s string) func() { return func() { fmt.Fprint(&r.course, s+" ") } }
	r.runner = &lifecycle.Runner{
		Service: f, Events: r.events, Stdout: &r.stdout, Logger: slog.New(slog.NewTextHandler(&r.log, nil)),
		Timeout: 30 * time.Second, Ready: note("ready"), Draining: note("draining"), Stopped: note("stopped"),
	}
	return r
}

func (r *run) start() { go func() { r.result <- r.runner.Run() }() }

const started = "Now listening on: http://a\nNow listening on: http://b\nApplication started. Press Ctrl+C to shut down.\n"

func TestDrainsAndPrintsInKestrelsOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fake{needs: 20 * time.Second}
		r := newRun(f)
		r.start()
		synctest.Wait()
		if r.stdout.String() != started {
			t.Errorf("%q", r.stdout.String())
		}
		begin := time.Now()
		r.events <- lifecycle.Stop
		if err := <-r.result; err != nil || f.closed || time.Since(begin) != f.needs {
			t.Errorf("%v, closed %v, after %v", err, f.closed, time.Since(begin))
		}
		if got := r.stdout.String(); got != started+"Application is shutting down...\n" {
			t.Errorf("%q", got)
		}
		if got := r.course.String(); got != "ready draining stopped " {
			t.Error(got)
		}
	})
}

func TestDrainLimitAborts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fake{needs: time.Hour}
		r := newRun(f)
		r.start()
		begin := time.Now()
		r.events <- lifecycle.Stop
		if err := <-r.result; err != nil || !f.closed || time.Since(begin) != 30*time.Second {
			t.Errorf("%v, closed %v, after %v", err, f.closed, time.Since(begin))
		}
		if !strings.Contains(r.log.String(), "drain limit") {
			t.Error(r.log.String())
		}
	})
}

func TestSecondStopAborts(t *testing.T) {
	for _, delay := range []time.Duration{0, time.Minute} {
		synctest.Test(t, func(t *testing.T) {
			f := &fake{needs: time.Hour}
			r := newRun(f)
			r.runner.Delay, r.runner.Timeout = delay, -1
			r.start()
			begin := time.Now()
			r.events <- lifecycle.Stop
			time.Sleep(time.Second)
			r.events <- lifecycle.Reload
			r.events <- lifecycle.Stop
			if err := <-r.result; !errors.Is(err, lifecycle.ErrAborted) || !f.closed || time.Since(begin) != time.Second {
				t.Errorf("%v, closed %v, after %v", err, f.closed, time.Since(begin))
			}
		})
	}
}

func TestDelayBetweenNotReadyAndShutdown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fake{}
		r := newRun(f)
		r.runner.Delay = 10 * time.Second
		r.start()
		begin := time.Now()
		r.events <- lifecycle.Stop
		synctest.Wait()
		if got := r.course.String(); got != "ready draining " {
			t.Error(got)
		}
		if err := <-r.result; err != nil || f.shutdown.Sub(begin) != r.runner.Delay {
			t.Errorf("%v, Shutdown after %v", err, f.shutdown.Sub(begin))
		}
	})
}

func TestUpgradeDrainsOnceTheSuccessorServes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fake{}
		r := newRun(f)
		r.runner.Delay = time.Hour
		successor := make(chan error)
		r.runner.Upgrade = func(context.Context) error { return <-successor }
		r.start()
		r.events <- lifecycle.Upgrade
		r.events <- lifecycle.Upgrade // one at a time
		successor <- errors.New("it would not start")
		synctest.Wait()
		if log := r.log.String(); !strings.Contains(log, "it would not start") || !strings.Contains(log, "not possible") || r.course.String() != "ready " {
			t.Errorf("%s %q", log, r.course.String())
		}
		begin := time.Now()
		r.events <- lifecycle.Upgrade
		successor <- nil
		if err := <-r.result; err != nil || time.Since(begin) != 0 {
			t.Errorf("%v after %v", err, time.Since(begin))
		}
	})
}

func TestStopDuringAnUpgradeEndsTheSuccessor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRun(&fake{})
		ended := false
		r.runner.Upgrade = func(ctx context.Context) error {
			<-ctx.Done()
			ended = true
			return ctx.Err()
		}
		r.start()
		r.events <- lifecycle.Upgrade
		r.events <- lifecycle.Stop
		if err := <-r.result; err != nil || !ended {
			t.Errorf("%v, ended %v", err, ended)
		}
	})
}

func TestReloadKeepsServing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRun(&fake{})
		reloads := 0
		r.runner.Reload = func() error {
			if reloads++; reloads == 2 {
				return errors.New("bad certificate")
			}
			return nil
		}
		r.start()
		r.events <- lifecycle.Reload
		r.events <- lifecycle.Reload
		r.events <- lifecycle.Stop
		if err := <-r.result; err != nil || reloads != 2 || !strings.Contains(r.log.String(), "bad certificate") {
			t.Errorf("%v %d %s", err, reloads, r.log.String())
		}
	})
}

func TestFailures(t *testing.T) {
	cause := errors.New("cause")
	synctest.Test(t, func(t *testing.T) {
		r := newRun(&fake{startErr: cause})
		r.start()
		if err := <-r.result; !errors.Is(err, cause) || r.stdout.String()+r.course.String() != "" {
			t.Errorf("%v %q %q", err, r.stdout.String(), r.course.String())
		}
		f := &fake{}
		r = newRun(f)
		r.start()
		synctest.Wait()
		f.failed <- cause
		if err := <-r.result; !errors.Is(err, cause) || !f.closed {
			t.Errorf("%v, closed %v", err, f.closed)
		}
	})
}
