// Command nethttp-suite runs the server tests of Go's net/http against another
// HTTP server. See README.md.
package main

import (
	"bytes"
	"embed"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"go/ast"
	"go/build"
	"go/parser"
	"go/token"
	"go/types"
	"log"
	"maps"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"sort"
	"strconv"
	"strings"
	"time"
)

//go:embed files
var filesFS embed.FS

var (
	adapterDir = flag.String("adapter", "internal/nethttpsuite/adapters/stdlib", "`directory` of the adapter's package")
	runRE      = flag.String("run", "", "run only the tests whose name matches this `regexp`")
	classes    = flag.String("class", "", "run only these comma-separated `classes`: server, client, httptest, httputil, rpc, ...")
	jsonOut    = flag.String("json", "", "write a report to this `file`")
	allow      = flag.String("allow", "", "`file` with the names of tests which may fail, one \"TestName # reason\" a line; any other failure makes the exit status 1")
	timeout    = flag.Duration("timeout", 20*time.Second, "time limit for a test")
	parallel   = flag.Int("p", 1, "run this many tests at once")
	retries    = flag.Int("retries", 1, "run a test which failed, but not for a timeout, again up to this often")
	short      = flag.Bool("short", false, "pass -short to the tests")
	raceFlag   = flag.Bool("race", false, "build with the race detector")
	tags       = flag.String("tags", "", "build `tags`")
	allModes   = flag.Bool("all-modes", false, "run in HTTPS mode, too, what by default runs with plain HTTP only")
	listOnly   = flag.Bool("list", false, "list the tests which are kept and dropped, and run none")
	keep       = flag.String("keep", "", "write the rewritten tests to this `directory` and keep it")
	verbose    = flag.Bool("v", false, "print every test's result, and the output of those which fail")
)

func main() {
	log.SetFlags(0)
	log.SetPrefix("nethttp-suite: ")
	flag.Usage = func() {
		fmt.Fprintf(os.Stderr, "usage: go run . -adapter DIR [flags]\n")
		flag.PrintDefaults()
	}
	flag.Parse()
	if flag.NArg() > 0 {
		flag.Usage()
		os.Exit(2)
	}
	ok, err := suite()
	if err != nil {
		log.Fatal(err)
	}
	if !ok {
		os.Exit(1)
	}
}

func suite() (ok bool, err error) {
	only, err := regexp.Compile(*runRE)
	if err != nil {
		return false, err
	}
	env := new(goEnv)
	if err := goJSON("", env, "env", "-json"); err != nil {
		return false, err
	}
	ad, err := findAdapter(*adapterDir)
	if err != nil {
		return false, err
	}
	dir := *keep
	if dir == "" {
		if dir, err = os.MkdirTemp("", "nethttp-suite-"); err != nil {
			return false, err
		}
		defer os.RemoveAll(dir)
	} else {
		if dir, err = filepath.Abs(dir); err != nil {
			return false, err
		}
		if err := os.MkdirAll(dir, 0o777); err != nil {
			return false, err
		}
	}
	// The module of the run is named below the adapter's, so that the adapter
	// may be one of its module's internal packages.
	mod := ad.Module.Path + "/nethttpsuiterun"
	build.Default.CgoEnabled = false

	exports, err := exportData(env.GOROOT)
	if err != nil {
		return false, err
	}
	var pkgs []*pkg
	copies := make(map[string]bool)
	for _, g := range groups {
		p, err := load(g, env.GOROOT, mod, exports)
		if err != nil {
			return false, err
		}
		p.spread()
		pkgs = append(pkgs, p)
		maps.Copy(copies, p.copies)
	}
	if err := writeModule(dir, mod, env, ad, exports, pkgs[0].fset); err != nil {
		return false, err
	}
	done := make(map[string]bool)
	for len(copies) > 0 {
		more := make(map[string]bool)
		for c := range copies {
			if !done[c] {
				done[c] = true
				if err := copyStd(env.GOROOT, dir, mod, c, more); err != nil {
					return false, err
				}
			}
		}
		copies = more
	}
	rep := &report{Go: env.GOVERSION, OS: env.GOOS + "/" + env.GOARCH, Adapter: ad.ImportPath, Time: time.Now().UTC().Format(time.RFC3339)}
	for _, p := range pkgs {
		if err := p.write(filepath.Join(dir, p.g.name)); err != nil {
			return false, err
		}
	}
	for _, p := range pkgs {
		if err := compile(p, dir); err != nil {
			return false, err
		}
	}
	whiteBox(env.GOROOT, rep)
	for _, p := range pkgs {
		p.choose(rep)
	}
	sort.SliceStable(rep.Dropped, func(i, j int) bool { return rep.Dropped[i].Name < rep.Dropped[j].Name })
	may := make(map[string]string)
	if *allow != "" {
		names := make(map[string]bool)
		for _, t := range rep.Tests {
			names[t.Name] = true
		}
		if may, err = readAllow(*allow, names); err != nil {
			return false, err
		}
	}
	if *runRE != "" || *classes != "" {
		cl := strings.Split(*classes, ",")
		rep.Tests = slices.DeleteFunc(rep.Tests, func(t *result) bool {
			return !only.MatchString(t.Name) || *classes != "" && !slices.Contains(cl, t.Class)
		})
	}
	if *listOnly {
		for _, t := range rep.Tests {
			fmt.Printf("keep  %-8s %s\t%s\n", t.Class, t.Name, t.File)
		}
		for _, t := range rep.Dropped {
			fmt.Printf("drop  %-8s %s\t%s\t%s\n", t.Class, t.Name, t.File, t.Reason)
		}
		fmt.Printf("%d kept, %d dropped\n", len(rep.Tests), len(rep.Dropped))
		return true, nil
	}
	runAll(dir, rep)
	rep.print(os.Stdout)
	if *jsonOut != "" {
		b, err := json.MarshalIndent(rep, "", "\t")
		if err != nil {
			return false, err
		}
		if err := os.WriteFile(*jsonOut, append(b, '\n'), 0o666); err != nil {
			return false, err
		}
	}
	return rep.allowed(os.Stdout, may), nil
}

