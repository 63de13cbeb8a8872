package main

import (
	"fmt"
	"os"
	"time"

	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"
)

// progress shows how far a run is: a bar on a terminal, else a line per
// scenario.
type progress struct {
	out      *os.File
	terminal bool
	bar      *progressbar.ProgressBar
	scenario string
	start    time.Time
}

func newProgress(out *os.File) *progress {
	return &progress{out: out, terminal: term.IsTerminal(int(out.Fd())), start: time.Now()}
}

// step says what is measured next.
func (p *progress) step(scenario, server string, done, total int) {
	if !p.terminal {
		if scenario != p.scenario {
			fmt.Fprintf(p.out, "%4.0f s  %3d of %d  %s\n", time.Since(p.start).Seconds(), done, total, scenario)
		}
		p.scenario = scenario
		return
	}
	if p.bar == nil {
		p.bar = progressbar.NewOptions(total,
			progressbar.OptionSetWriter(p.out),
			progressbar.OptionSetWidth(30),
			progressbar.OptionShowCount(),
			progressbar.OptionSetPredictTime(true),
			progressbar.OptionFullWidth(),
			progressbar.OptionClearOnFinish())
	}
	p.bar.Describe(fmt.Sprintf("%-15s %-23s", scenario, server))
	_ = p.bar.Set(done) // a terminal that has gone is no reason to stop
}

func (p *progress) finish() {
	if p.bar != nil {
		_ = p.bar.Clear()
	}
}
