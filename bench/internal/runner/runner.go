// Package runner measures servers in scenarios: it starts each server in a
// process of its own, puts load on it, and reads what it used.
//
//	for each scenario
//	    start the servers
//	    for each round                 interleaved, so that a slow minute of
//	        for each server            the machine strikes all of them
//	            warm up, then measure one window
//	    stop the servers
package runner

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"github.com/windhover-server/windhover/bench/internal/content"
	"github.com/windhover-server/windhover/bench/internal/load"
	"github.com/windhover-server/windhover/bench/internal/proc"
	"github.com/windhover-server/windhover/bench/internal/report"
	"github.com/windhover-server/windhover/bench/internal/scenario"
	"github.com/windhover-server/windhover/bench/internal/servers"
)

// Config says what to measure and how. All fields must be set unless they say
// otherwise.
type Config struct {
	Servers   []*servers.Server
	Scenarios []scenario.Scenario
	Rounds    int
	Warmup    time.Duration
	Duration  time.Duration // of one measurement; at most, with a budget
	Budget    time.Duration // the run's length; 0: as long as it takes
	Pin       bool          // server and generator on one processor each

	IdleConns  int           // connections of the idle scenario
	IdleRounds int           // how often it is repeated
	IdleSettle time.Duration // from the last connection to the reading

	Rate float64 // of paced scenarios; 0: half of what net/http can do

	Program []string // this program: "Program serve -server NAME …" starts one

	// Step is called before each measurement, with what is measured and how
	// many are done of how many. It may be nil.
	Step func(scenario, server string, done, total int)
}

// Runner is a run under way.
type Runner struct {
	cfg    Config
	assets string
	report *report.Report
	done   int
	total  int
	began  time.Time
	rounds int           // of this scenario
	window time.Duration // of each of its measurements

	serverCPU    int // -1: not pinned
	generatorCPU int
	serverCPUs   int // processors that a server may use
	threads      int // of the generator
	noUsage      error

	others   time.Duration // what other programs used within all windows
	measured time.Duration // the length of all windows
}

// Run measures and fills in rep's settings, servers, scenarios, cells and notes.
func Run(ctx context.Context, cfg Config, rep *report.Report) error {
	r := &Runner{cfg: cfg, report: rep, noUsage: proc.Supported(), began: time.Now()}
	if err := r.prepare(); err != nil {
		return err
	}
	defer os.RemoveAll(r.assets)
	if err := r.calibrate(ctx); err != nil {
		return err
	}
	r.describe()
	for _, sc := range r.cfg.Scenarios {
		r.total += len(r.taking(sc)) * r.cfg.planned(sc)
	}
	for i, sc := range r.cfg.Scenarios {
		r.rounds, r.window = r.fit(r.cfg.Scenarios[i:])
		if sc.Kind == scenario.Idle {
			r.rounds = r.cfg.IdleRounds
		}
		r.total -= len(r.taking(sc)) * (r.cfg.planned(sc) - r.rounds)
		rep.Scenarios[i].Rounds, rep.Scenarios[i].Window = r.rounds, r.window.Seconds()
		if err := r.scenario(ctx, sc); err != nil {
			return err
		}
	}
	if r.measured > 0 {
		rep.Settings.Others = max(0, r.others.Seconds()/r.measured.Seconds())
	}
	if busy := rep.Settings.Others; busy > quietEnough {
		r.note("Other programs used %.2f processors while this run measured: expect noise, and throughput lower than this machine's.", busy)
	}
	return nil
}

// quietEnough is how many processors other programs may use without a note.
const quietEnough = 0.1

// prepare pins this process, makes the assets, and lowers what the machine
// cannot do.
func (r *Runner) prepare() error {
	r.serverCPU, r.generatorCPU = -1, -1
	r.serverCPUs = runtime.NumCPU()
	r.threads = max(1, runtime.NumCPU()/2)
	if r.cfg.Pin {
		cpus := proc.CPUs()
		if len(cpus) < 2 {
			return errors.New("-pin needs two processors: one for the server, one for the load generator")
		}
		r.serverCPU, r.generatorCPU = cpus[0], cpus[1]
		r.serverCPUs, r.threads = 1, 1
		if err := proc.PinSelf(r.generatorCPU); err != nil {
			return err
		}
	}
	if r.noUsage != nil {
		r.note("%v", r.noUsage)
	}
	// A few files are open beside the connections, at both ends.
	if room := proc.FileLimit() - 500; r.cfg.IdleConns > room {
		r.note("The idle scenario has %d connections instead of %d: no more than %d files may be open (ulimit -n).",
			room, r.cfg.IdleConns, proc.FileLimit())
		r.cfg.IdleConns = room
	}
	for i := range r.cfg.Scenarios {
		if r.cfg.Scenarios[i].Kind == scenario.Idle {
			r.cfg.Scenarios[i].Conns = r.cfg.IdleConns
		}
	}
	var err error
	if r.assets, err = os.MkdirTemp("", "windhover-bench-"); err != nil {
		return err
	}
	return content.WriteAssets(r.assets)
}

