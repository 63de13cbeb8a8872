package deptest

import (
	"bytes"
	"encoding/json"
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

const module = "github.com/windhover-server/windhover"

// listed is what go list tells of a package.
type listed struct {
	ImportPath, Dir, Name     string
	Standard                  bool
	Imports, Deps             []string
	GoFiles, IgnoredGoFiles   []string
	TestGoFiles, XTestGoFiles []string
	TestImports, XTestImports []string
	Module                    *struct{ Path string }
}

// rel is the package's path inside the module; "." is the root package.
func (p *listed) rel() string {
	if p.ImportPath == module {
		return "."
	}
	return strings.TrimPrefix(p.ImportPath, module+"/")
}

// platform is a target that go list is asked about: imports differ with the
// files that a target builds.
type platform struct{ goos, goarch string }

var platforms = []platform{{"linux", "amd64"}, {"linux", "arm64"}, {"darwin", "arm64"}, {"windows", "amd64"}, {"freebsd", "amd64"}}

func (p platform) String() string { return p.goos + "/" + p.goarch }

// load asks go list about every package of the module and what it depends on.
func load(t *testing.T, p platform) map[string]*listed {
	t.Helper()
	cmd := exec.Command("go", "list", "-e", "-deps", "-json=ImportPath,Dir,Name,Standard,Imports,Deps,GoFiles,IgnoredGoFiles,TestGoFiles,XTestGoFiles,TestImports,XTestImports,Module", "./...")
	cmd.Dir = root(t)
	cmd.Env = append(os.Environ(), "GOOS="+p.goos, "GOARCH="+p.goarch, "CGO_ENABLED=0")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v\n%s", err, stderr.Bytes())
	}
	all := map[string]*listed{}
	dec := json.NewDecoder(bytes.NewReader(out))
	for {
		q := new(listed)
		if err := dec.Decode(q); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		all[q.ImportPath] = q
	}
	if all[module+"/listen"] == nil {
		t.Fatalf("go list on %v found no package %s/listen: the tests look in the wrong place", p, module)
	}
	return all
}

// own selects the module's own packages.
func own(all map[string]*listed) []*listed {
	var mine []*listed
	for _, p := range all {
		if p.Module != nil && p.Module.Path == module {
			mine = append(mine, p)
		}
	}
	return mine
}

// root is the directory of the module.
func root(t *testing.T) string {
	t.Helper()
	dir, err := filepath.Abs(filepath.Join("..", ".."))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(dir, "go.mod")); err != nil {
		t.Fatal(err)
	}
	return dir
}

// source is one parsed file of the module.
type source struct {
	path string // from the module's root, with slashes
	file *ast.File
	fset *token.FileSet
}

// dir is the folder of the file, "." for the root.
func (s *source) dir() string {
	if i := strings.LastIndexByte(s.path, '/'); i >= 0 {
		return s.path[:i]
	}
	return "."
}

func (s *source) test() bool { return strings.HasSuffix(s.path, "_test.go") }

func (s *source) line(n ast.Node) int { return s.fset.Position(n.Pos()).Line }

// sources parses every Go file of the main module, whatever its build tags.
func sources(t *testing.T) []*source {
	t.Helper()
	top := root(t)
	var all []*source
	err := filepath.WalkDir(top, func(name string, d os.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && name != top && (strings.HasPrefix(d.Name(), ".") || d.Name() == "testdata" || nestedModule(name)):
			return filepath.SkipDir
		case d.IsDir() || !strings.HasSuffix(name, ".go"):
			return nil
		}
		rel, err := filepath.Rel(top, name)
		if err != nil {
			return err
		}
		s := &source{path: filepath.ToSlash(rel), fset: token.NewFileSet()}
		if s.file, err = parser.ParseFile(s.fset, name, nil, parser.ParseComments); err != nil {
			return err
		}
		all = append(all, s)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(all) < 20 {
		t.Fatalf("found only %d files: the tests look in the wrong place", len(all))
	}
	return all
}

func nestedModule(dir string) bool {
	_, err := os.Stat(filepath.Join(dir, "go.mod"))
	return err == nil
}
