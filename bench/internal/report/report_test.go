package report

import (
	"bytes"
	"encoding/xml"
	"io"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// rounds returns samples with those costs; the throughput follows.
func rounds(cpu ...float64) []Sample {
	var list []Sample
	for _, c := range cpu {
		list = append(list, Sample{Requests: 1e5, Seconds: 1, Rate: 1e6 / c, CPU: c, P50: c * 60, P99: c * 100, P999: c * 200,
			RSS: 20 << 20, Saturating: true})
	}
	return list
}

func example() *Report {
	return &Report{
		Schema: Schema, Started: time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC), Seconds: 60, Command: "go run . run",
		Commit: "0123456789ab", Machine: Machine{OS: "linux", Arch: "amd64", CPU: "CPU <&>", CPUs: 2, Go: "go1.26"},
		Settings: Settings{Mode: "full", Rounds: 3, Duration: 1, Rate: 20000}, Baseline: "nethttp",
		Servers: []Server{
			{Name: "windhover-ring-native", Title: "Windhover ring, native", Kind: "windhover"},
			{Name: "windhover-ring-http", Title: "Windhover ring, http.Handler", Kind: "windhover"},
			{Name: "nethttp", Title: "net/http", Kind: "peer"},
			{Name: "nginx", Title: "nginx", Kind: "peer"},
			{Name: "h2o", Title: "h2o", Kind: "peer", Absent: "h2o is not installed"},
			{Name: "floor", Title: "floor", Kind: "floor"},
		},
		Scenarios: []Scenario{
			{Name: "plaintext", Title: "Plaintext", Kind: "saturate", Conns: 64},
			{Name: "echo", Title: "Echo", Kind: "saturate", Conns: 64},
			{Name: "paced", Title: "Half load", Kind: "paced", Conns: 64},
			{Name: "idle", Title: "Idle", Kind: "idle", Conns: 15000},
		},
		Cells: []Cell{
			{Scenario: "plaintext", Server: "windhover-ring-native", Samples: rounds(7, 8, 6), Curve: []Point{{0, 30}, {90, 80}, {99, 120}, {100, 900}}},
			{Scenario: "plaintext", Server: "windhover-ring-http", Samples: rounds(9, 9, 10)},
			{Scenario: "plaintext", Server: "nethttp", Samples: rounds(20, 19, 21), Curve: []Point{{0, 60}, {90, 160}, {99, 300}, {100, 1900}}},
			{Scenario: "plaintext", Server: "nginx", Samples: rounds(12, 12, 12)},
			{Scenario: "plaintext", Server: "floor", Samples: rounds(5, 5, 5)},
			{Scenario: "echo", Server: "windhover-ring-native", Failed: "3 errors, the first: status <500>"},
			{Scenario: "echo", Server: "windhover-ring-http", Samples: rounds(16, 15, 20)},
			{Scenario: "echo", Server: "nethttp", Samples: rounds(14, 13, 15.5)},
			{Scenario: "echo", Server: "nginx", Skipped: "it runs no handler of ours"},
			{Scenario: "paced", Server: "windhover-ring-native", Failed: "dead"},
			{Scenario: "paced", Server: "nethttp", Samples: rounds(20)},
			{Scenario: "idle", Server: "windhover-ring-native", Samples: []Sample{{RSS: 40 << 20, PerConn: 900}}},
			{Scenario: "idle", Server: "nethttp", Samples: []Sample{{RSS: 300 << 20, PerConn: 19000}}},
		},
	}
}

func TestStandingsHideNoLoss(t *testing.T) {
	first, total, losses := example().Standings()
	// plaintext: both won; echo: both lost; paced: three lost by failing; idle: won.
	if first != 3 || total != 8 || len(losses) != 5 {
		t.Fatalf("first in %d of %d, %d losses", first, total, len(losses))
	}
	echo := losses[1]
	if echo.Scenario.Name != "echo" || echo.Metric.Name != "cpu" || echo.First.Name != "nethttp" || echo.Ours.Name != "windhover-ring-http" {
		t.Errorf("loss %+v", echo)
	}
	if math.Abs(echo.Times-16.0/14) > 1e-9 || !echo.Noise {
		t.Errorf("%v times worse, noise %v", echo.Times, echo.Noise)
	}
	if paced := losses[2]; paced.Ours.Name != "" || !math.IsInf(paced.Times, 1) {
		t.Errorf("a failure of all variants is no loss: %+v", paced)
	}
}

func TestFailedCellHasNoNumberAnywhere(t *testing.T) {
	r := example()
	md := r.Markdown()
	if !strings.Contains(md, "| Windhover ring, native | failed |") {
		t.Errorf("the failed row is missing:\n%s", md)
	}
	for _, want := range []string{"FAILED  echo, windhover-ring-native: 3 errors", "first in 3 of 8"} {
		if !strings.Contains(md, want) {
			t.Errorf("%q is missing", want)
		}
	}
	if !strings.Contains(md, "| 7.00 (6.00–8.00) | 0.350× |") {
		t.Errorf("the spread or the ratio is missing:\n%s", md)
	}
}