func (r *Runner) note(format string, args ...any) {
	r.report.Notes = append(r.report.Notes, fmt.Sprintf(format, args...))
}

// planned is how often a scenario is repeated if there is time.
func (c Config) planned(sc scenario.Scenario) int {
	if sc.Kind == scenario.Idle {
		return c.IdleRounds
	}
	return c.Rounds
}

// describe writes down what will be measured.
func (r *Runner) describe() {
	rep := r.report
	rep.Settings.Rounds, rep.Settings.Pinned = r.cfg.Rounds, r.cfg.Pin
	rep.Settings.Warmup = r.cfg.Warmup.Seconds()
	_, window := r.fit(r.cfg.Scenarios)
	rep.Settings.Duration = window.Seconds()
	for _, s := range r.cfg.Servers {
		d := report.Server{Name: s.Name, Title: s.Title, Kind: string(s.Kind), Handler: s.Handler, Version: s.Version(),
			Command: "bench " + strings.Join(r.arguments(s, false)[:3], " ")}
		if err := s.Available(); err != nil {
			d.Absent = err.Error()
		}
		rep.Servers = append(rep.Servers, d)
	}
	for _, sc := range r.cfg.Scenarios {
		rep.Scenarios = append(rep.Scenarios, report.Scenario{
			Name: sc.Name, Title: sc.Title, About: sc.About, Kind: string(sc.Kind), Conns: sc.Conns})
	}
}

// What a measurement costs beside its warm-up and window, what starting and
// checking the servers of a scenario costs for each, and the idle scenario for
// each thousand connections: measured, and rounded up.
const (
	measureCost = 30 * time.Millisecond
	startCost   = 100 * time.Millisecond
	idleCost    = 400 * time.Millisecond

	// A measurement is long enough to mean something from goodWindow on; a
	// run that is late rather makes fewer rounds. leastWindow shows no more
	// than that all works.
	goodWindow  = 100 * time.Millisecond
	leastWindow = 20 * time.Millisecond
)

// fit is how many rounds the first of these scenarios gets, and how long each
// measurement may last, for all to end within what is left of the budget.
func (r *Runner) fit(rest []scenario.Scenario) (rounds int, window time.Duration) {
	if r.cfg.Budget == 0 {
		return r.cfg.Rounds, r.cfg.Duration
	}
	left, each := r.cfg.Budget-time.Since(r.began), 0
	for _, sc := range rest {
		for range r.taking(sc) {
			left -= startCost
			if sc.Kind == scenario.Idle {
				left -= time.Duration(r.cfg.IdleRounds) * (startCost + r.cfg.IdleSettle + idleCost*time.Duration(sc.Conns)/1000)
			} else {
				each++
			}
		}
	}
	for rounds = r.cfg.Rounds; each > 0; rounds-- {
		window = left/time.Duration(each*rounds) - r.cfg.Warmup - measureCost
		if window >= goodWindow || rounds == 1 {
			break
		}
	}
	return rounds, min(max(window, leastWindow), r.cfg.Duration).Round(time.Millisecond)
}

// taking are the servers that take part in a scenario.
func (r *Runner) taking(sc scenario.Scenario) []*servers.Server {
	if sc.Kind == scenario.Idle && r.noUsage != nil {
		return nil
	}
	var list []*servers.Server
	for _, s := range r.cfg.Servers {
		if s.Features&sc.Needs == sc.Needs && s.Available() == nil {
			list = append(list, s)
		}
	}
	return list
}

// entry is one server in the scenario under way.
type entry struct {
	server  *servers.Server
	process *proc.Process
	cell    *report.Cell
	latency *hdrhistogram.Histogram // over all rounds
}

// fail gives the server up for this scenario.
func (e *entry) fail(err error) {
	e.cell.Failed, e.cell.Samples, e.cell.Curve = err.Error(), nil, nil
	e.stop()
}

