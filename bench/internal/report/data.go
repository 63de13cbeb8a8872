// Package report keeps what a run measured and presents it: as JSON, as a
// Markdown table, as a page with plots, and compared with an earlier run.
package report

import (
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"time"
)

// Schema is the version of the JSON form.
const Schema = 1

// Report is everything about one run.
type Report struct {
	Schema    int        `json:"schema"`
	Started   time.Time  `json:"started"`
	Seconds   float64    `json:"seconds"` // length of the run
	Command   string     `json:"command"`
	Commit    string     `json:"commit"` // of Windhover; "+changes" when the tree was not clean
	Machine   Machine    `json:"machine"`
	Settings  Settings   `json:"settings"`
	Baseline  string     `json:"baseline"` // the server that ratios refer to
	Servers   []Server   `json:"servers"`
	Scenarios []Scenario `json:"scenarios"`
	Cells     []Cell     `json:"cells"`
	Notes     []string   `json:"notes,omitempty"` // what was not measured as asked
}

// Machine is where the run took place.
type Machine struct {
	OS     string `json:"os"`
	Arch   string `json:"arch"`
	Kernel string `json:"kernel"`
	CPU    string `json:"cpu"`
	CPUs   int    `json:"cpus"`
	Memory int64  `json:"memory"` // bytes
	Go     string `json:"go"`
}

// Settings are how the run was made.
type Settings struct {
	Mode     string  `json:"mode"`     // full, quick or smoke
	Rounds   int     `json:"rounds"`   // at most
	Warmup   float64 `json:"warmup"`   // seconds before each measurement
	Duration float64 `json:"duration"` // seconds of each measurement, about
	Pinned   bool    `json:"pinned"`   // server and generator on a core each
	Rate     float64 `json:"rate"`     // of paced scenarios, requests/s
	Burn     int64   `json:"burn"`     // rounds of computing that take 5 ms
	Others   float64 `json:"others"`   // processors that other programs used meanwhile
}

// Server is one that was to be measured.
type Server struct {
	Name    string `json:"name"`
	Title   string `json:"title"`
	Kind    string `json:"kind"` // windhover, peer or floor
	Handler string `json:"handler"`
	Version string `json:"version"`
	Command string `json:"command"`
	Absent  string `json:"absent,omitempty"` // why it could not run at all
}

// Scenario is one that was measured.
type Scenario struct {
	Name   string `json:"name"`
	Title  string `json:"title"`
	About  string `json:"about"`
	Kind   string `json:"kind"` // saturate, paced or idle
	Conns  int    `json:"conns"`
	Rounds int    `json:"rounds"`
	// Window is the length of each measurement in seconds.
	Window float64 `json:"window"`
}

// Cell is one server in one scenario. One of Failed, Skipped and Samples is
// set: a scenario with errors has no numbers.
type Cell struct {
	Scenario string   `json:"scenario"`
	Server   string   `json:"server"`
	Failed   string   `json:"failed,omitempty"`
	Skipped  string   `json:"skipped,omitempty"`
	Samples  []Sample `json:"samples,omitempty"` // one per round
	// Curve is the latency at growing percentiles over all rounds.
	Curve []Point `json:"curve,omitempty"`
}

// Point is the latency that a share of the requests did not exceed.
type Point struct {
	Percentile float64 `json:"p"`
	Micros     float64 `json:"us"`
}

// Sample is one round's measurement. A field is 0 where it could not be
// measured.
type Sample struct {
	Requests   float64 `json:"requests"`
	Seconds    float64 `json:"seconds"`
	Rate       float64 `json:"rps"`        // requests per second
	CPU        float64 `json:"cpu"`        // server: µs of processor time per request
	User       float64 `json:"cpu_user"`   // of which in the server's own code
	System     float64 `json:"cpu_system"` // of which in the kernel
	Cores      float64 `json:"cores"`      // server: processors in use
	Generator  float64 `json:"generator"`  // load generator: processors in use
	P50        float64 `json:"p50"`        // latency in µs
	P90        float64 `json:"p90"`
	P99        float64 `json:"p99"`
	P999       float64 `json:"p999"`
	Max        float64 `json:"max"`
	RSS        int64   `json:"rss"`                // server, bytes, at the end
	PerConn    float64 `json:"per_conn,omitempty"` // idle: bytes of RSS per connection
	IdleConns  int     `json:"idle_conns,omitempty"`
	Saturating bool    `json:"saturating,omitempty"` // the server used all it could have
}

// Cell returns the cell of a scenario and a server, nil if it was not planned.
func (r *Report) Cell(scenario, server string) *Cell {
	i := slices.IndexFunc(r.Cells, func(c Cell) bool { return c.Scenario == scenario && c.Server == server })
	if i < 0 {
		return nil
	}
	return &r.Cells[i]
}

// Server returns the server of that name.
func (r *Report) Server(name string) Server {
	for _, s := range r.Servers {
		if s.Name == name {
			return s
		}
	}
	return Server{Name: name, Title: name}
}

// Failures lists the cells that failed.
func (r *Report) Failures() []Cell {
	var list []Cell
	for _, c := range r.Cells {
		if c.Failed != "" {
			list = append(list, c)
		}
	}
	return list
}

// WriteJSON writes the report to a file.
func (r *Report) WriteJSON(name string) error {
	b, err := json.MarshalIndent(r, "", " ")
	if err != nil {
		return err
	}
	return os.WriteFile(name, append(b, '\n'), 0o644)
}

// ReadJSON reads a report that WriteJSON wrote.
func ReadJSON(name string) (*Report, error) {
	b, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	r := new(Report)
	if err := json.Unmarshal(b, r); err != nil {
		return nil, fmt.Errorf("%s is no report of this program: %w", name, err)
	}
	if r.Schema != Schema {
		return nil, fmt.Errorf("%s has schema %d, this program reads %d: measure again", name, r.Schema, Schema)
	}
	return r, nil
}
