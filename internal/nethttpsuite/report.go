package main

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"slices"
	"sort"
	"strings"
)

type report struct {
	Go      string
	OS      string
	Adapter string
	Time    string
	Kept    int
	Passed  int // flaky ones included
	Failed  int
	Skipped int
	Tests   []*result
	Dropped []*result
}

// cause shortens a reason to what is counted.
func cause(reason string) string {
	if i := strings.Index(reason, ": "); i >= 0 {
		reason = reason[:i]
	}
	return reason
}

func (rep *report) print(w io.Writer) {
	type row struct{ kept, pass, flaky, fail, timeout, crash, skip int }
	add := func(r *row, t *result) {
		r.kept++
		switch t.Status {
		case "pass":
			r.pass++
		case "flaky":
			r.pass++
			r.flaky++
		case "fail":
			r.fail++
		case "timeout":
			r.timeout++
		case "crash":
			r.crash++
		case "skip":
			r.skip++
		}
	}
	rows := make(map[string]*row)
	at := func(k string) *row {
		if rows[k] == nil {
			rows[k] = new(row)
		}
		return rows[k]
	}
	var failed []*result
	for _, t := range rep.Tests {
		if t.failed() {
			failed = append(failed, t)
		}
		add(at("class "+t.Class), t)
		add(at("total"), t)
		if t.Class != "client" {
			add(at("total, client excepted"), t)
		}
		for _, tag := range t.Tags {
			add(at("tag "+tag), t)
		}
		if slices.Equal(t.Tags, []string{"tcp"}) {
			add(at("tag tcp and no other"), t)
		}
	}
	total := at("total")
	rep.Kept, rep.Passed, rep.Failed, rep.Skipped = total.kept, total.pass, total.fail+total.timeout+total.crash, total.skip

	if len(failed) > 0 {
		fmt.Fprintf(w, "failed:\n")
		sort.SliceStable(failed, func(i, j int) bool { return failed[i].Class > failed[j].Class })
		for _, t := range failed {
			fmt.Fprintf(w, "  %-8s %-8s %-60s %s\n", t.Status, t.Class, t.Name, t.firstLine())
		}
	}
	fmt.Fprintf(w, "dropped:\n")
	causes := make(map[string]int)
	for _, t := range rep.Dropped {
		causes[cause(t.Reason)]++
	}
	keys := make([]string, 0, len(causes))
	for k := range causes {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	for _, k := range keys {
		fmt.Fprintf(w, "  %5d  %s\n", causes[k], k)
	}
	fmt.Fprintf(w, "%-26s %5s %5s %5s %5s %7s %5s %5s\n", "", "kept", "pass", "flaky", "fail", "timeout", "crash", "skip")
	keys = keys[:0]
	for k := range rows {
		keys = append(keys, k)
	}
	sort.Slice(keys, func(i, j int) bool {
		ti, tj := strings.HasPrefix(keys[i], "total"), strings.HasPrefix(keys[j], "total")
		if ti != tj {
			return tj
		}
		return keys[i] < keys[j]
	})
	for _, k := range keys {
		r := rows[k]
		fmt.Fprintf(w, "%-26s %5d %5d %5d %5d %7d %5d %5d\n", k, r.kept, r.pass, r.flaky, r.fail, r.timeout, r.crash, r.skip)
	}
}

// firstLine returns the line of a failed test's output which best tells why.
func (t *result) firstLine() string {
	sc := bufio.NewScanner(strings.NewReader(t.Output))
	sc.Buffer(nil, 1<<20)
	first := ""
	for sc.Scan() {
		line := strings.TrimSpace(sc.Text())
		if strings.HasPrefix(line, "panic:") || strings.HasPrefix(line, "fatal error:") {
			first = line
			break
		}
		if first == "" && strings.Contains(line, "_test.go:") && !strings.Contains(line, "server log:") && !strings.Contains(line, "retrying") {
			first = line
		}
	}
	if len(first) > 160 {
		first = first[:160] + "..."
	}
	return first
}

// readAllow reads a list of tests that may fail: one "TestName # reason" a
// line. A line without a reason, or one that names no test of the run, is an
// error: a list nobody can explain hides regressions.
func readAllow(name string, tests map[string]bool) (map[string]string, error) {
	b, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	may := make(map[string]string)
	for i, line := range strings.Split(string(b), "\n") {
		test, reason, _ := strings.Cut(line, "#")
		test, reason = strings.TrimSpace(test), strings.TrimSpace(reason)
		switch {
		case test == "":
		case reason == "":
			return nil, fmt.Errorf("%s:%d: %s has no reason", name, i+1, test)
		case !tests[test]:
			return nil, fmt.Errorf("%s:%d: the suite has no test %s", name, i+1, test)
		default:
			may[test] = reason
		}
	}
	return may, nil
}

// allowed reports whether every failure is one of those that may be.
func (rep *report) allowed(w io.Writer, may map[string]string) bool {
	unexpected := 0
	for _, t := range rep.Tests {
		_, ok := may[t.Name]
		switch {
		case t.failed() && !ok:
			fmt.Fprintf(w, "not allowed to fail: %s\n", t.Name)
			unexpected++
		case t.Status == "pass" && ok:
			fmt.Fprintf(w, "allowed to fail, but passed: %s\n", t.Name)
		}
	}
	fmt.Fprintf(w, "\n%d passed, %d failed (and %d allowed to fail)\n", rep.Passed, unexpected, rep.Failed-unexpected)
	return unexpected == 0
}
