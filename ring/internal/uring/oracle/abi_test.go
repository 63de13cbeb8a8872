//go:build linux

package oracle

import (
	"errors"
	"go/ast"
	"go/build"
	"go/constant"
	"go/parser"
	"go/token"
	"go/types"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
)

// The tests below read both packages' sources, because half of the names are
// not exported, and because that way none can be forgotten.

// ours is the file that holds all that the kernel defines.
const ours = "abi_linux.go"

// constants that are ours by another name, or not in giouring.
var constants = map[string]string{
	"probeOpSupported":  "opSupported",
	"probeOps":          "probeOpsSize",
	"unregisterRingFds": "UnregisterRingFDs",
	"CQEFBufMore":       "", // since 6.12
	"SetupNoSQArray":    "", // since 6.6
	"pbufRingInc":       "", // since 6.12
}

// structs are giouring's names for ours.
var structs = map[string]string{
	"SQE":           "SubmissionQueueEntry",
	"CQE":           "CompletionQueueEvent",
	"sqringOffsets": "SQRingOffsets",
	"cqringOffsets": "CQRingOffsets",
	"params":        "Params",
	"bufEntry":      "BufAndRing",
	"bufReg":        "BufReg",
	"probeOp":       "ProbeOp",
	"probe":         "Probe",
	"geteventsArg":  "GetEventsArg",
	"rsrcUpdate":    "RsrcUpdate",
}

// fields are giouring's names for ours, where they differ in more than case.
var fields = map[string]string{
	"SQE.OpFlags":              "opcodeflags",
	"bufReg.flags":             "pad", // giouring stopped before 6.12
	"geteventsArg.minWaitUsec": "pad", // … and 6.12
	"geteventsArg.sigmaskSize": "sigmasksz",
}

func TestConstants(t *testing.T) {
	us, them := load(t, ".."), load(t, giouringDir(t))
	theirs := map[string]types.Object{}
	for _, name := range them.Scope().Names() {
		if o := them.Scope().Lookup(name); isConst(o) {
			theirs[strings.ToLower(name)] = o
		}
	}
	compared := 0
	for _, name := range us.names {
		o := us.Scope().Lookup(name)
		if !isConst(o) {
			continue
		}
		as, renamed := constants[name]
		if !renamed {
			as = name
		}
		their, known := theirs[strings.ToLower(as)]
		switch {
		case as == "" && theirs[strings.ToLower(name)] != nil:
			t.Errorf("%s is said to be missing in giouring, and is there", name)
		case as == "":
		case !known:
			t.Errorf("%s: giouring has no %s", name, as)
		case !constant.Compare(value(o), token.EQL, value(their)):
			t.Errorf("%s is %v here and %v in giouring", name, value(o), value(their))
		default:
			compared++
		}
	}
	t.Logf("%d constants compared", compared)
	if compared < 40 {
		t.Errorf("compared only %d constants: the test reads the sources wrongly", compared)
	}
}

func TestStructs(t *testing.T) {
	us, them := load(t, ".."), load(t, giouringDir(t))
	sizes := types.SizesFor("gc", runtime.GOARCH)
	compared := 0
	for _, name := range us.names {
		a, ok := structOf(us.Scope().Lookup(name))
		if !ok {
			continue
		}
		b, ok := structOf(them.Scope().Lookup(structs[name]))
		if !ok {
			t.Errorf("%s: giouring has no struct %q", name, structs[name])
			continue
		}
		compared++
		if x, y := sizes.Sizeof(a), sizes.Sizeof(b); x != y {
			t.Errorf("%s has %d bytes, %s has %d", name, x, structs[name], y)
		}
		theirs := map[string]int64{}
		for i, off := range sizes.Offsetsof(list(b)) {
			theirs[strings.ToLower(b.Field(i).Name())] = off
		}
		for i, off := range sizes.Offsetsof(list(a)) {
			field := a.Field(i).Name()
			if field == "_" {
				continue
			}
			as, renamed := fields[name+"."+field]
			if !renamed {
				as = strings.ToLower(field)
			}
			if want, ok := theirs[as]; !ok || want != off {
				t.Errorf("%s.%s lies at %d, in giouring %s at %d (known: %v)", name, field, off, as, want, ok)
			}
		}
	}
	if compared != len(structs) {
		t.Errorf("%d structs compared, %d known", compared, len(structs))
	}
}

// pkg is a package and the names that its ABI file declares.
type pkg struct {
	*types.Package
	names []string
}

// load type-checks the declarations of the package in dir. What it imports is
// left out: no constant and no shared structure depends on it.
func load(t *testing.T, dir string) pkg {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil || len(paths) == 0 {
		t.Fatal(dir, paths, err)
	}
	fset := token.NewFileSet()
	var files []*ast.File
	var p pkg
	for _, path := range paths {
		if strings.HasSuffix(path, "_test.go") {
			continue
		}
		f, err := parser.ParseFile(fset, path, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, f)
		if filepath.Base(path) == ours {
			p.names = declared(f)
		}
	}
	cfg := types.Config{
		Importer:         noImports{},
		IgnoreFuncBodies: true,
		Error:            func(error) {}, // about the imports
		Sizes:            types.SizesFor("gc", runtime.GOARCH),
	}
	p.Package, _ = cfg.Check(dir, fset, files, nil)
	return p
}

func declared(f *ast.File) (names []string) {
	for _, d := range f.Decls {
		g, ok := d.(*ast.GenDecl)
		if !ok {
			continue
		}
		for _, spec := range g.Specs {
			switch spec := spec.(type) {
			case *ast.ValueSpec:
				for _, n := range spec.Names {
					names = append(names, n.Name)
				}
			case *ast.TypeSpec:
				names = append(names, spec.Name.Name)
			}
		}
	}
	return slices.Compact(names)
}

type noImports struct{}

func (noImports) Import(path string) (*types.Package, error) {
	if path == "unsafe" {
		return types.Unsafe, nil
	}
	return nil, errors.New("left out")
}

func giouringDir(t *testing.T) string {
	t.Helper()
	p, err := build.Import("github.com/pawelgaczynski/giouring", ".", build.FindOnly)
	if err != nil {
		t.Fatal(err)
	}
	return p.Dir
}

func isConst(o types.Object) bool {
	c, ok := o.(*types.Const)
	return ok && c.Val().Kind() == constant.Int
}

func value(o types.Object) constant.Value { return o.(*types.Const).Val() }

func structOf(o types.Object) (*types.Struct, bool) {
	tn, ok := o.(*types.TypeName)
	if !ok {
		return nil, false
	}
	s, ok := tn.Type().Underlying().(*types.Struct)
	return s, ok
}

func list(s *types.Struct) (fields []*types.Var) {
	for i := range s.NumFields() {
		fields = append(fields, s.Field(i))
	}
	return fields
}
