package report

import (
	"fmt"
	"io"
	"text/tabwriter"

	"golang.org/x/perf/benchmath"
)

// confidence is that of the intervals around medians.
const confidence = 0.95

// Compare writes what changed between two reports, with the statistics of
// benchstat: medians, and a Mann-Whitney U-test that calls a difference
// significant at p < 0.05. It needs at least four rounds on both sides for that.
func Compare(w io.Writer, old, cur *Report) error {
	fmt.Fprintf(w, "old: commit %s, %s, %s\nnew: commit %s, %s, %s\n",
		old.Commit, old.Started.Format("2006-01-02 15:04"), old.Command,
		cur.Commit, cur.Started.Format("2006-01-02 15:04"), cur.Command)
	for _, warning := range differences(old, cur) {
		fmt.Fprintf(w, "warning: %s\n", warning)
	}
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(tw, "\nscenario\tserver\tfigure\told\tnew\tchange\t")
	few := false
	for _, sc := range cur.Scenarios {
		for _, s := range cur.Servers {
			a, b := old.Cell(sc.Name, s.Name), cur.Cell(sc.Name, s.Name)
			for _, m := range Ranked(sc.Kind) {
				if m.Spread(a).Known() && m.Spread(b).Known() {
					few = compareCell(tw, sc, s, m, a, b) || few
				}
			}
			if a != nil && b != nil && (a.Failed == "") != (b.Failed == "") {
				fmt.Fprintf(tw, "%s\t%s\t\t%s\t%s\t\t\n", sc.Name, s.Name, outcome(a), outcome(b))
			}
		}
	}
	if err := tw.Flush(); err != nil {
		return err
	}
	if few {
		fmt.Fprintln(w, "\n~ with too few rounds says nothing: run both with -rounds 4 or more.")
	}
	return nil
}

func outcome(c *Cell) string {
	if c.Failed != "" {
		return "failed"
	}
	return "passed"
}

// compareCell writes one line, and reports whether there were too few rounds
// to find any difference.
func compareCell(w io.Writer, sc Scenario, s Server, m Metric, old, cur *Cell) (few bool) {
	a, b := m.sample(old), m.sample(cur)
	sa, sb := benchmath.AssumeNothing.Summary(a, confidence), benchmath.AssumeNothing.Summary(b, confidence)
	c := benchmath.AssumeNothing.Compare(a, b)
	fmt.Fprintf(w, "%s\t%s\t%s, %s\t%s %s\t%s %s\t%s (%s)\t\n", sc.Name, s.Name, m.Title, m.Unit,
		number(sa.Center), sa.PctRangeString(), number(sb.Center), sb.PctRangeString(),
		c.FormatDelta(sa.Center, sb.Center), c)
	return len(c.Warnings) > 0
}

func (m Metric) sample(c *Cell) *benchmath.Sample {
	v := make([]float64, len(c.Samples))
	for i, s := range c.Samples {
		v[i] = m.Value(s)
	}
	return benchmath.NewSample(v, &benchmath.DefaultThresholds)
}

// differences are what makes two reports hard to compare.
func differences(old, cur *Report) []string {
	var list []string
	differ := func(what string, a, b any) {
		if a != b {
			list = append(list, fmt.Sprintf("%s differs: %v, then %v", what, a, b))
		}
	}
	differ("the processor", old.Machine.CPU, cur.Machine.CPU)
	differ("the number of processors", old.Machine.CPUs, cur.Machine.CPUs)
	differ("the kernel", old.Machine.Kernel, cur.Machine.Kernel)
	differ("the Go version", old.Machine.Go, cur.Machine.Go)
	differ("pinning", old.Settings.Pinned, cur.Settings.Pinned)
	differ("the length of a measurement in seconds", old.Settings.Duration, cur.Settings.Duration)
	if old.Settings.Rate > 0 && cur.Settings.Rate > 0 {
		differ("the rate of the paced scenarios (set it with -rate)", old.Settings.Rate, cur.Settings.Rate)
	}
	return list
}