func TestGeneratorBoundThroughputIsMarked(t *testing.T) {
	r := example()
	c := r.Cell("plaintext", "nginx")
	if c.note(Throughput) != "" {
		t.Error("a saturated server is marked")
	}
	c.Samples[1].Saturating = false
	if c.note(Throughput) != "†" || c.note(CPU) != "" {
		t.Error("throughput is not marked, or CPU is")
	}
}

func TestPageIsWholeAndSelfContained(t *testing.T) {
	name := filepath.Join(t.TempDir(), "index.html")
	if err := example().WriteHTML(name); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"first in 3 of 8", "status &lt;500&gt;", "CPU &lt;&amp;&gt;", "c-nethttp", "Latency by percentile",
		"not here: h2o is not installed", "Does not take part: nginx: it runs no handler of ours"} {
		if !bytes.Contains(b, []byte(want)) {
			t.Errorf("%q is missing", want)
		}
	}
	if m := regexp.MustCompile(`(?i)<script|src=|@import|url\(|href="[^#]`).Find(b); m != nil {
		t.Errorf("the page loads something: %q", m)
	}
	for _, svg := range regexp.MustCompile(`(?s)<svg.*?</svg>`).FindAll(b, -1) {
		d := xml.NewDecoder(bytes.NewReader(svg))
		for {
			if _, err := d.Token(); err == io.EOF {
				break
			} else if err != nil {
				t.Fatalf("%v in %s", err, svg)
			}
		}
		if bytes.Contains(svg, []byte("NaN")) || bytes.Contains(svg, []byte("Inf")) || bytes.Contains(svg, []byte("%!")) {
			t.Errorf("a figure that is none: %s", svg)
		}
	}
}

func TestJSONRoundTrip(t *testing.T) {
	name := filepath.Join(t.TempDir(), "report.json")
	if err := example().WriteJSON(name); err != nil {
		t.Fatal(err)
	}
	r, err := ReadJSON(name)
	if err != nil {
		t.Fatal(err)
	}
	if r.Markdown() != example().Markdown() {
		t.Error("the report read is not the report written")
	}
	r.Schema++
	if err := r.WriteJSON(name); err != nil {
		t.Fatal(err)
	}
	if _, err := ReadJSON(name); err == nil {
		t.Error("another schema is accepted")
	}
}

func TestNumber(t *testing.T) {
	for v, want := range map[float64]string{
		0: "0", 0.0123: "0.012", 0.5: "0.500", 7.437: "7.44", 74.37: "74.4", 743.7: "744",
		48512: "48,500", 1104999: "1,100,000", 999.6: "1000", math.Inf(1): "∞",
	} {
		if got := number(v); got != want {
			t.Errorf("number(%v) = %q, want %q", v, got, want)
		}
	}
}

func TestSpread(t *testing.T) {
	if s := spread([]float64{5, 1, 3}); s != (Spread{3, 1, 5}) {
		t.Errorf("odd: %v", s)
	}
	if s := spread([]float64{4, 1, 3, 2}); s != (Spread{2.5, 1, 4}) {
		t.Errorf("even: %v", s)
	}
}

func TestCompareFindsWhatChanged(t *testing.T) {
	old, cur := example(), example()
	*old.Cell("plaintext", "nethttp") = Cell{Scenario: "plaintext", Server: "nethttp", Samples: rounds(20, 20.1, 20.2, 20.3, 20.4)}
	*cur.Cell("plaintext", "nethttp") = Cell{Scenario: "plaintext", Server: "nethttp", Samples: rounds(10, 10.1, 10.2, 10.3, 10.4)}
	cur.Machine.Go = "go1.27"
	*cur.Cell("echo", "windhover-ring-native") = Cell{Scenario: "echo", Server: "windhover-ring-native", Samples: rounds(9)}
	var b strings.Builder
	if err := Compare(&b, old, cur); err != nil {
		t.Fatal(err)
	}
	out := b.String()
	for _, want := range []string{
		`plaintext +nethttp +CPU per request, µs +20.2 .* 10.2 .* -49.50% \(p=0.008 n=5\)`,
		`plaintext +windhover-ring-native +CPU .* ~ \(p=1.000 n=3\)`,
		`echo +windhover-ring-native +failed +passed`,
		`warning: the Go version differs: go1.26, then go1.27`,
		`too few rounds`,
	} {
		if !regexp.MustCompile(want).MatchString(out) {
			t.Errorf("no %s in\n%s", want, out)
		}
	}
}
