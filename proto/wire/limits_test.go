package wire

import (
	"strings"
	"testing"
)

func TestRequestLineLimit(t *testing.T) {
	const line = "GET / HTTP/1.1\r\n"
	const rest = "Host: a\r\n\r\n"
	for limit, want := range map[int]string{
		len(line):     "ok",
		len(line) + 1: "ok",
		len(line) - 1: "request-line-too-long",
		1:             "request-line-too-long",
		-1:            "ok",
		0:             "ok",
	} {
		wantVerdict(t, &Limits{RequestLine: limit}, line+rest, want)
		wantVerdict(t, &Limits{RequestLine: limit}, "\r\n"+line+rest, want)
	}
	exact := "GET /" + strings.Repeat("a", defaultRequestLine-16) + " HTTP/1.1\r\n"
	wantVerdict(t, nil, exact+rest, "ok")
	wantVerdict(t, nil, "X"+exact+rest, "request-line-too-long")
}

// TestLimitsDoNotWaitForTheEnd: what exceeds a limit is refused at the limit,
// neither later nor earlier.
func TestLimitsDoNotWaitForTheEnd(t *testing.T) {
	for _, test := range []struct {
		name, start, repeat string
		most                int // bytes accepted before the reason is given
		want                string
	}{
		{"target", "GET /", "a", defaultRequestLine, "request-line-too-long"},
		{"method", "", "A", defaultRequestLine, "request-line-too-long"},
		{"version", "GET / ", "H", defaultRequestLine, "request-line-too-long"},
		{"value", "GET / HTTP/1.1\r\nX: ", "a", 16 + defaultFieldSection, "field-section-too-large"},
		{"name", "GET / HTTP/1.1\r\n", "n", 16 + defaultFieldSection, "field-section-too-large"},
		{"blanks", "GET / HTTP/1.1\r\nX:", " ", 16 + defaultFieldSection, "field-section-too-large"},
		{"fields", "GET / HTTP/1.1\r\n", "X: y\r\n", 16 + 100*6 + 1, "too-many-fields"},
	} {
		in := []byte(test.start + strings.Repeat(test.repeat, 40000))
		if got := verdict(play(nil, in[:test.most-1])); got != "incomplete-head" {
			t.Errorf("%s: %s before the limit", test.name, got)
		}
		if got := verdict(play(nil, in[:test.most])); got != test.want {
			t.Errorf("%s: %s at the limit, want %s", test.name, got, test.want)
		}
		if got := verdict(play(nil, in, everyByte(test.most)...)); got != test.want {
			t.Errorf("%s: byte by byte %s, want %s", test.name, got, test.want)
		}
	}
}

func TestFieldSectionLimit(t *testing.T) {
	const line = "GET / HTTP/1.1\r\n"
	const fields = "Host: a\r\nX: y\r\n"
	for limit, want := range map[int]string{
		len(fields):     "ok",
		len(fields) + 1: "ok",
		len(fields) - 1: "field-section-too-large",
		len(fields) - 2: "field-section-too-large",
		9:               "field-section-too-large",
		1:               "field-section-too-large",
		-1:              "ok",
		0:               "ok",
	} {
		wantVerdict(t, &Limits{FieldSection: limit}, line+fields+"\r\n", want)
	}
	// The empty line is free, whether it comes with the rest or alone; what
	// is not the empty line is not.
	l := &Limits{FieldSection: len(fields)}
	wantVerdict(t, l, line+fields+"\r\n\r\n", "ok")
	wantVerdict(t, l, line+fields+"Y", "field-section-too-large")
	wantVerdict(t, l, line+fields+"\rY", "invalid-line-end")
	wantVerdict(t, l, line+fields, "incomplete-head")
	wantVerdict(t, l, line+fields+"\r", "incomplete-head")
	exact := "Host: a\r\nX: " + strings.Repeat("a", defaultFieldSection-14) + "\r\n"
	wantVerdict(t, nil, line+exact+"\r\n", "ok")
	wantVerdict(t, nil, line+"Y"+exact+"\r\n", "field-section-too-large")
}

func TestFieldCountLimit(t *testing.T) {
	const line = "GET / HTTP/1.1\r\nHost: a\r\n"
	for limit, want := range map[int]string{1: "too-many-fields", 2: "too-many-fields", 3: "ok", 4: "ok", -1: "ok", 0: "ok"} {
		wantVerdict(t, &Limits{Fields: limit}, line+"X: y\r\nX: z\r\n\r\n", want)
	}
	wantVerdict(t, nil, line+strings.Repeat("X: y\r\n", 99)+"\r\n", "ok")
	wantVerdict(t, nil, line+strings.Repeat("X: y\r\n", 100)+"\r\n", "too-many-fields")
	wantVerdict(t, &Limits{Fields: -1}, line+strings.Repeat("X: y\r\n", 1000)+"\r\n", "ok")
}

// TestTrailersShareTheLimitsOfTheHead: as in Kestrel, a trailer section has what
// the head has left of its limits.
func TestTrailersShareTheLimitsOfTheHead(t *testing.T) {
	const line = "POST / HTTP/1.1\r\n"
	const fields = "Host: a\r\nTransfer-Encoding: chunked\r\n"
	const chunks = "1\r\nz\r\n0\r\n"
	const trailers = "X: y\r\nZ: z\r\n"
	all := len(fields) + len(trailers)
	for limit, want := range map[int]string{
		all:         "ok",
		all - 1:     "field-section-too-large",
		len(fields): "field-section-too-large",
	} {
		wantVerdict(t, &Limits{FieldSection: limit}, line+fields+"\r\n"+chunks+trailers+"\r\n", want)
		wantVerdict(t, &Limits{FieldSection: limit}, line+fields+"\r\n"+chunks+"\r\n", "ok")
	}
	for limit, want := range map[int]string{4: "ok", 3: "too-many-fields", 2: "too-many-fields"} {
		wantVerdict(t, &Limits{Fields: limit}, line+fields+"\r\n"+chunks+trailers+"\r\n", want)
		wantVerdict(t, &Limits{Fields: limit}, line+fields+"\r\n"+chunks+"\r\n", "ok")
	}
	// Every request has its own.
	request := line + fields + "\r\n" + chunks + trailers + "\r\n"
	wantVerdict(t, &Limits{FieldSection: all, Fields: 4}, request+request+request, "ok")
	// An endless trailer section is refused at the limit.
	endless := line + fields + "\r\n" + chunks + "X: " + strings.Repeat("a", defaultFieldSection)
	if got := verdict(play(nil, []byte(endless))); got != "field-section-too-large" {
		t.Error(got)
	}
}
