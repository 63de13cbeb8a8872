package runner

import (
	"context"
	"fmt"
	"math"
	"runtime"
	"slices"
	"time"

	"github.com/windhover-server/windhover/bench/internal/content"
	"github.com/windhover-server/windhover/bench/internal/load"
	"github.com/windhover-server/windhover/bench/internal/proc"
	"github.com/windhover-server/windhover/bench/internal/report"
	"github.com/windhover-server/windhover/bench/internal/scenario"
	"github.com/windhover-server/windhover/bench/internal/servers"
)

// spec is the load of a scenario.
func (r *Runner) spec(sc scenario.Scenario, addr string) load.Spec {
	s := load.Spec{
		Addr: addr, Conns: sc.Conns, Depth: sc.Depth, Threads: r.threads,
		Request: sc.Request.Bytes(), Status: sc.Request.Status, Length: sc.Request.Length,
		Warmup: r.cfg.Warmup, Duration: r.window,
		Least: sc.Conns, // or requests under way at the edges would weigh too much
	}
	if sc.MiB > 0 || sc.Kind == scenario.Paced {
		s.Least = 1
	}
	if sc.Request.Upgrade {
		s.Upgrade, s.Request = []byte(sc.Request.Head+"\r\n"), sc.Request.Body
	}
	if sc.Churn {
		s.Mode = load.Churn
	}
	if sc.TLS {
		s.TLS = scenario.ClientTLS()
	}
	if sc.Kind == scenario.Paced {
		s.Mode, s.Rate = load.Open, r.cfg.Rate
	}
	return s
}

// gauge reads what server and generator use between the edges of a window.
type gauge struct {
	process   *proc.Process
	used      proc.Usage
	generator time.Duration
	machine   time.Duration // all processors, everything that runs
	err       error
}

func (g *gauge) edge(open bool) {
	gen, all := proc.SelfUsage(), proc.MachineUsage()
	u, err := g.process.Usage()
	if err != nil {
		g.err = err
		return
	}
	if open {
		g.used, g.generator, g.machine = u, gen, all
		return
	}
	g.used, g.generator, g.machine = u.Sub(g.used), gen-g.generator, all-g.machine
}

// measure makes one round of one server.
func (r *Runner) measure(ctx context.Context, sc scenario.Scenario, e *entry) error {
	if sc.Kind == scenario.Idle {
		return r.idle(ctx, sc, e)
	}
	g := &gauge{process: e.process}
	spec := r.spec(sc, e.process.Addr)
	spec.Edge = g.edge
	stop := r.beside(ctx, sc, e.process.Addr)
	res, err := load.Run(ctx, spec)
	if besideErr := stop(); err == nil {
		err = besideErr
	}
	if dead := e.process.Failed(); dead != nil {
		return dead
	}
	if err != nil {
		return err
	}
	if res.Errors > 0 {
		return fmt.Errorf("%d errors, the first: %w", res.Errors, res.First)
	}
	if g.err != nil && r.noUsage == nil {
		return g.err
	}
	r.others += g.machine - g.used.Total - g.generator
	r.measured += res.Elapsed
	s := r.sample(sc, res, g)
	if r.noUsage == nil {
		if s.RSS, err = e.process.RSS(); err != nil {
			return err
		}
	}
	e.cell.Samples = append(e.cell.Samples, s)
	e.latency.Merge(res.Latency)
	return nil
}

// sample turns what was seen and used into figures.
func (r *Runner) sample(sc scenario.Scenario, res *load.Result, g *gauge) report.Sample {
	n, seconds := float64(res.Requests), res.Elapsed.Seconds()
	if sc.MiB > 0 {
		moved := res.Out
		if sc.Receives {
			moved = res.In
		}
		n = float64(moved) / (sc.MiB * (1 << 20))
	}
	us := func(p float64) float64 { return float64(res.Latency.ValueAtPercentile(p)) / 1e3 }
	s := report.Sample{
		Requests: n, Seconds: seconds, Rate: n / seconds,
		P50: us(50), P90: us(90), P99: us(99), P999: us(99.9), Max: float64(res.Latency.Max()) / 1e3,
		Cores:     g.used.Total.Seconds() / seconds,
		Generator: g.generator.Seconds() / seconds,
	}
	if n > 0 {
		s.CPU = micros(g.used.Total) / n
		if ticks := g.used.User + g.used.System; ticks > 0 {
			s.User = s.CPU * float64(g.used.User) / float64(ticks)
			s.System = s.CPU - s.User
		}
	}
	// Nothing of what the server could have is left: its own processors or,
	// with the generator, all of the machine's.
	busy := s.Cores
	if !r.cfg.Pin {
		busy += s.Generator
	}
	s.Saturating = sc.Kind == scenario.Saturate && busy >= 0.93*float64(r.serverCPUs)
	return s
}

func micros(d time.Duration) float64 { return float64(d) / float64(time.Microsecond) }

// burnMillis is how long a burning handler computes.
const burnMillis = 5

// beside starts the scenario's other load. The function it returns stops it
// and returns what went wrong with it.
func (r *Runner) beside(ctx context.Context, sc scenario.Scenario, addr string) func() error {
	if sc.Beside == scenario.Alone {
		return func() error { return nil }
	}
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan error, 1)
	go func() {
		if sc.Beside == scenario.Burners {
			done <- r.burn(ctx, addr)
		} else {
			done <- slow(ctx, addr)
		}
	}()
	return func() error {
		cancel()
		return <-done
	}
}