type goEnv struct {
	GOROOT, GOVERSION, GOOS, GOARCH, GOWORK string
}

// goCmd returns a go command which is free of settings that would not fit the
// module of the run.
func goCmd(dir string, args ...string) *exec.Cmd {
	cmd := exec.Command("go", args...)
	cmd.Dir = dir
	cmd.Env = os.Environ()
	if flags := strings.Fields(os.Getenv("GOFLAGS")); len(flags) > 0 {
		flags = slices.DeleteFunc(flags, func(f string) bool { return strings.HasPrefix(strings.TrimLeft(f, "-"), "mod=") })
		cmd.Env = append(cmd.Env, "GOFLAGS="+strings.Join(flags, " "))
	}
	return cmd
}

func output(cmd *exec.Cmd) ([]byte, error) {
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return nil, fmt.Errorf("%s: %v\n%s", strings.Join(cmd.Args, " "), err, stderr.Bytes())
	}
	return stdout.Bytes(), nil
}

func goJSON(dir string, v any, args ...string) error {
	out, err := output(goCmd(dir, args...))
	if err != nil {
		return err
	}
	return json.Unmarshal(out, v)
}

type adapter struct {
	Dir, ImportPath, Name string
	Module                struct{ Path, Dir, GoMod string }
	uses                  []string // directories of modules the workspace needs
}

func findAdapter(dir string) (*adapter, error) {
	ad := new(adapter)
	if err := goJSON(dir, ad, "list", "-tags", *tags, "-json=Dir,ImportPath,Name,Module", "-find", "."); err != nil {
		return nil, fmt.Errorf("adapter: %v", err)
	}
	if ad.Name == "main" {
		return nil, fmt.Errorf("adapter: %s is a command, not a package which can be imported", ad.ImportPath)
	}
	if ad.Module.Dir == "" {
		return nil, fmt.Errorf("adapter: %s is in no module", ad.Dir)
	}
	ad.uses = append(ad.uses, ad.Module.Dir)
	env := new(goEnv)
	if err := goJSON(dir, env, "env", "-json", "GOWORK"); err != nil {
		return nil, err
	}
	if env.GOWORK != "" && env.GOWORK != "off" {
		var work struct {
			Use []struct{ DiskPath string }
		}
		if err := goJSON(dir, &work, "work", "edit", "-json"); err != nil {
			return nil, err
		}
		for _, u := range work.Use {
			d := u.DiskPath
			if !filepath.IsAbs(d) {
				d = filepath.Join(filepath.Dir(env.GOWORK), d)
			}
			if d = filepath.Clean(d); !slices.Contains(ad.uses, d) {
				ad.uses = append(ad.uses, d)
			}
		}
	}
	return ad, nil
}

