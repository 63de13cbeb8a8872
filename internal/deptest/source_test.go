package deptest

import (
	"go/ast"
	"go/build/constraint"
	"slices"
	"strings"
	"testing"
)

// unsafeHome is the one package that may use unsafe: it maps kernel memory.
const unsafeHome = "ring/internal/uring"

func TestUnsafeOnlyWhereKernelMemoryIs(t *testing.T) {
	for _, s := range sources(t) {
		if s.dir() == unsafeHome {
			continue
		}
		for _, i := range s.file.Imports {
			if i.Path.Value == `"unsafe"` || i.Path.Value == `"C"` {
				t.Errorf("%s:%d imports %s; only %s may", s.path, s.line(i), i.Path.Value, unsafeHome)
			}
		}
		for _, c := range directives(s.file, "//go:linkname") {
			t.Errorf("%s:%d uses go:linkname", s.path, s.line(c))
		}
	}
}

// Each declaration that converts a pointer says why that is safe. Sizes and
// offsets are harmless.
func TestUnsafeUsesSayWhyTheyAreSafe(t *testing.T) {
	for _, s := range sources(t) {
		if s.dir() != unsafeHome || s.test() {
			continue
		}
		for _, d := range s.file.Decls {
			use := unsafeUse(d)
			if use != nil && !strings.Contains(commentsWithin(s.file, d), "SAFETY:") {
				t.Errorf("%s:%d: unsafe without a SAFETY comment in the declaration", s.path, s.line(use))
			}
		}
	}
}

func unsafeUse(d ast.Decl) (use ast.Node) {
	ast.Inspect(d, func(n ast.Node) bool {
		sel, ok := n.(*ast.SelectorExpr)
		if !ok {
			return true
		}
		if x, ok := sel.X.(*ast.Ident); ok && x.Name == "unsafe" &&
			!slices.Contains([]string{"Sizeof", "Offsetof", "Alignof"}, sel.Sel.Name) {
			use = sel
		}
		return use == nil
	})
	return use
}

// commentsWithin joins the comments inside a declaration and its doc comment.
func commentsWithin(f *ast.File, d ast.Decl) string {
	from := d.Pos()
	switch d := d.(type) {
	case *ast.FuncDecl:
		if d.Doc != nil {
			from = d.Doc.Pos()
		}
	case *ast.GenDecl:
		if d.Doc != nil {
			from = d.Doc.Pos()
		}
	}
	var b strings.Builder
	for _, c := range f.Comments {
		if from <= c.Pos() && c.End() <= d.End() {
			b.WriteString(c.Text())
		}
	}
	return b.String()
}

func directives(f *ast.File, prefix string) (found []*ast.Comment) {
	for _, g := range f.Comments {
		for _, c := range g.List {
			if strings.HasPrefix(c.Text, prefix) {
				found = append(found, c)
			}
		}
	}
	return found
}

// clockReads are what a package without a clock must not call.
var clockReads = []string{"Now", "Since", "Until", "Sleep", "After", "AfterFunc", "Tick", "NewTimer", "NewTicker"}

// The HTTP machine has no clock: dates are passed in.
func TestWireReadsNoClock(t *testing.T) {
	for _, s := range sources(t) {
		if s.dir() != "proto/wire" || s.test() {
			continue
		}
		ast.Inspect(s.file, func(n ast.Node) bool {
			sel, ok := n.(*ast.SelectorExpr)
			if !ok {
				return true
			}
			if x, ok := sel.X.(*ast.Ident); ok && x.Name == "time" && slices.Contains(clockReads, sel.Sel.Name) {
				t.Errorf("%s:%d: time.%s: wire has no clock", s.path, s.line(sel), sel.Sel.Name)
			}
			return true
		})
	}
}

// Importing a package starts nothing: no goroutine, no timer. A global one
// would outlive every server and deadlock a testing/synctest bubble.
func TestImportStartsNothing(t *testing.T) {
	for _, s := range sources(t) {
		if s.test() {
			continue
		}
		for _, d := range s.file.Decls {
			switch d := d.(type) {
			case *ast.FuncDecl:
				if d.Recv == nil && d.Name.Name == "init" {
					checkStartsNothing(t, s, d)
				}
			case *ast.GenDecl:
				checkStartsNothing(t, s, d)
			}
		}
	}
}

// checkStartsNothing looks at code that runs when its package is imported.
// Function literals in variables count as well: most are called at once, and
// the others can be functions.
func checkStartsNothing(t *testing.T, s *source, d ast.Decl) {
	t.Helper()
	ast.Inspect(d, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.GoStmt:
			t.Errorf("%s:%d: a goroutine of the package", s.path, s.line(n))
		case *ast.CallExpr:
			sel, ok := n.Fun.(*ast.SelectorExpr)
			if !ok {
				return true
			}
			if x, ok := sel.X.(*ast.Ident); ok && x.Name == "time" &&
				slices.Contains([]string{"AfterFunc", "NewTimer", "NewTicker", "Tick", "After"}, sel.Sel.Name) {
				t.Errorf("%s:%d: a timer of the package", s.path, s.line(n))
			}
		}
		return true
	})
}

// Every package says in one place what it is for.
func TestEachPackageHasOneDoc(t *testing.T) {
	docs := map[string][]string{}
	names := map[string]string{}
	for _, s := range sources(t) {
		name := s.file.Name.Name
		if s.test() {
			if s.file.Doc != nil && !strings.HasSuffix(name, "_test") && names[s.dir()] != "" {
				t.Errorf("%s: a package comment in a test file", s.path)
			}
			continue
		}
		names[s.dir()] = name
		if s.file.Doc == nil {
			continue
		}
		docs[s.dir()] = append(docs[s.dir()], s.path)
		want := "Package " + name + " "
		if name == "main" {
			want = "Command "
		}
		if !strings.HasPrefix(s.file.Doc.Text(), want) {
			t.Errorf("%s: the package comment does not begin with %q", s.path, want)
		}
	}
	for dir := range names {
		switch n := len(docs[dir]); {
		case n == 0:
			t.Errorf("package %s has no package comment", dir)
		case n > 1:
			t.Errorf("package %s has %d package comments: %s", dir, n, strings.Join(docs[dir], ", "))
		}
	}
}

// A file for one system says so in its name and in its first lines: readers
// see the one, grep finds the other.
func TestSystemFilesCarryTheirBuildLine(t *testing.T) {
	for _, s := range sources(t) {
		base := strings.TrimSuffix(strings.TrimSuffix(s.path, ".go"), "_test")
		if !strings.HasSuffix(base, "_linux") && !strings.Contains(base, "_linux_") {
			continue
		}
		if !strings.HasPrefix(s.path, "ring/") {
			continue
		}
		found := false
		for _, c := range directives(s.file, "//go:build") {
			expr, err := constraint.Parse(c.Text)
			if err != nil {
				t.Errorf("%s: %v", s.path, err)
				continue
			}
			found = found || c.Pos() < s.file.Package && !expr.Eval(func(tag string) bool { return tag != "linux" })
		}
		if !found {
			t.Errorf("%s has no //go:build line that needs linux", s.path)
		}
	}
}