// burn asks for a quarter of the server's processors' time in portions of 5 ms.
func (r *Runner) burn(ctx context.Context, addr string) error {
	req := scenario.BurnRequest(r.report.Settings.Burn)
	res, err := load.Run(ctx, load.Spec{
		Addr: addr, Mode: load.Open, Conns: 4 * r.serverCPUs,
		Rate:    0.25 * float64(r.serverCPUs) * 1000 / burnMillis,
		Request: req.Bytes(), Status: req.Status, Length: req.Length,
		Duration: r.cfg.Warmup + r.window + 3*load.DrainTimeout, // or until it is stopped
	})
	switch {
	case ctx.Err() != nil:
		return nil
	case err != nil:
		return fmt.Errorf("burning handlers: %w", err)
	case res.Errors > 0:
		return fmt.Errorf("burning handlers: %d errors, the first: %w", res.Errors, res.First)
	}
	return nil
}

func slow(ctx context.Context, addr string) error {
	_, err := load.Slow{
		Addr: addr, Conns: 256, Piece: 8, Pause: 20 * time.Millisecond, Request: scenario.SlowRequest().Bytes(),
	}.Run(ctx)
	if err != nil {
		return fmt.Errorf("slow clients: %w", err)
	}
	return nil
}

// idle makes one round of the idle scenario with a fresh process: memory that
// an earlier round has left would count as free.
func (r *Runner) idle(ctx context.Context, sc scenario.Scenario, e *entry) error {
	r.start(ctx, sc, e)
	defer e.stop()
	if e.cell.Failed != "" {
		return nil
	}
	before, err := r.warmRSS(ctx, sc, e.process)
	if err != nil {
		return err
	}
	q := sc.Request
	set, err := load.OpenIdle(ctx, e.process.Addr, sc.Conns, q.Bytes(), q.Status, q.Length)
	if err != nil {
		return err
	}
	defer set.Close()
	if err := settle(ctx, r.cfg.IdleSettle); err != nil {
		return err
	}
	after, err := e.process.RSS()
	if err != nil {
		return err
	}
	if err := set.Check(max(1, set.Len()/100)); err != nil {
		return err
	}
	e.cell.Samples = append(e.cell.Samples, report.Sample{
		RSS: after, PerConn: float64(after-before) / float64(set.Len()), IdleConns: set.Len(),
	})
	return nil
}

// warmRSS is the memory of the server after a little work and without
// connections.
func (r *Runner) warmRSS(ctx context.Context, sc scenario.Scenario, p *proc.Process) (int64, error) {
	spec := r.spec(sc, p.Addr)
	spec.Conns, spec.Warmup, spec.Duration = 16, 0, 50*time.Millisecond
	res, err := load.Run(ctx, spec)
	if err != nil {
		return 0, err
	}
	if res.Errors > 0 {
		return 0, res.First
	}
	if err := settle(ctx, 100*time.Millisecond); err != nil {
		return 0, err
	}
	return p.RSS()
}

func settle(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// calibrate finds the rate of the paced scenarios and how much computing is
// 5 ms, if any scenario asks.
func (r *Runner) calibrate(ctx context.Context) error {
	paced := slices.ContainsFunc(r.cfg.Scenarios, func(sc scenario.Scenario) bool { return sc.Kind == scenario.Paced })
	if !paced {
		return nil
	}
	r.report.Settings.Burn = burnRounds()
	if r.cfg.Rate == 0 {
		full, err := r.saturation(ctx)
		if err != nil {
			return fmt.Errorf("finding the rate of the paced scenarios with net/http: %w", err)
		}
		r.cfg.Rate = math.Max(100, math.Round(full/2/500)*500)
	}
	r.report.Settings.Rate = r.cfg.Rate
	return nil
}

// burnRounds is how many rounds of computing take 5 ms here, at best.
func burnRounds() int64 {
	const probe = 500
	best := time.Duration(math.MaxInt64)
	for range 5 {
		start := time.Now()
		runtime.KeepAlive(content.Burn(probe))
		best = min(best, time.Since(start))
	}
	return max(1, int64(probe*burnMillis*time.Millisecond/best))
}

// saturation is what net/http can do: the median of three short closed loops.
func (r *Runner) saturation(ctx context.Context) (float64, error) {
	s, err := servers.Find("nethttp", "")
	if err != nil {
		return 0, err
	}
	p, err := r.process(ctx, s, false)
	if err != nil {
		return 0, err
	}
	defer p.Stop()
	plain := scenario.Plaintext(64, 1)
	var rates []float64
	for range 3 {
		spec := r.spec(plain, p.Addr)
		spec.Warmup, spec.Duration = 50*time.Millisecond, 200*time.Millisecond
		res, err := load.Run(ctx, spec)
		if err != nil {
			return 0, err
		}
		if res.Errors > 0 {
			return 0, res.First
		}
		rates = append(rates, float64(res.Requests)/res.Elapsed.Seconds())
	}
	slices.Sort(rates)
	return rates[1], nil
}
