package main

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// A File is one cases/*.json file. The format is described in README.md.
type File struct {
	Area  string  `json:"area"`
	About string  `json:"about"`
	Cases []*Case `json:"cases"`
}

// A Case is one connection: some steps, then a check of the connection's state.
type Case struct {
	ID       string   `json:"id"`
	Area     string   `json:"area"`
	Ref      string   `json:"ref"`
	Severity string   `json:"severity"`
	Why      string   `json:"why"`
	Tags     []string `json:"tags"`
	Slow     bool     `json:"slow"`
	Split    string   `json:"split"`
	Steps    []*Step  `json:"steps"`
	End      string   `json:"end"`
	Never    []string `json:"never"`
}

// A Step optionally waits, optionally sends, and then checks what comes back.
type Step struct {
	WaitMS    Duration `json:"wait_ms"`
	Send      Payload  `json:"send"`
	SplitAt   []int    `json:"split_at"`
	Every     int      `json:"every"`
	PauseMS   int      `json:"pause_ms"`
	HalfClose bool     `json:"half_close"`

	SilenceMS Duration `json:"silence_ms"`
	Expect    []*Resp  `json:"expect"`
	Reject    *Reject  `json:"reject"`
	Raw       Payload  `json:"raw"`
	RawUntil  string   `json:"raw_until"`
	Closed    bool     `json:"closed"`

	TimeoutMS Duration `json:"timeout_ms"`
	MinMS     Duration `json:"min_ms"`
}

// A Resp describes one expected response.
type Resp struct {
	AnyOf  []*Resp   `json:"any_of"`
	Closed bool      `json:"closed"`
	Status StatusSet `json:"status"`
	Prefer StatusSet `json:"prefer"`
	Final  bool      `json:"final"`
	Times  int       `json:"times"`

	To         string             `json:"to"`
	Interim    *[]int             `json:"interim"`
	Version    string             `json:"version"`
	Headers    map[string]*string `json:"headers"`
	Framing    string             `json:"framing"`
	Body       *Payload           `json:"body"`
	BodyRE     string             `json:"body_re"`
	BodyLen    *int               `json:"body_len"`
	BodyPrefix *Payload           `json:"body_prefix"`
	JSON       map[string]any     `json:"json"`
	Trailers   map[string]*string `json:"trailers"`
	Cut        bool               `json:"cut"`
}

// Reject is the list of statuses a strict server is expected to answer with.
// Any status of rejectClass, or closing without an answer, also passes, but a
// status outside the list is noted as a remark.
type Reject struct{ Prefer StatusSet }

func (r *Reject) UnmarshalJSON(b []byte) error { return json.Unmarshal(b, &r.Prefer) }

// rejectClass holds the statuses by which a server may refuse a message. 403,
// 404 and 405 are absent on purpose: they mean that the message was accepted
// and routed.
var rejectClass = map[int]bool{400: true, 408: true, 411: true, 413: true, 414: true, 422: true,
	417: true, 421: true, 431: true, 501: true, 505: true}

// StatusSet is a set of status codes: a number, a class such as "4xx", or a
// list of these.
type StatusSet []string

func (s *StatusSet) UnmarshalJSON(b []byte) error {
	var one any
	if err := json.Unmarshal(b, &one); err != nil {
		return err
	}
	list, ok := one.([]any)
	if !ok {
		list = []any{one}
	}
	for _, v := range list {
		switch v := v.(type) {
		case float64:
			*s = append(*s, strconv.Itoa(int(v)))
		case string:
			if !regexp.MustCompile(`^[1-5]xx$`).MatchString(v) {
				return fmt.Errorf("bad status class %q", v)
			}
			*s = append(*s, v)
		default:
			return fmt.Errorf("bad status %v", v)
		}
	}
	return nil
}

func (s StatusSet) has(code int) bool {
	c := strconv.Itoa(code)
	for _, v := range s {
		if v == c || (strings.HasSuffix(v, "xx") && v[0] == c[0]) {
			return true
		}
	}
	return false
}

// Duration is a number of milliseconds, or an expression over the timeouts the
// server was configured with: "keepalive+1500", "headers-500".
type Duration struct {
	base string
	ms   int
}

var durRE = regexp.MustCompile(`^(keepalive|headers)([+-]\d+)?$`)

func (d *Duration) UnmarshalJSON(b []byte) error {
	if len(b) > 0 && b[0] != '"' {
		return json.Unmarshal(b, &d.ms)
	}
	var s string
	if err := json.Unmarshal(b, &s); err != nil {
		return err
	}
	m := durRE.FindStringSubmatch(s)
	if m == nil {
		return fmt.Errorf("bad duration %q", s)
	}
	d.base = m[1]
	if m[2] != "" {
		d.ms, _ = strconv.Atoi(m[2])
	}
	return nil
}

func (d Duration) zero() bool { return d.base == "" && d.ms == 0 }

func (d Duration) value(cfg *config) time.Duration {
	v := time.Duration(d.ms) * time.Millisecond
	switch d.base {
	case "keepalive":
		v += cfg.keepAlive
	case "headers":
		v += cfg.headersTimeout
	}
	return v
}

// Payload is a list of byte pieces. In JSON it is a string, or an array of
// strings and objects:
//
//	"GET / HTTP/1.1\r\n"           text; \xHH inside it stands for one byte
//	{"repeat": "ab", "count": 3}   ababab; {i} inside it is the repetition's number;
//	                               what is repeated may itself be such an array
//	{"hex": "0d0a"}                bytes
//	{"pause_ms": 20}               stop sending for a while
type Payload []piece

type piece struct {
	data  []byte
	pause time.Duration
}

