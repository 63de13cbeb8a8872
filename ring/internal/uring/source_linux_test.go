//go:build linux

package uring

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// Each paragraph of code that turns a pointer into a number or back says why
// that is safe. (internal/deptest sees to it for each declaration.) A signature
// turns nothing.
func TestEachUnsafeParagraphSaysWhyItIsSafe(t *testing.T) {
	use := regexp.MustCompile(`unsafe\.(Pointer\(|Add\(|Slice\(|String\()`)
	for name, text := range sources(t, "*.go") {
		for i, paragraph := range strings.Split(text, "\n\n") {
			var said bool
			for _, line := range strings.Split(paragraph, "\n") {
				said = said || strings.Contains(line, "// SAFETY:")
				if strings.HasPrefix(line, "}") {
					said = false
				}
				if code, _, _ := strings.Cut(line, "//"); use.MatchString(code) && !said {
					t.Errorf("%s, paragraph %d: no SAFETY comment above\n%s", name, i+1, line)
				}
			}
		}
	}
}

// Documents that comments refer to exist.
func TestCommentsNameExistingDocuments(t *testing.T) {
	document := regexp.MustCompile(`docs/[a-z0-9/-]+\.md`)
	found := 0
	for _, pattern := range []string{"*.go", "oracle/*.go"} {
		for name, text := range sources(t, pattern) {
			for _, d := range document.FindAllString(text, -1) {
				found++
				if _, err := os.Stat(filepath.Join("../../..", d)); err != nil {
					t.Errorf("%s refers to %s: %v", name, d, err)
				}
			}
		}
	}
	if found == 0 {
		t.Error("found no reference: the test reads the sources wrongly")
	}
}

// Each flag and operation that came after the first io_uring (5.1) says since
// which kernel it exists.
func TestFlagsSayTheirKernel(t *testing.T) {
	old := map[string]bool{ // part of 5.1
		"OpNop": true, "OpPollAdd": true,
		"enterGetevents": true, "offSQRing": true, "offCQRing": true, "offSQEs": true,
		// no feature, but part of one that is dated
		"cqeBufferShift": true, "probeOps": true, "probeOpSupported": true, "unregisterRingFds": true, "unregisterPbufRing": true,
	}
	constant := regexp.MustCompile(`^\t([A-Za-z0-9]+)( [a-z0-9]+)? += .*$`)
	for name, text := range sources(t, "abi_linux.go") {
		for _, line := range strings.Split(text, "\n") {
			m := constant.FindStringSubmatch(line)
			if m == nil {
				continue
			}
			if dated := regexp.MustCompile(`// since [56]\.[0-9]+`).MatchString(line); dated == old[m[1]] {
				t.Errorf("%s: %s: dated %v, part of 5.1 or of a dated feature %v", name, m[1], dated, old[m[1]])
			}
		}
	}
}

func sources(t *testing.T, pattern string) map[string]string {
	t.Helper()
	paths, err := filepath.Glob(pattern)
	if err != nil || len(paths) == 0 {
		t.Fatal(pattern, paths, err)
	}
	texts := map[string]string{}
	for _, p := range paths {
		if strings.HasSuffix(p, "_test.go") {
			continue
		}
		b, err := os.ReadFile(p)
		if err != nil {
			t.Fatal(err)
		}
		texts[p] = string(b)
	}
	return texts
}
