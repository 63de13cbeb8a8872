package main

import (
	"fmt"
	"io"
	"sort"
	"strings"
	"time"
)

type result struct {
	ID       string   `json:"id"`
	Area     string   `json:"area"`
	Severity string   `json:"severity"`
	Ref      string   `json:"ref"`
	Why      string   `json:"why"`
	Result   string   `json:"result"` // pass or fail
	Detail   string   `json:"detail,omitempty"`
	Remarks  []string `json:"remarks,omitempty"`
	Observed []string `json:"observed"`
	MS       int64    `json:"ms"`

	sent, recv []byte
	how        string
}

// runCase plays a case as written and, in a split mode, once more in fragments.
func runCase(c *Case, cfg *config) *result {
	begin := time.Now()
	o := replay(c, cfg, "")
	res := &result{ID: c.ID, Area: c.Area, Severity: c.Severity, Ref: c.Ref, Why: c.Why, Result: "pass"}
	fail := func(o *outcome, format string, a ...any) {
		res.Result, res.Detail = "fail", fmt.Sprintf(format, a...)
		res.sent, res.recv, res.how = o.sent, o.recv, o.how
	}
	res.sent, res.recv, res.how = o.sent, o.recv, o.how
	res.Remarks, res.Observed = o.remarks, o.sig
	if o.err != nil {
		fail(o, "%v", o.err)
	}
	if cfg.split != "" && c.Split != "skip" {
		s := replay(c, cfg, cfg.split)
		switch {
		case s.err != nil && o.err == nil:
			fail(s, "split %s: %v", cfg.split, s.err)
		case c.Split != "loose" && strings.Join(s.sig, " ") != strings.Join(o.sig, " "):
			if res.Result == "pass" {
				fail(s, "split %s: %v, but in one piece: %v", cfg.split, s.sig, o.sig)
			} else {
				res.Detail += fmt.Sprintf(" (and split %s differs: %v against %v)", cfg.split, s.sig, o.sig)
			}
		}
	}
	res.MS = time.Since(begin).Milliseconds()
	return res
}

func printReport(w io.Writer, results []*result, skipped map[string]int, cfg *config) {
	type row struct{ mp, mf, sp, sf, rem, skip int }
	rows := map[string]*row{}
	get := func(a string) *row {
		if rows[a] == nil {
			rows[a] = &row{}
		}
		return rows[a]
	}
	var total row
	for _, r := range results {
		for _, x := range []*row{get(r.Area), &total} {
			switch {
			case r.Severity == "must" && r.Result == "pass":
				x.mp++
			case r.Severity == "must":
				x.mf++
			case r.Result == "pass":
				x.sp++
			default:
				x.sf++
			}
			x.rem += min(1, len(r.Remarks))
		}
	}
	for a, n := range skipped {
		get(a).skip += n
		total.skip += n
	}
	if cfg.verbose {
		for _, r := range results {
			fmt.Fprintf(w, "%-4s %s %s/%s (%d ms) %s\n", r.Result, r.Severity, r.Area, r.ID, r.MS, strings.Join(r.Observed, " "))
			for _, m := range r.Remarks {
				fmt.Fprintf(w, "       remark: %s\n", m)
			}
			if r.Result == "fail" {
				fmt.Fprintf(w, "       %s\n       sent     %s\n       received %s (%s)\n", r.Detail, show(r.sent, 700), show(r.recv, 700), r.how)
			}
		}
		fmt.Fprintln(w)
	}
	areas := make([]string, 0, len(rows))
	for a := range rows {
		areas = append(areas, a)
	}
	sort.Strings(areas)
	fmt.Fprintf(w, "%-20s %6s %6s  %6s %6s  %7s %7s\n", "", "must", "", "should", "", "", "")
	fmt.Fprintf(w, "%-20s %6s %6s  %6s %6s  %7s %7s\n", "area", "pass", "fail", "pass", "fail", "remarks", "skipped")
	line := func(a string, x *row) {
		fmt.Fprintf(w, "%-20s %6d %6d  %6d %6d  %7d %7d\n", a, x.mp, x.mf, x.sp, x.sf, x.rem, x.skip)
	}
	for _, a := range areas {
		line(a, rows[a])
	}
	line("total", &total)
	for _, sev := range []string{"must", "should"} {
		first := true
		for _, r := range results {
			if r.Result != "fail" || r.Severity != sev {
				continue
			}
			if first {
				fmt.Fprintf(w, "\nfailed %s:\n", sev)
				first = false
			}
			fmt.Fprintf(w, "  %s/%s\n      %s\n      why: %s [%s]\n", r.Area, r.ID, r.Detail, r.Why, r.Ref)
		}
	}
}

// counts sums up a run. Failures that the -known file names are counted apart.
type counts struct {
	passed, must, should, known int
	fixed                       []string // known failures that passed
}

func tally(results []*result, known map[string]string) counts {
	var n counts
	for _, r := range results {
		name := r.Area + "/" + r.ID
		_, may := known[name]
		switch {
		case r.Result == "pass":
			n.passed++
			if may {
				n.fixed = append(n.fixed, name)
			}
		case may:
			n.known++
		case r.Severity == "must":
			n.must++
		default:
			n.should++
		}
	}
	return n
}

func (n counts) print(w io.Writer) {
	for _, name := range n.fixed {
		fmt.Fprintf(w, "known to fail, but passed: %s\n", name)
	}
	fmt.Fprintf(w, "\n%d passed, %d failed", n.passed, n.must+n.should)
	if n.known > 0 {
		fmt.Fprintf(w, " (and %d known to fail)", n.known)
	}
	fmt.Fprintln(w)
}
