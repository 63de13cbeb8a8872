package deptest

import (
	"encoding/json"
	"fmt"
	"go/ast"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/windhover-server/windhover/proto/wire"
)

const httpSupport = "docs/http-support.md"

func readDoc(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(root(t), name))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// What the page says is pinned has to be.
func TestHTTPSupportNamesExistingTests(t *testing.T) {
	doc := readDoc(t, httpSupport)
	cases := conformanceCases(t)
	named := regexp.MustCompile("`([a-z-]+/[a-z]{2}-[A-Za-z0-9-]*\\*?)`").FindAllStringSubmatch(doc, -1)
	if len(named) < 50 {
		t.Fatalf("found only %d names of cases: the test reads the page wrongly", len(named))
	}
	for _, m := range named {
		found := false
		for _, c := range cases {
			ok, err := path.Match(m[1], c)
			if err != nil {
				t.Fatal(err)
			}
			found = found || ok
		}
		if !found {
			t.Errorf("%s names %s, and there is no such case", httpSupport, m[1])
		}
	}
	tests := testNames(t)
	for _, m := range regexp.MustCompile("`(Test[A-Za-z0-9]+)`").FindAllStringSubmatch(doc, -1) {
		if !tests[m[1]] {
			t.Errorf("%s names %s, and there is no such test", httpSupport, m[1])
		}
	}
	parity := parityNames(t)
	for _, m := range regexp.MustCompile(`parity ("[^|\n]+")`).FindAllStringSubmatch(doc, -1) {
		for _, q := range regexp.MustCompile(`"([^"]+)"`).FindAllStringSubmatch(m[1], -1) {
			prefix, open := strings.CutSuffix(q[1], " ...")
			found := false
			for _, name := range parity {
				found = found || name == q[1] || open && strings.HasPrefix(name, prefix)
			}
			if !found {
				t.Errorf("%s names parity %q, and there is no such row", httpSupport, q[1])
			}
		}
	}
}

func conformanceCases(t *testing.T) (names []string) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(root(t), "internal", "conformance", "cases", "*.json"))
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		var d struct {
			Area  string
			Cases []struct{ ID string }
		}
		if err := json.Unmarshal(b, &d); err != nil {
			t.Fatal(err)
		}
		for _, c := range d.Cases {
			names = append(names, d.Area+"/"+c.ID)
		}
	}
	return names
}

func testNames(t *testing.T) map[string]bool {
	t.Helper()
	names := map[string]bool{}
	for _, s := range sources(t) {
		for _, d := range s.file.Decls {
			if f, ok := d.(*ast.FuncDecl); ok && s.test() && f.Recv == nil {
				names[f.Name.Name] = true
			}
		}
	}
	return names
}

// parityNames are the names in the composite literals of the parity tables.
func parityNames(t *testing.T) (names []string) {
	t.Helper()
	for _, s := range sources(t) {
		if !strings.HasPrefix(s.path, "internal/e2e/parity_") {
			continue
		}
		ast.Inspect(s.file, func(n ast.Node) bool {
			kv, ok := n.(*ast.KeyValueExpr)
			if !ok {
				return true
			}
			key, isIdent := kv.Key.(*ast.Ident)
			lit, isLit := kv.Value.(*ast.BasicLit)
			if isIdent && isLit && key.Name == "name" {
				names = append(names, strings.Trim(lit.Value, `"`))
			}
			return true
		})
	}
	if len(names) < 50 {
		t.Fatalf("found only %d rows of parity tables: the test reads them wrongly", len(names))
	}
	return names
}

// Each reason for a refusal has its row, and the row is right.
func TestHTTPSupportListsEveryReason(t *testing.T) {
	doc := readDoc(t, httpSupport)
	n := 0
	for r := wire.ReasonNone + 1; r.String() != wire.ReasonNone.String(); r++ {
		n++
		row := fmt.Sprintf("| `%v` | %d | %s |", r, r.Status(), r.Clause())
		if !strings.Contains(doc, row) {
			t.Errorf("%s lacks the row %s", httpSupport, row)
		}
	}
	if n < 20 {
		t.Fatalf("walked only %d reasons", n)
	}
}

// Links from one document to another lead somewhere.
func TestDocumentLinksResolve(t *testing.T) {
	top := root(t)
	link := regexp.MustCompile(`\]\(([^)#\s]+)(#[^)]*)?\)`)
	err := filepath.WalkDir(top, func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && name != top && strings.HasPrefix(d.Name(), "."):
			return filepath.SkipDir
		case d.IsDir() || !strings.HasSuffix(name, ".md"):
			return nil
		}
		b, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		for _, m := range link.FindAllStringSubmatch(string(b), -1) {
			if strings.Contains(m[1], "://") {
				continue
			}
			if _, err := os.Stat(filepath.Join(filepath.Dir(name), m[1])); err != nil {
				t.Errorf("%s: link to %s: %v", name, m[1], err)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
