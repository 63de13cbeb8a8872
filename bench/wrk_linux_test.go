//go:build linux

package main

import (
	"os/exec"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/windhover-server/windhover/bench/internal/load"
	"github.com/windhover-server/windhover/bench/internal/proc"
	"github.com/windhover-server/windhover/bench/internal/scenario"
	"github.com/windhover-server/windhover/bench/internal/servers"
)

// TestGeneratorIsAsCheapAsWrk lets both load the floor, in turns. It compares
// what a request costs the generator, in processor time: a ratio in one run,
// not a speed. It logs what the server could do under either.
func TestGeneratorIsAsCheapAsWrk(t *testing.T) {
	if testing.Short() {
		t.Skip("takes seconds")
	}
	wrk, err := exec.LookPath("wrk")
	if err != nil {
		t.Skip("wrk is not installed")
	}
	s, err := servers.Find("floor", "")
	if err != nil {
		t.Fatal(err)
	}
	cpus := proc.CPUs()
	if len(cpus) < 2 {
		t.Skip("needs two processors")
	}
	p := startServer(t, s, cpus[0])
	const window = 500 * time.Millisecond
	var ours, theirs []float64
	for range 3 {
		o := generatorCost(t, p.Addr, window)
		w := wrkCost(t, wrk, p.Addr)
		t.Logf("bench: %.2f µs per request, %.0f requests/s; wrk: %.2f µs, %.0f requests/s", o.micros, o.rate, w.micros, w.rate)
		ours, theirs = append(ours, o.micros), append(theirs, w.micros)
	}
	slices.Sort(ours)
	slices.Sort(theirs)
	if ours[1] > 2*theirs[1] {
		t.Errorf("a request costs this generator %.2f µs and wrk %.2f", ours[1], theirs[1])
	}
}

// cost is what generating a load took.
type cost struct {
	micros float64 // of processor time per request
	rate   float64 // requests per second
}

func generatorCost(t *testing.T, addr string, window time.Duration) cost {
	q := scenario.All()[0].Request
	var used time.Duration
	res, err := load.Run(t.Context(), load.Spec{Addr: addr, Conns: 64, Request: q.Bytes(), Status: q.Status, Length: q.Length,
		Duration: window, Edge: func(bool) { used = proc.SelfUsage() - used }})
	if err != nil || res.Errors > 0 {
		t.Fatal(err, res)
	}
	return cost{micros: float64(used.Microseconds()) / float64(res.Requests), rate: float64(res.Requests) / res.Elapsed.Seconds()}
}

var wrkTotal = regexp.MustCompile(`(\d+) requests in`)

// wrkCost runs wrk for its shortest time, a second.
func wrkCost(t *testing.T, wrk, addr string) cost {
	cmd := exec.CommandContext(t.Context(), wrk, "-t1", "-c64", "-d1s", "http://"+addr+"/plaintext")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	m := wrkTotal.FindSubmatch(out)
	if m == nil || strings.Contains(string(out), "Socket errors") {
		t.Fatalf("wrk: %s", out)
	}
	n, err := strconv.ParseFloat(string(m[1]), 64)
	if err != nil {
		t.Fatal(err)
	}
	used := cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
	return cost{micros: float64(used.Microseconds()) / n, rate: n}
}
