package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/urfave/cli/v3"

	"github.com/windhover-server/windhover/bench/internal/report"
	"github.com/windhover-server/windhover/bench/internal/runner"
	"github.com/windhover-server/windhover/bench/internal/scenario"
	"github.com/windhover-server/windhover/bench/internal/servers"
)

func runCommand() *cli.Command {
	return &cli.Command{
		Name:  "run",
		Usage: "measure every server in every scenario and write the report",
		Flags: []cli.Flag{
			&cli.BoolFlag{Name: "quick", Usage: "shorter measurements, fewer idle connections: within 3 minutes"},
			&cli.BoolFlag{Name: "smoke", Usage: "one short round of six servers, to see that all works: within 30 seconds"},
			&cli.StringFlag{Name: "servers", Usage: "`LIST` of servers, separated by commas; * matches any text"},
			&cli.StringFlag{Name: "scenarios", Usage: "`LIST` of scenarios, separated by commas; * matches any text"},
			&cli.IntFlag{Name: "rounds", Usage: "rounds of each scenario (default 5; with -quick 3, with -smoke 1)"},
			&cli.DurationFlag{Name: "duration", Usage: "length of each measurement (default 1s; with -quick and -smoke what fits)"},
			&cli.BoolFlag{Name: "pin", Usage: "server on one processor, load generator on another"},
			&cli.FloatFlag{Name: "rate", Usage: "requests per second of the paced scenarios (default: half of what net/http can do)"},
			&cli.StringFlag{Name: "baseline", Value: "nethttp", Usage: "`SERVER` that ratios refer to"},
			&cli.StringFlag{Name: "out", Value: "report", Usage: "`DIR` for the report"},
		},
		Action: func(ctx context.Context, c *cli.Command) error {
			if err := noArguments(c); err != nil {
				return err
			}
			return measure(ctx, c)
		},
	}
}

func measure(ctx context.Context, c *cli.Command) error {
	cfg, mode, err := configure(c)
	if err != nil {
		return err
	}
	if cfg.Program, err = runner.Self(); err != nil {
		return err
	}
	if err := os.MkdirAll(c.String("out"), 0o755); err != nil {
		return err
	}
	rep := &report.Report{
		Schema: report.Schema, Started: time.Now().UTC().Truncate(time.Second), Baseline: c.String("baseline"),
		Command: "go run . " + strings.Join(os.Args[1:], " "), Commit: commit(ctx), Machine: machine(),
		Settings: report.Settings{Mode: mode},
	}
	bar := newProgress(os.Stderr)
	cfg.Step = bar.step
	start := time.Now()
	err = runner.Run(ctx, cfg, rep)
	bar.finish()
	if err != nil {
		return err
	}
	rep.Seconds = time.Since(start).Seconds()
	return present(os.Stdout, rep, c.String("out"))
}

// present writes the report's files and says the outcome.
func present(w io.Writer, rep *report.Report, dir string) error {
	files := []struct {
		name  string
		write func(string) error
	}{
		{"report.json", rep.WriteJSON},
		{"report.md", rep.WriteMarkdown},
		{"index.html", rep.WriteHTML},
	}
	for _, f := range files {
		if err := f.write(filepath.Join(dir, f.name)); err != nil {
			return err
		}
	}
	fmt.Fprint(w, rep.Summary())
	fmt.Fprintf(w, "\nThe report: %s (also report.md, report.json)\n", filepath.Join(dir, "index.html"))
	if failed := rep.Failures(); len(failed) > 0 {
		return fmt.Errorf("%d of %d measurements failed", len(failed), len(rep.Cells))
	}
	return nil
}

// How long quick and smoke runs may take, with room for a busy machine.
const (
	quickBudget = 160 * time.Second
	smokeBudget = 20 * time.Second
)

// smokeServers are measured by -smoke unless others are named.
const smokeServers = "windhover-*,nethttp,floor"

func configure(c *cli.Command) (runner.Config, string, error) {
	cfg := runner.Config{
		Rounds: 5, Warmup: 300 * time.Millisecond, Duration: time.Second,
		IdleConns: 15000, IdleRounds: 3, IdleSettle: 2 * time.Second,
		Pin: c.Bool("pin"), Rate: c.Float("rate"),
	}
	mode, list := "full", c.String("servers")
	switch quick, smoke := c.Bool("quick"), c.Bool("smoke"); {
	case quick && smoke:
		return cfg, "", usage("use -quick or -smoke, not both")
	case quick:
		mode, cfg.Budget = "quick", quickBudget
		cfg.Rounds, cfg.Warmup = 3, 50*time.Millisecond
		cfg.IdleConns, cfg.IdleRounds, cfg.IdleSettle = 4000, 1, 300*time.Millisecond
	case smoke:
		mode, cfg.Budget = "smoke", smokeBudget
		cfg.Rounds, cfg.Warmup = 1, 20*time.Millisecond
		cfg.IdleConns, cfg.IdleRounds, cfg.IdleSettle = 500, 1, 100*time.Millisecond
		if list == "" {
			list = smokeServers
		}
	}
	if err := selections(c, list, &cfg); err != nil {
		return cfg, "", err
	}
	if c.IsSet("rounds") {
		if cfg.Rounds = c.Int("rounds"); cfg.Rounds < 1 {
			return cfg, "", usage("-rounds must be at least 1, not %d", cfg.Rounds)
		}
		cfg.IdleRounds = min(cfg.IdleRounds, cfg.Rounds)
	}
	switch d := c.Duration("duration"); {
	case c.IsSet("duration") && d < 10*time.Millisecond:
		return cfg, "", usage("-duration must be at least 10ms, not %v", d)
	case c.IsSet("duration"):
		cfg.Duration, cfg.Budget = d, 0
	}
	if c.IsSet("rate") && cfg.Rate <= 0 {
		return cfg, "", usage("-rate must be positive, not %v", cfg.Rate)
	}
	if cfg.Pin && runtime.GOOS != "linux" {
		return cfg, "", usage("-pin needs Linux; leave it out")
	}
	return cfg, mode, nil
}

// selections fills in the servers and scenarios that are asked for.
func selections(c *cli.Command, list string, cfg *runner.Config) error {
	var err error
	cfg.Servers, err = pick("server", list, servers.All(), func(s *servers.Server) string { return s.Name })
	if err != nil {
		return err
	}
	cfg.Scenarios, err = pick("scenario", c.String("scenarios"), scenario.All(), func(s scenario.Scenario) string { return s.Name })
	if err != nil {
		return err
	}
	base := c.String("baseline")
	if !slices.ContainsFunc(servers.All(), func(s *servers.Server) bool { return s.Name == base }) {
		return usage("-baseline: no server %q; see the command list", base)
	}
	return nil
}

// pick returns those of all whose names match a pattern of the list.
func pick[T any](what, list string, all []T, name func(T) string) ([]T, error) {
	if list == "" {
		return all, nil
	}
	chosen := map[string]bool{}
	for pattern := range strings.SplitSeq(list, ",") {
		pattern = strings.TrimSpace(pattern)
		hit := false
		for _, v := range all {
			ok, err := path.Match(pattern, name(v))
			if err != nil {
				return nil, usage("-%ss: the pattern %q is malformed", what, pattern)
			}
			if ok {
				chosen[name(v)], hit = true, true
			}
		}
		if !hit {
			return nil, usage("-%ss: no %s %q; see the command list", what, what, pattern)
		}
	}
	return slices.DeleteFunc(slices.Clone(all), func(v T) bool { return !chosen[name(v)] }), nil
}
