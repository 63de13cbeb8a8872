package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// server answers every request (or whatever comes up to an empty line) with the
// same bytes, and closes after it if they end in "<close>".
func server(t *testing.T, answer string) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				br := bufio.NewReader(c)
				for {
					closing := false
					for {
						ln, err := br.ReadString('\n')
						if err != nil {
							return
						}
						if strings.HasPrefix(ln, "Connection: close") {
							closing = true
						}
						if ln == "\r\n" {
							break
						}
					}
					out, end := strings.CutSuffix(answer, "<close>")
					io.WriteString(c, out)
					if end || closing {
						return
					}
				}
			}()
		}
	}()
	return ln.Addr().String()
}

const okHello = "HTTP/1.1 200 OK\r\nContent-Length: 12\r\n\r\nHello World!"

func parseCase(t *testing.T, steps, end string) *Case {
	t.Helper()
	c := &Case{ID: "x", Area: "x", Ref: "x", Why: "x", Severity: "must", End: end}
	dec := json.NewDecoder(strings.NewReader(steps))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&c.Steps); err != nil {
		t.Fatalf("%s: %v", steps, err)
	}
	if err := c.validate(); err != nil {
		t.Fatalf("%s: %v", steps, err)
	}
	return c
}

func testConfig(addr string) *config {
	return &config{addr: addr, timeout: 400 * time.Millisecond, keepAlive: 3 * time.Second, headersTimeout: 4 * time.Second}
}

const hello = `[{"send": "GET / HTTP/1.1\r\nHost: a\r\n\r\n", "expect": [{"status": 200, "body": "Hello World!"}]}]`

