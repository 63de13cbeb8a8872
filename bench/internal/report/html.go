package report

import (
	"bytes"
	_ "embed"
	"fmt"
	"html/template"
	"os"
)

//go:embed page.html
var pageText string

var page = template.Must(template.New("page").Parse(pageText))

// pageData is what the page's template sees.
type pageData struct {
	*Report
	First, Total int
	Losses       []Loss
	Failed       []Cell
	OverviewHead string
	Measured     []Server
	Rows         []pageRow
	Panels       []panel
	Legend       string
	LegendKeys   []key
}

type pageRow struct {
	overviewRow
	Styled []styledCell
}

// styledCell is an overview cell with its shade.
type styledCell struct {
	Text, Class string
}

// key names the colour of a server.
type key struct{ Title, Class string }

// panel is one scenario on the page.
type panel struct {
	Scenario
	Charts  []template.HTML
	Failed  []Cell
	Skipped []string
	Columns []string
	Rows    [][]string
}

// WriteHTML writes the report as one page that needs nothing else.
func (r *Report) WriteHTML(name string) error {
	var b bytes.Buffer
	if err := page.Execute(&b, r.page()); err != nil {
		return err
	}
	return os.WriteFile(name, b.Bytes(), 0o644)
}

func (r *Report) page() pageData {
	d := pageData{Report: r, Failed: r.Failures(), Measured: r.measured(),
		OverviewHead: overviewTitle(r.Server(r.Baseline).Title), Legend: legend(r.Server(r.Baseline).Title)}
	d.First, d.Total, d.Losses = r.Standings()
	for _, row := range r.overview() {
		pr := pageRow{overviewRow: row}
		for _, c := range row.Cells {
			pr.Styled = append(pr.Styled, styledCell{Text: c.Text, Class: shade(c)})
		}
		d.Rows = append(d.Rows, pr)
	}
	for _, s := range r.measured() {
		d.LegendKeys = append(d.LegendKeys, key{s.Title, class(s)})
	}
	for _, sc := range r.Scenarios {
		d.Panels = append(d.Panels, r.panel(sc))
	}
	return d
}

// shade colours an overview cell by its ratio.
func shade(c overviewCell) string {
	class := "same"
	switch {
	case c.Text == "failed":
		return "failed"
	case c.Ratio == 0:
		class = "none"
	case c.Ratio < 0.5:
		class = "best2"
	case c.Ratio < 0.9:
		class = "best1"
	case c.Ratio > 2:
		class = "worst2"
	case c.Ratio > 1.1:
		class = "worst1"
	}
	if c.Best {
		class += " first"
	}
	return class
}

// class is the CSS class that colours a server.
func class(s Server) string { return "c-" + s.Name }

func (r *Report) panel(sc Scenario) panel {
	p := panel{Scenario: sc, Columns: []string{"server"}}
	metrics := Shown(sc.Kind)
	for _, m := range metrics {
		p.Columns = append(p.Columns, fmt.Sprintf("%s, %s", m.Title, m.Unit), "×")
	}
	var lines []line
	for _, s := range r.measured() {
		c := r.Cell(sc.Name, s.Name)
		if c == nil || c.Skipped != "" {
			if c != nil {
				p.Skipped = append(p.Skipped, s.Title+": "+c.Skipped)
			}
			continue
		}
		if c.Failed != "" {
			p.Failed = append(p.Failed, *c)
		}
		row := []string{s.Title}
		for _, m := range metrics {
			v := m.Spread(c)
			text := v.String() + c.note(m)
			if c.Failed != "" {
				text = "failed"
			}
			row = append(row, text, ratio(v, m.Spread(r.Cell(sc.Name, r.Baseline))))
		}
		p.Rows = append(p.Rows, row)
		lines = append(lines, line{label: s.Title, class: class(s), points: c.Curve})
	}
	for _, m := range charted(sc.Kind) {
		if chart := r.chart(sc, m); chart != "" {
			p.Charts = append(p.Charts, chart)
		}
	}
	if chart := latencyChart("Latency by percentile", lines); chart != "" {
		p.Charts = append(p.Charts, chart)
	}
	return p
}

// charted are the metrics that get a bar chart.
func charted(kind string) []Metric {
	switch kind {
	case "idle":
		return []Metric{PerConn, RSS}
	case "paced":
		return []Metric{P99, P999, CPU}
	}
	return []Metric{Throughput, CPU, RSS}
}

// chart draws a metric of a scenario for all servers in it, "" if it is known of
// none.
func (r *Report) chart(sc Scenario, m Metric) template.HTML {
	var bars []bar
	any := false
	for _, s := range r.measured() {
		c := r.Cell(sc.Name, s.Name)
		if c == nil || c.Skipped != "" {
			continue
		}
		b := bar{label: s.Title, class: class(s), value: m.Spread(c)}
		if b.value.Known() {
			any = true
			b.text = number(b.value.Median) + c.note(m)
		} else {
			b.absent = c.why()
		}
		bars = append(bars, b)
	}
	if !any {
		return ""
	}
	better := "less is better"
	if m.Higher {
		better = "more is better"
	}
	return barChart(fmt.Sprintf("%s, %s (%s)", m.Title, m.Unit, better), bars)
}