func (e *entry) stop() {
	if e.process != nil {
		e.process.Stop()
		e.process = nil
	}
}

// scenario measures all servers in one scenario. Its error ends the run; what
// goes wrong with a server is written into its cell.
func (r *Runner) scenario(ctx context.Context, sc scenario.Scenario) error {
	entries := r.entries(sc)
	defer each(entries, (*entry).stop)
	if sc.Kind != scenario.Idle { // there each round has a process of its own
		each(entries, func(e *entry) { r.start(ctx, sc, e) })
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	for round := range r.rounds {
		for i := range entries {
			// Whoever begins one round is second in the next.
			e := entries[(i+len(entries)-round%max(len(entries), 1))%len(entries)]
			r.step(sc, e)
			if e.cell.Failed != "" {
				continue
			}
			if err := r.measure(ctx, sc, e); err != nil {
				if ctx.Err() != nil {
					return context.Cause(ctx)
				}
				e.fail(err)
			}
		}
	}
	for _, e := range entries {
		if e.cell.Failed == "" && sc.Kind != scenario.Idle {
			e.cell.Curve = curve(e.latency)
		}
		r.report.Cells = append(r.report.Cells, *e.cell)
	}
	return nil
}

func (r *Runner) step(sc scenario.Scenario, e *entry) {
	if r.cfg.Step != nil {
		r.cfg.Step(sc.Name, e.server.Name, r.done, r.total)
	}
	r.done++
}

// entries makes the cells of those that take part, and writes down why the
// others do not.
func (r *Runner) entries(sc scenario.Scenario) []*entry {
	taking := map[*servers.Server]bool{}
	var list []*entry
	for _, s := range r.taking(sc) {
		taking[s] = true
		list = append(list, &entry{server: s, latency: load.NewHistogram(),
			cell: &report.Cell{Scenario: sc.Name, Server: s.Name}})
	}
	for _, s := range r.cfg.Servers {
		if taking[s] {
			continue
		}
		why := s.Lacks
		if err := s.Available(); err != nil {
			why = err.Error()
		} else if sc.Kind == scenario.Idle && r.noUsage != nil {
			why = r.noUsage.Error()
		}
		r.report.Cells = append(r.report.Cells, report.Cell{Scenario: sc.Name, Server: s.Name, Skipped: why})
	}
	return list
}

// each calls f for all entries at once and waits.
func each(entries []*entry, f func(*entry)) {
	var wg sync.WaitGroup
	for _, e := range entries {
		wg.Go(func() { f(e) })
	}
	wg.Wait()
}

// start starts the entry's server and checks its answers.
func (r *Runner) start(ctx context.Context, sc scenario.Scenario, e *entry) {
	p, err := r.process(ctx, e.server, sc.TLS)
	if err == nil {
		e.process = p
		err = sc.Check(ctx, p.Addr)
	}
	if err != nil {
		e.fail(err)
	}
}

func (r *Runner) arguments(s *servers.Server, tls bool) []string {
	args := []string{"serve", "-server", s.Name, "-addr", "127.0.0.1:0", "-assets", r.assets, "-exit-with-stdin"}
	if tls {
		args = append(args, "-tls")
	}
	return args
}

func (r *Runner) process(ctx context.Context, s *servers.Server, tls bool) (*proc.Process, error) {
	opt := proc.Options{
		Command: append(append([]string{}, r.cfg.Program...), r.arguments(s, tls)...),
		CPU:     r.serverCPU,
	}
	if r.serverCPU >= 0 {
		opt.Env = []string{"GOMAXPROCS=" + strconv.Itoa(r.serverCPUs)}
	}
	return proc.Start(ctx, opt)
}

// curve is a latency histogram at percentiles that grow denser towards 100.
func curve(h *hdrhistogram.Histogram) []report.Point {
	var pts []report.Point
	for rest := 100.0; ; rest /= 1.2589254117941673 { // ten steps from 90 to 99, ten from 99 to 99.9 …
		p := 100 - rest
		pts = append(pts, report.Point{Percentile: p, Micros: float64(h.ValueAtPercentile(p)) / 1e3})
		if rest/100*float64(h.TotalCount()) < 1 {
			return append(pts, report.Point{Percentile: 100, Micros: float64(h.Max()) / 1e3})
		}
	}
}

// Self is the command that runs this program.
func Self() ([]string, error) {
	exe, err := os.Executable()
	if err != nil {
		return nil, err
	}
	exe, err = filepath.EvalSymlinks(exe)
	return []string{exe}, err
}