// exportData returns the names of the files with the export data of all
// packages which the tests import.
func exportData(goroot string) (map[string]string, error) {
	imports := make(map[string]bool)
	for _, g := range groups {
		imports[g.src] = true
		dir := srcDir(goroot, g.src)
		names, err := filepath.Glob(filepath.Join(dir, "*_test.go"))
		if err != nil {
			return nil, err
		}
		for _, name := range names {
			f, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ImportsOnly)
			if err != nil {
				return nil, err
			}
			for _, s := range f.Imports {
				p, _ := strconv.Unquote(s.Path.Value)
				if !strings.Contains(p, ".") && p != "C" {
					imports[p] = true
				}
			}
		}
	}
	args := append([]string{"list", "-e", "-export", "-deps", "-f", "{{if .Export}}{{.ImportPath}}={{.Export}}{{end}}"},
		slices.Sorted(maps.Keys(imports))...)
	out, err := output(goCmd(filepath.Join(goroot, "src"), args...))
	if err != nil {
		return nil, err
	}
	m := make(map[string]string)
	for line := range strings.Lines(string(out)) {
		if k, v, ok := strings.Cut(strings.TrimSpace(line), "="); ok {
			m[k] = v
		}
	}
	return m, nil
}

// writeModule writes what does not come from test files: the module and
// workspace files and the stand-in packages.
func writeModule(dir, mod string, env *goEnv, ad *adapter, exports map[string]string, fset *token.FileSet) error {
	version := strings.TrimPrefix(strings.Fields(env.GOVERSION)[0], "go")
	if m := regexp.MustCompile(`^\d+\.\d+(\.\d+)?`).FindString(version); m != "" {
		version = m
	}
	write := func(name string, data []byte) error {
		name = filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(name), 0o777); err != nil {
			return err
		}
		return os.WriteFile(name, data, 0o666)
	}
	work := "go " + version + "\n\nuse (\n\t.\n"
	for _, u := range ad.uses {
		work += "\t" + strconv.Quote(u) + "\n"
	}
	fields, err := serverFields(exports, fset)
	if err != nil {
		return err
	}
	return errors.Join(
		write("go.mod", []byte("module "+mod+"\n\ngo "+version+"\n")),
		write("go.work", []byte(work+")\n")),
		write("shttp/fields.go", fields),
		write("shttp/link.go", []byte(`package shttp

import (
	"net/http"

	adapter `+strconv.Quote(ad.ImportPath)+`
)

func newAdapter(c *http.Server) impl { return adapter.New(c) }
`)),
		writeFile(write, "shttp/shttp.go", "files/shttp.go.txt"),
		writeFile(write, "std/internal_testenv/testenv.go", "files/testenv.go.txt"),
		writeFile(write, "std/internal_godebug/godebug.go", "files/godebug.go.txt"),
	)
}

func writeFile(write func(string, []byte) error, name, embedded string) error {
	b, err := filesFS.ReadFile(embedded)
	if err != nil {
		return err
	}
	return write(name, b)
}

// serverFields generates the stand-in's Server type with the exported fields
// of http.Server.
func serverFields(exports map[string]string, fset *token.FileSet) ([]byte, error) {
	imp := gcImporter(fset, exports)
	tp, err := imp.Import("net/http")
	if err != nil {
		return nil, err
	}
	st := tp.Scope().Lookup("Server").Type().Underlying().(*types.Struct)
	imports := make(map[string]bool)
	var decl, copy bytes.Buffer
	for i := range st.NumFields() {
		f := st.Field(i)
		if !f.Exported() {
			continue
		}
		typ := types.TypeString(f.Type(), func(p *types.Package) string {
			imports[p.Path()] = true
			return p.Name()
		})
		if f.Name() == "TLSNextProto" {
			typ = strings.ReplaceAll(typ, "*http.Server", "*Server")
		} else {
			fmt.Fprintf(&copy, "\tc.%[1]s = s.%[1]s\n", f.Name())
		}
		fmt.Fprintf(&decl, "\t%s %s\n", f.Name(), typ)
	}
	imports["net/http"] = true
	var b bytes.Buffer
	b.WriteString("package shttp\n\nimport (\n")
	for _, p := range slices.Sorted(maps.Keys(imports)) {
		fmt.Fprintf(&b, "\t%q\n", p)
	}
	fmt.Fprintf(&b, ")\n\ntype Server struct {\n%s\n\tst serverState\n}\n\nfunc (s *Server) copyFields(c *http.Server) {\n%s}\n", decl.Bytes(), copy.Bytes())
	return b.Bytes(), nil
}