// Each of these responses is wrong in one way, and the runner has to see it.
func TestDetects(t *testing.T) {
	for _, tt := range []struct{ name, answer, steps, end, want string }{
		{"good", okHello, hello, "open", ""},
		{"good, closed", okHello + "<close>", hello, "closed", ""},
		{"wrong status", "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", hello, "open", "status 404"},
		{"wrong body", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", hello, "open", "body is"},
		{"not closed", okHello, hello, "closed", "did not close"},
		{"closed", okHello + "<close>", hello, "open", "was closed"},
		{"no answer", "", hello, "open", "no response"},
		{"closed without answer", "<close>", hello, "open", "closed without a response"},
		{"bare LF after the status line", "HTTP/1.1 200 OK\nContent-Length: 12\r\n\r\nHello World!", hello, "open", "bare LF"},
		{"bare LF after a field", "HTTP/1.1 200 OK\r\nContent-Length: 12\n\r\nHello World!", hello, "open", "bare LF"},
		{"blank before the colon", "HTTP/1.1 200 OK\r\nContent-Length : 12\r\n\r\nHello World!", hello, "open", "bad header field"},
		{"folded field", "HTTP/1.1 200 OK\r\nX: y\r\n z\r\nContent-Length: 12\r\n\r\nHello World!", hello, "open", "starts with whitespace"},
		{"NUL in a field", "HTTP/1.1 200 OK\r\nX: y\x00\r\nContent-Length: 12\r\n\r\nHello World!", hello, "open", "CR or NUL"},
		{"no space after the status", "HTTP/1.1 200\r\nContent-Length: 12\r\n\r\nHello World!", hello, "open", "bad status line"},
		{"version 2", "HTTP/2.0 200 OK\r\nContent-Length: 12\r\n\r\nHello World!", hello, "open", "bad status line"},
		{"HTTP/0.9", "Hello World!<close>", hello, "any", "status line"},
		{"two lengths", "HTTP/1.1 200 OK\r\nContent-Length: 12\r\nContent-Length: 12\r\n\r\nHello World!", hello, "open", "2 Content-Length"},
		{"bad length", "HTTP/1.1 200 OK\r\nContent-Length: +12\r\n\r\nHello World!", hello, "open", "bad Content-Length"},
		{"both framings", "HTTP/1.1 200 OK\r\nContent-Length: 12\r\nTransfer-Encoding: chunked\r\n\r\nc\r\nHello World!\r\n0\r\n\r\n", hello, "open", "both Content-Length and Transfer-Encoding"},
		{"body too short", "HTTP/1.1 200 OK\r\nContent-Length: 13\r\n\r\nHello World!", hello, "open", "incomplete"},
		{"body cut", "HTTP/1.1 200 OK\r\nContent-Length: 13\r\n\r\nHello World!<close>", hello, "open", "closed inside the body"},
		{"body too long", okHello + "!", hello, "open", "extra bytes"},
		{"two responses", okHello + okHello, hello, "open", "extra bytes"},
		{"two responses, any", okHello + okHello, hello, "any", "extra bytes"},
		{"extra bytes before the close", okHello + "x<close>", hello, "closed", "extra bytes"},
		{"chunked", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nHello\r\n7\r\n World!\r\n0\r\n\r\n", hello, "open", ""},
		{"chunk with 0x", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0xc\r\nHello World!\r\n0\r\n\r\n", hello, "open", "bad chunk size"},
		{"chunk end", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nb\r\nHello World!\r\n0\r\n\r\n", hello, "open", "not followed by CRLF"},
		{"no last chunk", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nc\r\nHello World!\r\n<close>", hello, "closed", "closed inside the body"},
		{"neither framing, kept open", "HTTP/1.1 200 OK\r\n\r\nHello World!", hello, "open", "not ended by closing"},
		{"neither framing, closed", "HTTP/1.1 200 OK\r\n\r\nHello World!<close>", hello, "closed", ""},
		{"204 with a length", "HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n", strings.Replace(hello, "200", "204", 1), "open", "204 response with"},
		{"body on HEAD", okHello, `[{"send": "HEAD / HTTP/1.1\r\nHost: a\r\n\r\n", "expect": [{"status": 200, "to": "HEAD"}]}]`, "any", "extra bytes"},
		{"interim", "HTTP/1.1 100 Continue\r\n\r\n" + okHello, strings.Replace(hello, `"status"`, `"interim": [100], "status"`, 1), "open", ""},
		{"no interim wanted", "HTTP/1.1 100 Continue\r\n\r\n" + okHello, strings.Replace(hello, `"status"`, `"interim": [], "status"`, 1), "open", "interim responses"},
		{"sentinel", "HTTP/1.1 200 OK\r\nContent-Length: 16\r\n\r\nSENTINEL-REACHED", `[{"send": "GET / HTTP/1.1\r\n\r\n", "expect": [{"status": 200}]}]`, "any", "never appear"},
		{"rejected", "HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n<close>", `[{"send": "x\r\n\r\n", "reject": [400]}]`, "", ""},
		{"rejected by closing", "<close>", `[{"send": "x\r\n\r\n", "reject": [400]}]`, "", ""},
		{"rejected, not closed", "HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n", `[{"send": "x\r\n\r\n", "reject": [400]}]`, "", "did not close"},
		{"rejected, then answered", "HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n" + okHello + "<close>", `[{"send": "x\r\n\r\n", "reject": [400]}]`, "", "extra bytes"},
		{"not rejected", okHello + "<close>", `[{"send": "x\r\n\r\n", "reject": [400]}]`, "", "not rejected"},
		{"routed", "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n<close>", `[{"send": "x\r\n\r\n", "reject": [400]}]`, "", "not rejected"},
		{"silence", okHello, `[{"send": "GET / HTTP/1.1\r\n\r\n", "silence_ms": 50}]`, "any", "had to wait"},
		{"header", "HTTP/1.1 200 OK\r\nX-Evil: 1\r\nContent-Length: 0\r\n\r\n", `[{"send": "GET / HTTP/1.1\r\n\r\n", "expect": [{"status": 200, "headers": {"X-Evil": null}}]}]`, "any", "must not be"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			c := parseCase(t, tt.steps, tt.end)
			o := replay(c, testConfig(server(t, tt.answer)), "")
			switch {
			case tt.want == "" && o.err != nil:
				t.Errorf("failed: %v", o.err)
			case tt.want != "" && o.err == nil:
				t.Errorf("passed, want an error with %q", tt.want)
			case tt.want != "" && !strings.Contains(o.err.Error(), tt.want):
				t.Errorf("error %q, want %q in it", o.err, tt.want)
			}
		})
	}
}

func TestPayload(t *testing.T) {
	for in, want := range map[string]string{
		`"a\r\n"`:                        "a\r\n",
		`"\\x00\\xff\\\\x"`:              "\x00\xff\\x",
		`["a", {"hex": "0d0a"}]`:         "a\r\n",
		`{"repeat": "ab", "count": 3}`:   "ababab",
		`{"repeat": "{i}.", "count": 3}`: "0.1.2.",
		`{"repeat": ["<", {"repeat": "x", "count": 2}, ">"], "count": 2}`: "<xx><xx>",
	} {
		var p Payload
		if err := json.Unmarshal([]byte(in), &p); err != nil {
			t.Errorf("%s: %v", in, err)
		} else if got := string(p.bytes()); got != want {
			t.Errorf("%s is %q, want %q", in, got, want)
		}
	}
	for _, in := range []string{`"\\q"`, `"\\x0"`, `{"count": 3}`, `{"repeat": "a", "count": 0}`, `{"foo": 1}`, `3`} {
		var p Payload
		if json.Unmarshal([]byte(in), &p) == nil {
			t.Errorf("%s was accepted", in)
		}
	}
}

// Whatever the split mode, the bytes are the same.
func TestFragments(t *testing.T) {
	var p Payload
	json.Unmarshal([]byte(`["GET / HTTP/1.1\r\n", {"pause_ms": 1}, {"repeat": "0123456789", "count": 40000}, "end"]`), &p)
	s := &Step{Send: p, SplitAt: []int{3, 18, 200000}, PauseMS: 1}
	for _, mode := range []string{"", "byte", "random"} {
		var got []byte
		frags := fragments(&Case{ID: "x"}, 0, s, &config{seed: 7}, mode)
		for _, f := range frags {
			got = append(got, f.data...)
		}
		if !bytes.Equal(got, p.bytes()) {
			t.Errorf("mode %q changes the bytes", mode)
		}
		if len(frags) < 5 {
			t.Errorf("mode %q gives %d fragments", mode, len(frags))
		}
	}
}

func TestCasesLoad(t *testing.T) {
	cases, err := loadCases("")
	if err != nil {
		t.Fatal(err)
	}
	if len(cases) < 150 {
		t.Errorf("only %d cases", len(cases))
	}
	again, err := loadCases("cases")
	if err != nil {
		t.Fatal(err)
	}
	if len(again) != len(cases) {
		t.Errorf("%d cases in the directory, %d built in", len(again), len(cases))
	}
}

func TestKnownListNeedsReasonsAndCases(t *testing.T) {
	all := []*Case{{Area: "a", ID: "one", Severity: "must"}, {Area: "a", ID: "two", Severity: "should"}}
	for in, want := range map[string]string{
		"a/one # no reason to doubt\n\n# comment\n": "",
		"a/one\n":              "has no reason",
		"a/one #  \n":          "has no reason",
		"a/three # whatever\n": "no case a/three",
	} {
		name := filepath.Join(t.TempDir(), "known.txt")
		if err := os.WriteFile(name, []byte(in), 0o666); err != nil {
			t.Fatal(err)
		}
		known, err := loadKnown(name, all)
		switch {
		case want == "" && (err != nil || len(known) != 1):
			t.Errorf("%q: %v, %v", in, known, err)
		case want != "" && (err == nil || !strings.Contains(err.Error(), want)):
			t.Errorf("%q: error %v, want %q in it", in, err, want)
		}
	}
}

func TestTallyCountsKnownFailuresApart(t *testing.T) {
	results := []*result{
		{Area: "a", ID: "one", Severity: "must", Result: "fail"},
		{Area: "a", ID: "two", Severity: "must", Result: "fail"},
		{Area: "a", ID: "three", Severity: "should", Result: "fail"},
		{Area: "a", ID: "four", Severity: "must", Result: "pass"},
	}
	n := tally(results, map[string]string{"a/one": "why", "a/four": "why"})
	if n.passed != 1 || n.must != 1 || n.should != 1 || n.known != 1 || len(n.fixed) != 1 {
		t.Errorf("%+v", n)
	}
}
