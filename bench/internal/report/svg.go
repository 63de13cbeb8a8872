package report

import (
	"fmt"
	"html"
	"html/template"
	"math"
	"strings"
)

// bar is one bar of a chart.
type bar struct {
	label  string
	class  string // colour
	value  Spread
	text   string
	absent string // instead of a bar
}

// The geometry of bar charts, in pixels.
const (
	barWidth  = 560
	barLabel  = 218
	barText   = 84
	barHeight = 18
	barGap    = 6
)

// barChart draws horizontal bars with the spread of the rounds as a whisker.
func barChart(title string, bars []bar) template.HTML {
	var top float64
	for _, b := range bars {
		top = max(top, b.value.Max)
	}
	h := 24 + len(bars)*(barHeight+barGap)
	var s strings.Builder
	fmt.Fprintf(&s, `<svg viewBox="0 0 %d %d" role="img" aria-label="%s">`, barWidth, h, html.EscapeString(title))
	fmt.Fprintf(&s, `<text class="title" x="0" y="13">%s</text>`, html.EscapeString(title))
	room := float64(barWidth - barLabel - barText)
	for i, b := range bars {
		y := 24 + i*(barHeight+barGap)
		mid := float64(y) + barHeight/2.0
		fmt.Fprintf(&s, `<text class="label" x="%d" y="%.1f">%s</text>`, barLabel-8, mid+4, html.EscapeString(b.label))
		if b.absent != "" || top == 0 {
			fmt.Fprintf(&s, `<text class="absent" x="%d" y="%.1f">%s</text>`, barLabel+4, mid+4, html.EscapeString(b.absent))
			continue
		}
		x := func(v float64) float64 { return barLabel + room*v/top }
		fmt.Fprintf(&s, `<rect class="%s" x="%d" y="%d" width="%.1f" height="%d" rx="2"><title>%s: %s</title></rect>`,
			b.class, barLabel, y, max(x(b.value.Median)-barLabel, 1), barHeight, html.EscapeString(b.label), html.EscapeString(b.value.String()))
		if b.value.Max > b.value.Min {
			fmt.Fprintf(&s, `<path class="whisker" d="M%.1f %.1fH%.1fM%[1]f %.1[4]fv6M%.1[3]f %.1[4]fv6"/>`,
				x(b.value.Min), mid, x(b.value.Max), mid-3)
		}
		fmt.Fprintf(&s, `<text class="value" x="%.1f" y="%.1f">%s</text>`, x(b.value.Max)+6, mid+4, html.EscapeString(b.text))
	}
	s.WriteString("</svg>")
	return template.HTML(s.String()) // every text in it is escaped above
}

// line is one curve of a latency chart.
type line struct {
	label  string
	class  string
	points []Point
}

// The geometry of latency charts.
const (
	lineWidth  = 560
	lineHeight = 300
	lineLeft   = 56
	lineBottom = 34
	lineTop    = 24
)

// nines is the place of a percentile on an axis where 90, 99 and 99.9 are as
// far from each other.
func nines(p float64) float64 { return -math.Log10(max(1-p/100, 1e-9)) }

// latencyChart draws latency over percentile, both axes logarithmic.
func latencyChart(title string, lines []line) template.HTML {
	low, high, right := math.Inf(1), 0.0, 1.0
	for _, l := range lines {
		for _, p := range l.points {
			if p.Percentile < 100 {
				low, high, right = min(low, p.Micros), max(high, p.Micros), max(right, nines(p.Percentile))
			}
		}
	}
	if high == 0 {
		return ""
	}
	low, high = math.Floor(math.Log10(max(low, 1))), math.Ceil(math.Log10(max(high, 10))+1e-9)
	x := func(p float64) float64 { return lineLeft + (lineWidth-lineLeft-16)*nines(p)/right }
	y := func(us float64) float64 {
		return lineTop + (lineHeight-lineTop-lineBottom)*(high-math.Log10(max(us, 1)))/(high-low)
	}
	var s strings.Builder
	fmt.Fprintf(&s, `<svg viewBox="0 0 %d %d" role="img" aria-label="%s">`, lineWidth, lineHeight, html.EscapeString(title))
	fmt.Fprintf(&s, `<text class="title" x="0" y="13">%s</text>`, html.EscapeString(title))
	for d := low; d <= high; d++ {
		us := math.Pow(10, d)
		fmt.Fprintf(&s, `<path class="grid" d="M%d %.1fH%d"/><text class="tick" x="%d" y="%.1f">%s</text>`,
			lineLeft, y(us), lineWidth-16, lineLeft-6, y(us)+4, duration(us))
	}
	for n := 0; float64(n) <= right; n++ {
		p := 100 - 100*math.Pow(10, -float64(n))
		fmt.Fprintf(&s, `<path class="grid" d="M%.1f %dV%d"/><text class="ptick" x="%.1f" y="%d">%s %%</text>`,
			x(p), lineTop, lineHeight-lineBottom, x(p), lineHeight-lineBottom+16, trim(p))
	}
	for _, l := range lines {
		var d strings.Builder
		for _, p := range l.points {
			if p.Percentile < 100 {
				fmt.Fprintf(&d, "%s%.1f %.1f", map[bool]string{true: "M", false: "L"}[d.Len() == 0], x(p.Percentile), y(p.Micros))
			}
		}
		fmt.Fprintf(&s, `<path class="curve %s" d="%s"><title>%s</title></path>`, l.class, d.String(), html.EscapeString(l.label))
	}
	s.WriteString("</svg>")
	return template.HTML(s.String()) // every text in it is escaped above
}

// duration names a power of ten of microseconds.
func duration(us float64) string {
	switch {
	case us < 1e3:
		return fmt.Sprintf("%g µs", us)
	case us < 1e6:
		return fmt.Sprintf("%g ms", us/1e3)
	}
	return fmt.Sprintf("%g s", us/1e6)
}

// trim formats a percentile such as 99.9 without rounding it to 100.
func trim(p float64) string {
	return strings.TrimRight(strings.TrimRight(fmt.Sprintf("%.6f", p), "0"), ".")
}
