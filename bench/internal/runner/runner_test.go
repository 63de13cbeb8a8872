package runner

import (
	"testing"
	"time"

	"github.com/windhover-server/windhover/bench/internal/load"
	"github.com/windhover-server/windhover/bench/internal/scenario"
	"github.com/windhover-server/windhover/bench/internal/servers"
)

func TestMeasurementsFitTheBudget(t *testing.T) {
	cfg := Config{Servers: servers.All(), Scenarios: scenario.All(), Rounds: 3, Warmup: 50 * time.Millisecond,
		Duration: time.Second, IdleRounds: 1, IdleSettle: 500 * time.Millisecond}
	for _, c := range []struct {
		budget, gone time.Duration
		rounds       int
		least, most  time.Duration
	}{
		{0, 0, 3, time.Second, time.Second},
		{time.Hour, 0, 3, time.Second, time.Second},
		{4 * time.Minute, 0, 3, goodWindow, 4 * time.Minute / 300},
		{4 * time.Minute, 2 * time.Minute, 2, leastWindow, 2 * time.Minute / 200}, // late: fewer rounds
		{4 * time.Minute, 239 * time.Second, 1, leastWindow, leastWindow},         // too late
	} {
		cfg.Budget = c.budget
		r := &Runner{cfg: cfg, began: time.Now().Add(-c.gone)}
		rounds, d := r.fit(cfg.Scenarios)
		if rounds > c.rounds || d < c.least || d > c.most {
			t.Errorf("budget %v, %v gone: %d rounds of %v", c.budget, c.gone, rounds, d)
		}
	}
}

func TestCurveGrowsDenserAndEndsAtTheMaximum(t *testing.T) {
	h := load.NewHistogram()
	for i := range int64(10000) {
		if err := h.RecordValue(i * 1000); err != nil {
			t.Fatal(err)
		}
	}
	pts := curve(h)
	if first, last := pts[0], pts[len(pts)-1]; first.Percentile != 0 || last.Percentile != 100 || last.Micros < 9990 || last.Micros > 10010 {
		t.Errorf("from %v to %v", first, last)
	}
	for i := 1; i < len(pts); i++ {
		if pts[i].Percentile <= pts[i-1].Percentile || pts[i].Micros < pts[i-1].Micros {
			t.Errorf("%v after %v", pts[i], pts[i-1])
		}
	}
	if n := len(pts); n < 30 || n > 60 {
		t.Errorf("%d points", n)
	}
}
