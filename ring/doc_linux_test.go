//go:build linux && !noring

package ring

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// The tests, files and options that docs/ring.md names exist.
func TestDocumentNamesWhatExists(t *testing.T) {
	b, err := os.ReadFile("../docs/ring.md")
	if err != nil {
		t.Fatal(err)
	}
	doc := string(b)
	var code strings.Builder
	for _, pattern := range []string{"*_test.go", "internal/uring/*_test.go", "../*_test.go", "../cmd/windhover/*_test.go"} {
		paths, err := filepath.Glob(pattern)
		if err != nil || len(paths) == 0 {
			t.Fatal(pattern, paths, err)
		}
		for _, p := range paths {
			b, err := os.ReadFile(p)
			if err != nil {
				t.Fatal(err)
			}
			code.Write(b)
		}
	}
	names := regexp.MustCompile("`(Test[A-Za-z0-9]+)`").FindAllStringSubmatch(doc, -1)
	if len(names) < 30 {
		t.Fatalf("found only %d names of tests: the test reads the page wrongly", len(names))
	}
	for _, m := range names {
		if !strings.Contains(code.String(), "\nfunc "+m[1]+"(t *testing.T) {\n") {
			t.Errorf("no test is called %s", m[1])
		}
	}
	for _, m := range regexp.MustCompile("`([a-z_]+\\.go)`").FindAllStringSubmatch(doc, -1) {
		if _, err := os.Stat(m[1]); err != nil {
			t.Errorf("no file is called %s", m[1])
		}
	}
	for c := Usable + 1; int(c) < len(causeText); c++ {
		if name := causeNames[c]; !strings.Contains(doc, "\n| `"+name+"` |") {
			t.Errorf("cause %q (%v) has no row", name, c)
		}
	}
	for _, f := range Probe().Features {
		if !strings.Contains(doc, "| "+f.Since+" |") {
			t.Errorf("no row with %s (%s)", f.Since, f.Name)
		}
		if f.Cost != "" && !strings.Contains(doc, strings.ReplaceAll(f.Cost, ", up to", ": up to")) {
			t.Errorf("what the absence of %s costs is not told: %s", f.Name, f.Cost)
		}
	}
}

var causeNames = map[Cause]string{
	NotBuilt: "NotBuilt", NoSystemCall: "NoSystemCall", Denied: "Denied", Disabled: "Disabled",
	TooOld: "TooOld", LockedMemory: "LockedMemory", FileLimit: "FileLimit", Failed: "Failed",
}