func (p *Payload) UnmarshalJSON(b []byte) error {
	var items []json.RawMessage
	if len(b) > 0 && b[0] == '[' {
		if err := json.Unmarshal(b, &items); err != nil {
			return err
		}
	} else {
		items = []json.RawMessage{b}
	}
	out := Payload{}
	for _, it := range items {
		if len(it) > 0 && it[0] == '"' {
			var s string
			if err := json.Unmarshal(it, &s); err != nil {
				return err
			}
			data, err := unescape(s)
			if err != nil {
				return err
			}
			out = append(out, piece{data: data})
			continue
		}
		var o struct {
			Repeat  *Payload `json:"repeat"`
			Count   int      `json:"count"`
			Hex     string   `json:"hex"`
			PauseMS int      `json:"pause_ms"`
		}
		dec := json.NewDecoder(bytes.NewReader(it))
		dec.DisallowUnknownFields()
		if err := dec.Decode(&o); err != nil {
			return err
		}
		switch {
		case o.Repeat != nil:
			if o.Count <= 0 || o.Count > 64<<20 {
				return fmt.Errorf("repeat: bad count %d", o.Count)
			}
			data := o.Repeat.bytes()
			if bytes.Contains(data, []byte("{i}")) {
				var buf bytes.Buffer
				for i := 0; i < o.Count; i++ {
					buf.Write(bytes.ReplaceAll(data, []byte("{i}"), []byte(strconv.Itoa(i))))
				}
				out = append(out, piece{data: buf.Bytes()})
			} else {
				out = append(out, piece{data: bytes.Repeat(data, o.Count)})
			}
		case o.Hex != "":
			data, err := hex.DecodeString(o.Hex)
			if err != nil {
				return err
			}
			out = append(out, piece{data: data})
		case o.PauseMS > 0:
			out = append(out, piece{pause: time.Duration(o.PauseMS) * time.Millisecond})
		default:
			return fmt.Errorf("bad payload item %s", it)
		}
	}
	*p = out
	return nil
}

func (p Payload) bytes() []byte {
	if len(p) == 1 {
		return p[0].data
	}
	var b []byte
	for _, x := range p {
		b = append(b, x.data...)
	}
	return b
}

// unescape replaces \xHH by a byte and \\ by a backslash. (The JSON decoder has
// already dealt with \r, \n and its other escapes.)
func unescape(s string) ([]byte, error) {
	if !strings.ContainsRune(s, '\\') {
		return []byte(s), nil
	}
	out := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		if s[i] != '\\' {
			out = append(out, s[i])
			continue
		}
		if i+1 < len(s) && s[i+1] == '\\' {
			out = append(out, '\\')
			i++
			continue
		}
		if i+3 < len(s) && s[i+1] == 'x' {
			v, err := strconv.ParseUint(s[i+2:i+4], 16, 8)
			if err == nil {
				out = append(out, byte(v))
				i += 3
				continue
			}
		}
		return nil, fmt.Errorf("bad escape in %q", s)
	}
	return out, nil
}

func (c *Case) validate() error {
	if c.ID == "" || c.Area == "" || c.Ref == "" || c.Why == "" {
		return fmt.Errorf("id, area, ref and why are required")
	}
	if c.Severity != "must" && c.Severity != "should" {
		return fmt.Errorf("severity must be must or should, not %q", c.Severity)
	}
	switch c.Split {
	case "", "skip", "loose":
	default:
		return fmt.Errorf("split: %q", c.Split)
	}
	switch c.End {
	case "", "open", "closed", "insync", "any":
	default:
		return fmt.Errorf("end: %q", c.End)
	}
	if len(c.Steps) == 0 {
		return fmt.Errorf("no steps")
	}
	terminal := false
	for i, s := range c.Steps {
		n := 0
		if len(s.Expect) > 0 {
			n++
		}
		if s.Reject != nil {
			n++
		}
		if s.Closed {
			n++
		}
		if s.Raw != nil {
			n++
		}
		if s.RawUntil != "" {
			n++
		}
		if n > 1 {
			return fmt.Errorf("step %d: more than one of expect, reject, closed, raw, raw_until", i)
		}
		if terminal {
			return fmt.Errorf("step %d comes after a step that ends the connection", i)
		}
		terminal = s.Reject != nil || s.Closed
		var all []*Resp
		for _, r := range s.Expect {
			if err := r.validate(); err != nil {
				return fmt.Errorf("step %d: %v", i, err)
			}
			for k := 0; k < max(1, r.Times); k++ {
				all = append(all, r)
			}
		}
		s.Expect = all
	}
	if terminal != (c.End == "") {
		return fmt.Errorf("end is required unless the last step says reject or closed (and then forbidden)")
	}
	return nil
}

func (r *Resp) validate() error {
	if len(r.AnyOf) > 0 {
		for _, a := range r.AnyOf {
			if len(a.AnyOf) > 0 {
				return fmt.Errorf("nested any_of")
			}
			if err := a.validate(); err != nil {
				return err
			}
		}
		return nil
	}
	if !r.Closed && len(r.Status) == 0 {
		return fmt.Errorf("response without status")
	}
	if r.BodyRE != "" {
		if _, err := regexp.Compile(r.BodyRE); err != nil {
			return err
		}
	}
	for _, m := range []map[string]*string{r.Headers, r.Trailers} {
		for k, v := range m {
			if v != nil && strings.HasPrefix(*v, "~") {
				if _, err := regexp.Compile((*v)[1:]); err != nil {
					return fmt.Errorf("%s: %v", k, err)
				}
			}
		}
	}
	switch r.Framing {
	case "", "length", "chunked", "close", "none":
	default:
		return fmt.Errorf("framing: %q", r.Framing)
	}
	return nil
}
