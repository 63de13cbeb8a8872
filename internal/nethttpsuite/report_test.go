package main

import (
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestAllowListNeedsReasonsAndTests(t *testing.T) {
	tests := map[string]bool{"TestA": true}
	for in, want := range map[string]string{
		"TestA # because\n\n# comment\n": "",
		"TestA\n":                        "has no reason",
		"TestA #\n":                      "has no reason",
		"TestB # because\n":              "no test TestB",
	} {
		name := filepath.Join(t.TempDir(), "allow.txt")
		if err := os.WriteFile(name, []byte(in), 0o666); err != nil {
			t.Fatal(err)
		}
		may, err := readAllow(name, tests)
		switch {
		case want == "" && (err != nil || may["TestA"] != "because"):
			t.Errorf("%q: %v, %v", in, may, err)
		case want != "" && (err == nil || !strings.Contains(err.Error(), want)):
			t.Errorf("%q: error %v, want %q in it", in, err, want)
		}
	}
}

func TestUnlistedFailureIsNotAllowed(t *testing.T) {
	for status, want := range map[string]bool{"pass": true, "flaky": true, "skip": true, "fail": false, "timeout": false, "crash": false} {
		rep := &report{Tests: []*result{{Name: "TestListed", Status: "fail"}, {Name: "TestOther", Status: status}}}
		rep.print(io.Discard)
		if got := rep.allowed(io.Discard, map[string]string{"TestListed": "because"}); got != want {
			t.Errorf("with another test's result %s: allowed is %v", status, got)
		}
	}
}
