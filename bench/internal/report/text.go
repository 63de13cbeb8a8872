package report

import (
	"fmt"
	"math"
	"os"
	"strconv"
	"strings"
)

// number formats a value with three significant digits, and thousands apart.
func number(v float64) string {
	switch a := math.Abs(v); {
	case math.IsInf(v, 0):
		return "∞"
	case a == 0:
		return "0"
	case a < 1000:
		digits := 2 - int(math.Floor(math.Log10(a)))
		return strconv.FormatFloat(v, 'f', min(max(digits, 0), 3), 64)
	}
	// Three digits count, the rest are zeros.
	unit := math.Pow(10, math.Floor(math.Log10(math.Abs(v)))-2)
	s := strconv.FormatInt(int64(math.Round(v/unit)*unit), 10)
	for i := len(s) - 3; i > 0 && s[i-1] != '-'; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// String is the median, and the extremes when there are several
// rounds.
func (s Spread) String() string {
	if !s.Known() {
		return "–"
	}
	if s.Min == s.Max {
		return number(s.Median)
	}
	return fmt.Sprintf("%s (%s–%s)", number(s.Median), number(s.Min), number(s.Max))
}

// ratio formats a value as a multiple of the baseline's.
func ratio(v, base Spread) string {
	if !v.Known() || !base.Known() {
		return ""
	}
	return number(v.Median/base.Median) + "×"
}

// why says in a word or two why a cell has no numbers.
func (c *Cell) why() string {
	switch {
	case c == nil:
		return "–"
	case c.Failed != "":
		return "failed"
	}
	return "–"
}

// note marks a throughput that something else limited than the server.
func (c *Cell) note(m Metric) string {
	if m.Name != Throughput.Name {
		return ""
	}
	for _, s := range c.Samples {
		if !s.Saturating {
			return "†"
		}
	}
	return ""
}

// Summary is the outcome in words, with every place where Windhover is not
// first and everything that failed.
func (r *Report) Summary() string {
	var b strings.Builder
	first, total, losses := r.Standings()
	if total > 0 {
		fmt.Fprintf(&b, "Windhover's best variant is first in %d of %d comparisons (floor not counted).\n", first, total)
	}
	if len(losses) > 0 {
		b.WriteString("Not first:\n")
	}
	for _, l := range losses {
		fmt.Fprintf(&b, "  %s\n", l)
	}
	for _, c := range r.Failures() {
		fmt.Fprintf(&b, "FAILED  %s, %s: %s\n", c.Scenario, c.Server, firstLine(c.Failed))
	}
	for _, n := range r.Notes {
		fmt.Fprintf(&b, "Note: %s\n", n)
	}
	return b.String()
}

// String says who is first instead of Windhover, and by how much.
func (l Loss) String() string {
	s := fmt.Sprintf("%s, %s: %s %s", l.Scenario.Name, l.Metric.Title, l.First.Name, number(l.FirstV.Median))
	if l.Ours.Name == "" {
		return s + "; no variant of Windhover has a result"
	}
	s += fmt.Sprintf(", %s %s %s (%s times worse)", l.Ours.Name, number(l.OursV.Median), l.Metric.Unit, number(l.Times))
	if l.Noise {
		s += ", rounds overlap"
	}
	return s
}

func firstLine(s string) string {
	line, _, _ := strings.Cut(s, "\n")
	return line
}

// Facts are how and where the run was made, as pairs of name and value.
func (r *Report) Facts() [][2]string {
	m, s := r.Machine, r.Settings
	place := "server and generator share all processors"
	if s.Pinned {
		place = "server on one processor (GOMAXPROCS=1), generator on another"
	}
	facts := [][2]string{
		{"Command", r.Command},
		{"When", fmt.Sprintf("%s, %.0f s", r.Started.Format("2006-01-02 15:04 MST"), r.Seconds)},
		{"Commit", r.Commit},
		{"Machine", fmt.Sprintf("%s, %d processors, %.1f GiB", orUnknown(m.CPU), m.CPUs, float64(m.Memory)/(1<<30))},
		{"System", fmt.Sprintf("%s, %s/%s, %s", orUnknown(m.Kernel), m.OS, m.Arch, m.Go)},
		{"Measurement", fmt.Sprintf("%s: %d rounds of about %.2g s after %.2g s, interleaved; %s", s.Mode, s.Rounds, s.Duration, s.Warmup, place)},
	}
	if s.Rate > 0 {
		facts = append(facts, [2]string{"Paced scenarios", fmt.Sprintf("%s requests/s; a burning handler computes %d rounds, 5 ms", number(s.Rate), s.Burn)})
	}
	return facts
}

// Load says how many connections there are, and how often and for how long
// they are measured.
func (s Scenario) Load() string {
	rounds := "1 round"
	if s.Rounds != 1 {
		rounds = fmt.Sprintf("%d rounds", s.Rounds)
	}
	if s.Kind == "idle" {
		return fmt.Sprintf("%d connections, %s.", s.Conns, rounds)
	}
	return fmt.Sprintf("%d connections, %s of %.3g s.", s.Conns, rounds, s.Window)
}

func orUnknown(s string) string {
	if s == "" {
		return "unknown"
	}
	return s
}

// measured are the servers that took part.
func (r *Report) measured() []Server {
	var list []Server
	for _, s := range r.Servers {
		if s.Absent == "" {
			list = append(list, s)
		}
	}
	return list
}

// Markdown is the report as text with tables.
func (r *Report) Markdown() string {
	var b strings.Builder
	b.WriteString("# Windhover benchmark\n\n")
	for _, f := range r.Facts() {
		fmt.Fprintf(&b, "- %s: %s\n", f[0], f[1])
	}
	b.WriteString("\n```\n" + r.Summary() + "```\n\n")
	r.markdownOverview(&b)
	for _, sc := range r.Scenarios {
		r.markdownScenario(&b, sc)
	}
	b.WriteString(legend(r.Server(r.Baseline).Title))
	return b.String()
}

func legend(baseline string) string {
	return "Medians of the rounds, with least and greatest. × is the ratio to " + baseline + ".\n" +
		"CPU is the server process's own, user and system. † the server did not use all of its processors: the load\n" +
		"generator or other programs were the limit, so compare CPU, not throughput. – does not take part; failed: no number is shown where a response was wrong.\n"
}

// markdownOverview is one table of ratios over all scenarios.
func (r *Report) markdownOverview(b *strings.Builder) {
	fmt.Fprintf(b, "## Overview: %s\n\n| scenario | figure |", overviewTitle(r.Server(r.Baseline).Title))
	rule := "|---|---|"
	for _, s := range r.measured() {
		fmt.Fprintf(b, " %s |", s.Title)
		rule += "--:|"
	}
	b.WriteString("\n" + rule + "\n")
	for _, row := range r.overview() {
		fmt.Fprintf(b, "| %s | %s |", row.Scenario.Title, row.Metric.Title)
		for _, c := range row.Cells {
			fmt.Fprintf(b, " %s |", c.Text)
		}
		b.WriteString("\n")
	}
	b.WriteString("\n")
}

func overviewTitle(baseline string) string {
	return "cost as a multiple of " + baseline + "'s (less is better)"
}

// overviewRow is a scenario's main figure for each server.
type overviewRow struct {
	Scenario Scenario
	Metric   Metric
	Cells    []overviewCell
}

type overviewCell struct {
	Text  string
	Ratio float64 // 0 if unknown
	Best  bool
}

// cost is the figure by which an overview compares a kind of scenario.
func (r *Report) cost(sc Scenario) Metric {
	m := CPU
	switch sc.Kind {
	case "idle":
		return PerConn
	case "paced":
		return P99
	}
	for _, c := range r.Cells {
		if m.Spread(&c).Known() {
			return m
		}
	}
	return P50 // where processor time is not known
}

func (r *Report) overview() []overviewRow {
	var rows []overviewRow
	for _, sc := range r.Scenarios {
		m := r.cost(sc)
		row := overviewRow{Scenario: sc, Metric: m}
		base := m.Spread(r.Cell(sc.Name, r.Baseline))
		best, _ := r.leaders(sc, m)
		for _, s := range r.measured() {
			c := r.Cell(sc.Name, s.Name)
			v := m.Spread(c)
			cell := overviewCell{Text: c.why()}
			if v.Known() {
				cell.Best = best != nil && best.Server == s.Name
				if cell.Text = number(v.Median) + " " + m.Unit; base.Known() {
					cell.Ratio = v.Median / base.Median
					cell.Text = strconv.FormatFloat(cell.Ratio, 'f', 2, 64)
				}
			}
			row.Cells = append(row.Cells, cell)
		}
		rows = append(rows, row)
	}
	return rows
}

func (r *Report) markdownScenario(b *strings.Builder, sc Scenario) {
	metrics := Shown(sc.Kind)
	fmt.Fprintf(b, "## %s (%s)\n\n%s %s\n\n| server |", sc.Title, sc.Name, sc.About, sc.Load())
	rule := "|---|"
	for _, m := range metrics {
		fmt.Fprintf(b, " %s, %s | × |", m.Title, m.Unit)
		rule += "--:|--:|"
	}
	b.WriteString("\n" + rule + "\n")
	for _, s := range r.measured() {
		c := r.Cell(sc.Name, s.Name)
		if c == nil || c.Skipped != "" {
			continue
		}
		fmt.Fprintf(b, "| %s |", s.Title)
		for _, m := range metrics {
			v := m.Spread(c)
			text := v.String() + c.note(m)
			if c.Failed != "" {
				text = "failed"
			}
			fmt.Fprintf(b, " %s | %s |", text, ratio(v, m.Spread(r.Cell(sc.Name, r.Baseline))))
		}
		b.WriteString("\n")
	}
	b.WriteString("\n")
}

// WriteMarkdown writes the Markdown form to a file.
func (r *Report) WriteMarkdown(name string) error {
	return os.WriteFile(name, []byte(r.Markdown()), 0o644)
}
