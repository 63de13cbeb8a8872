package wire

import (
	"encoding/hex"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestConformanceCases plays the requests of the wire-level conformance cases
// that need no more than a parser: what a case wants refused fails here with
// one of the statuses it prefers, what it wants served does not fail.
func TestConformanceCases(t *testing.T) {
	files, _ := filepath.Glob("../../internal/conformance/cases/*.json")
	if len(files) == 0 {
		t.Skip("internal/conformance/cases is not there")
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var area struct {
			Area  string
			Cases []conformanceCase
		}
		if err := json.Unmarshal(text, &area); err != nil {
			t.Fatal(file, err)
		}
		for i := range area.Cases {
			c := &area.Cases[i]
			if slices.Contains(c.Tags, "parser") {
				t.Run(area.Area+"/"+c.ID, c.run)
			}
		}
	}
}

type conformanceCase struct {
	ID, Severity string
	Tags         []string
	Steps        []struct {
		Send      json.RawMessage
		HalfClose bool `json:"half_close"`
		Expect    []struct {
			Status any
			AnyOf  []struct{ Status any } `json:"any_of"`
		}
		Reject []int
		Raw    json.RawMessage
	}
}

func (c *conformanceCase) run(t *testing.T) {
	p := newPlayer(nil)
	for i, step := range c.Steps {
		p.feed(casePayload(t, step.Send))
		status := 200
		if err := p.c.Err(); err != nil {
			status = err.Status()
		} else if step.HalfClose && p.c.EOF() != nil {
			status = p.c.EOF().Status()
		}
		switch {
		case step.Reject != nil:
			// 413 for a length is given when the content is read.
			if !slices.Contains(step.Reject, status) && !slices.Equal(step.Reject, []int{413}) {
				t.Errorf("got %d, want one of %v\n%s", status, step.Reject, p.finish())
			}
		case len(step.Expect) > 0:
			if i+1 < len(c.Steps) && c.Steps[i+1].Reject != nil && c.Steps[i+1].Send == nil {
				continue // what was sent ends with what the next step wants refused
			}
			last := step.Expect[len(step.Expect)-1]
			statuses := caseStatuses(last.Status)
			for _, any := range last.AnyOf {
				statuses = append(statuses, caseStatuses(any.Status)...)
			}
			if status == 200 != slices.ContainsFunc(statuses, func(s int) bool { return s < 400 || s == 404 || s == 426 }) &&
				!slices.Contains(statuses, status) {
				t.Errorf("got %d, want one of %v\n%s", status, statuses, p.finish())
			}
		}
		if step.Raw != nil || p.failed {
			return
		}
	}
}

func caseStatuses(v any) (all []int) {
	switch v := v.(type) {
	case float64:
		return []int{int(v)}
	case []any:
		for _, s := range v {
			all = append(all, caseStatuses(s)...)
		}
	}
	return all
}

// casePayload expands a payload of the case format.
func casePayload(t *testing.T, text json.RawMessage) []byte {
	if len(text) == 0 {
		return nil
	}
	var v any
	if err := json.Unmarshal(text, &v); err != nil {
		t.Fatal(err)
	}
	return expandPayload(t, v)
}

func expandPayload(t *testing.T, v any) (out []byte) {
	switch v := v.(type) {
	case string:
		for i := 0; i < len(v); i++ {
			switch {
			case v[i] != '\\':
				out = append(out, v[i])
			case v[i+1] == '\\':
				out = append(out, '\\')
				i++
			default:
				b, err := hex.DecodeString(v[i+2 : i+4])
				if err != nil {
					t.Fatal(err)
				}
				out = append(out, b...)
				i += 3
			}
		}
	case []any:
		for _, part := range v {
			out = append(out, expandPayload(t, part)...)
		}
	case map[string]any:
		if s, ok := v["hex"].(string); ok {
			b, err := hex.DecodeString(s)
			if err != nil {
				t.Fatal(err)
			}
			return b
		}
		if part, ok := v["repeat"]; ok {
			once := string(expandPayload(t, part))
			for i := range int(v["count"].(float64)) {
				out = append(out, strings.ReplaceAll(once, "{i}", string(rune('0'+i%10)))...)
			}
		}
	}
	return out
}