// copyStd copies a package of the standard library which others may not
// import, and adds to more what that package needs.
func copyStd(goroot, dir, mod, p string, more map[string]bool) error {
	src := srcDir(goroot, p)
	bp, err := build.ImportDir(src, 0)
	if err != nil {
		return err
	}
	dst := filepath.Join(dir, "std", strings.ReplaceAll(p, "/", "_"))
	if err := os.MkdirAll(dst, 0o777); err != nil {
		return err
	}
	q := &pkg{g: &group{}, mod: mod, copies: more}
	for _, name := range bp.GoFiles {
		b, err := os.ReadFile(filepath.Join(src, name))
		if err != nil {
			return err
		}
		f, err := parser.ParseFile(token.NewFileSet(), name, b, parser.ImportsOnly)
		if err != nil {
			return err
		}
		for _, s := range slices.Backward(f.Imports) {
			ip, _ := strconv.Unquote(s.Path.Value)
			if to, internal := q.internalImport(ip); internal {
				if to == "" {
					return fmt.Errorf("%s: cannot import %s", p, ip)
				}
				b = slices.Concat(b[:s.Path.Pos()-f.FileStart], []byte(strconv.Quote(to)), b[s.Path.End()-f.FileStart:])
			}
		}
		if err := os.WriteFile(filepath.Join(dst, name), b, 0o666); err != nil {
			return err
		}
	}
	return nil
}

var compileError = regexp.MustCompile(`(?m)^(?:\./|\S*/)?([^/\s:]+\.go):(\d+):\d+: (.*)$`)

// compile writes and builds a package, and drops what does not compile.
func compile(p *pkg, dir string) error {
	pdir := filepath.Join(dir, p.g.name)
	for try := 0; ; try++ {
		args := []string{"test", "-c", "-vet=off", "-o", filepath.Join(dir, p.g.name+".test"), "-gcflags=-e"}
		if *raceFlag {
			args = append(args, "-race")
		}
		if *tags != "" {
			args = append(args, "-tags", *tags)
		}
		cmd := goCmd(pdir, append(args, ".")...)
		cmd.Env = append(cmd.Env, "GOWORK="+filepath.Join(dir, "go.work"))
		_, err := output(cmd)
		if err == nil {
			return nil
		}
		found := false
		for _, m := range compileError.FindAllStringSubmatch(err.Error(), -1) {
			line, _ := strconv.Atoi(m[2])
			for _, u := range p.units {
				if u.file.name == m[1] && u.broken == "" &&
					p.fset.Position(u.from).Line <= line && line <= p.fset.Position(u.to).Line {
					u.broken = "does not compile outside " + p.g.src + ": " + m[3]
					found = true
				}
			}
		}
		if !found || try == 10 {
			return err
		}
		p.spread()
		if err := p.write(pdir); err != nil {
			return err
		}
	}
}

// choose adds the package's tests to the report, as kept or as dropped.
func (p *pkg) choose(rep *report) {
	for _, u := range p.units {
		if !u.test {
			continue
		}
		t := &result{Name: u.names[0], Package: p.g.name, File: path.Join(p.g.src, u.file.name), Class: p.className(u.file.name)}
		switch {
		case u.broken != "":
			t.Reason = u.broken
		case http2Names.MatchString(t.Name):
			t.Reason = "HTTP/2 only"
		case noServer[t.Name]:
			t.Reason = "does not use the server"
		case unportable[t.Name] != "":
			t.Reason = "unportable: " + unportable[t.Name]
		case !reaches(u, func(u *unit) bool { return u.server }):
			t.Reason = "starts no server"
		}
		if t.Reason != "" {
			rep.Dropped = append(rep.Dropped, t)
		} else {
			rep.Tests = append(rep.Tests, t)
		}
	}
}

func (p *pkg) className(file string) string {
	if c := p.g.class[file]; c != "" {
		return c
	}
	name, _, _ := strings.Cut(p.g.name, "_")
	if name == "nethttp" {
		return "server"
	}
	return name
}

// whiteBox lists the tests inside package http as dropped.
func whiteBox(goroot string, rep *report) {
	names, _ := filepath.Glob(filepath.Join(srcDir(goroot, "net/http"), "*_test.go"))
	for _, name := range names {
		f, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.SkipObjectResolution)
		if err != nil || f.Name.Name != "http" {
			continue
		}
		for _, d := range f.Decls {
			if fd, ok := d.(*ast.FuncDecl); ok && fd.Recv == nil && isTest(fd.Name.Name) {
				rep.Dropped = append(rep.Dropped, &result{
					Name: fd.Name.Name, Package: "nethttp", Class: "server",
					File: "net/http/" + filepath.Base(name), Reason: "white-box test inside package http",
				})
			}
		}
	}
}
