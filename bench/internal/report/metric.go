package report

import (
	"math"
	"slices"
)

// Metric is one figure of a sample.
type Metric struct {
	Name   string
	Title  string
	Unit   string
	Higher bool // more is better
	Value  func(Sample) float64
}

// The metrics.
var (
	Throughput = Metric{"rps", "Throughput", "requests/s", true, func(s Sample) float64 { return s.Rate }}
	CPU        = Metric{"cpu", "CPU per request", "µs", false, func(s Sample) float64 { return s.CPU }}
	P50        = Metric{"p50", "Latency p50", "µs", false, func(s Sample) float64 { return s.P50 }}
	P99        = Metric{"p99", "Latency p99", "µs", false, func(s Sample) float64 { return s.P99 }}
	P999       = Metric{"p99.9", "Latency p99.9", "µs", false, func(s Sample) float64 { return s.P999 }}
	RSS        = Metric{"rss", "Memory", "MiB", false, func(s Sample) float64 { return float64(s.RSS) / (1 << 20) }}
	PerConn    = Metric{"per_conn", "Memory per connection", "KiB", false, func(s Sample) float64 { return s.PerConn / 1024 }}
)

// Ranked are the metrics by which servers are compared in a scenario of that
// kind.
func Ranked(kind string) []Metric {
	switch kind {
	case "idle":
		return []Metric{PerConn}
	case "paced":
		return []Metric{P99, P999, CPU}
	}
	return []Metric{Throughput, CPU}
}

// Shown are the metrics in the tables for a scenario of that kind.
func Shown(kind string) []Metric {
	switch kind {
	case "idle":
		return []Metric{PerConn, RSS}
	case "paced":
		return []Metric{P50, P99, P999, CPU, RSS}
	}
	return []Metric{Throughput, CPU, P50, P99, RSS}
}

// Spread is the median of some rounds with their least and greatest.
type Spread struct {
	Median, Min, Max float64
}

// Known reports whether there is anything: a metric that could not be measured
// is 0 throughout.
func (s Spread) Known() bool { return s.Max != 0 }

// Overlaps reports whether two spreads have values in common.
func (s Spread) Overlaps(t Spread) bool { return s.Min <= t.Max && t.Min <= s.Max }

// Spread returns the metric's spread over the cell's rounds.
func (m Metric) Spread(c *Cell) Spread {
	if c == nil || len(c.Samples) == 0 {
		return Spread{}
	}
	v := make([]float64, len(c.Samples))
	for i, s := range c.Samples {
		v[i] = m.Value(s)
	}
	return spread(v)
}

func spread(v []float64) Spread {
	slices.Sort(v)
	n := len(v)
	return Spread{Median: (v[(n-1)/2] + v[n/2]) / 2, Min: v[0], Max: v[n-1]}
}

// Better reports whether a is a better value than b.
func (m Metric) Better(a, b float64) bool {
	if m.Higher {
		return a > b
	}
	return a < b
}

// Loss is a metric of a scenario in which no variant of Windhover is first.
type Loss struct {
	Scenario Scenario
	Metric   Metric
	First    Server // the best server
	Ours     Server // the best variant of Windhover; empty if all failed
	FirstV   Spread
	OursV    Spread
	// Times is how many times worse ours is; infinite if all failed.
	Times float64
	// Noise says that the rounds overlap: another run may turn out otherwise.
	Noise bool
}

// Standings counts and lists, per scenario and metric, where Windhover is
// first and where it is not. The floor is no server and takes no place.
func (r *Report) Standings() (first, total int, losses []Loss) {
	for _, sc := range r.Scenarios {
		for _, m := range Ranked(sc.Kind) {
			best, ours := r.leaders(sc, m)
			if best == nil || !r.measuresOurs(sc.Name) {
				continue
			}
			total++
			if ours != nil && best.Server == ours.Server {
				first++
				continue
			}
			l := Loss{Scenario: sc, Metric: m, First: r.Server(best.Server), FirstV: m.Spread(best), Times: math.Inf(1)}
			if ours != nil {
				l.Ours, l.OursV = r.Server(ours.Server), m.Spread(ours)
				l.Times = l.OursV.Median / l.FirstV.Median
				if m.Higher {
					l.Times = 1 / l.Times
				}
				l.Noise = l.OursV.Overlaps(l.FirstV)
			}
			losses = append(losses, l)
		}
	}
	return first, total, losses
}

// measuresOurs reports whether a variant of Windhover took part, were it by
// failing.
func (r *Report) measuresOurs(scenario string) bool {
	return slices.ContainsFunc(r.Cells, func(c Cell) bool {
		return c.Scenario == scenario && r.Server(c.Server).Kind == "windhover" && c.Skipped == ""
	})
}

// leaders returns the best cell of all servers and the best of Windhover's.
func (r *Report) leaders(sc Scenario, m Metric) (best, ours *Cell) {
	for i := range r.Cells {
		c := &r.Cells[i]
		kind := r.Server(c.Server).Kind
		v := m.Spread(c)
		if c.Scenario != sc.Name || kind == "floor" || !v.Known() {
			continue
		}
		if best == nil || m.Better(v.Median, m.Spread(best).Median) {
			best = c
		}
		if kind == "windhover" && (ours == nil || m.Better(v.Median, m.Spread(ours).Median)) {
			ours = c
		}
	}
	return best, ours
}
