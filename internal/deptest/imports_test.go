package deptest

import (
	"slices"
	"strings"
	"testing"
)

// A ban is an import that a package must not have. A path ending in "/..."
// covers what is below it, too.
type ban struct {
	path   string
	direct bool // only the package's own imports count, not what those import
	why    string
}

// rules are the arrows that must not exist. Bans are over everything a package
// depends on unless they say direct: much of the standard library reaches sync
// or syscall in the end.
var rules = map[string][]ban{
	"proto/wire": {
		{path: module + "/...", why: "the HTTP machine is a leaf, so that it can be tested, fuzzed and reused alone"},
		{path: "net", why: "sans-IO: bytes in, events out; it can see no socket"},
		{path: "net/http", why: "net/http's types belong to the bridge in proto"},
		{path: "os", why: "sans-IO"},
		{path: "context", why: "nothing in it waits"},
		{path: "log/slog", why: "it reports by its results"},
		{path: "sync", direct: true, why: "one connection, one owner: a lock here would hide a mistake above"},
		{path: "sync/atomic", direct: true, why: "one connection, one owner"},
		{path: "syscall", direct: true, why: "sans-IO"},
	},
	"proto": {
		{path: module + "/ring/...", why: "HTTP cannot see sockets: it must ride on any transport"},
		{path: module + "/portable", why: "HTTP cannot see sockets: it must ride on any transport"},
		{path: module + "/tlsbridge", why: "TLS is a sleeve around proto, not a part of it"},
		{path: "os/exec", why: "no business of a server's"},
		{path: "syscall", direct: true, why: "the transport turns system errors into net's"},
		{path: "golang.org/x/sys/...", why: "no system call belongs here"},
	},
	"listen": {
		{path: module + "/...", why: "the seam is a leaf: both sides depend on it, it on neither"},
		{path: "net/http", why: "sockets cannot see HTTP"},
		{path: "crypto/tls", why: "TLS is a sleeve in tlsbridge"},
		{path: "golang.org/x/sys/...", why: "the ring's business"},
	},
	"listen/listentest": {
		{path: module + "/proto/...", why: "the suite holds for any protocol"},
		{path: module + "/ring/...", why: "the suite is called by transports, it names none"},
		{path: module + "/portable", why: "the suite is called by transports, it names none"},
		{path: "net/http", why: "sockets cannot see HTTP"},
	},
	"ring": {
		{path: module + "/proto/...", why: "sockets cannot see HTTP"},
		{path: module + "/portable", why: "the fallback is chosen above, not below"},
		{path: module + "/tlsbridge", why: "TLS is a sleeve that any transport can wear"},
		{path: "net/http", why: "sockets cannot see HTTP"},
		{path: "crypto/tls", why: "TLS is a sleeve that any transport can wear"},
	},
	"ring/internal/uring": {
		{path: module + "/...", why: "kernel memory and system calls, nothing else"},
		{path: "net/http", why: "kernel memory and system calls, nothing else"},
		{path: "crypto/tls", why: "kernel memory and system calls, nothing else"},
	},
	"portable": {
		{path: module + "/ring/...", why: "embedders get pure Go on every GOOS"},
		{path: module + "/tlsbridge", why: "embedders bring their own listener; crypto/tls works on it"},
		{path: "golang.org/x/sys/...", why: "package net does the system calls"},
		{path: "unsafe", direct: true, why: "embedders get no unsafe"},
	},
	"tlsbridge": {
		{path: module + "/proto/...", why: "a sleeve fits any protocol"},
		{path: module + "/ring/...", why: "a sleeve fits any transport"},
		{path: module + "/portable", why: "a sleeve fits any transport"},
		{path: "net/http", why: "a sleeve fits any protocol"},
	},
	"tlsbridge/h2": {
		{path: module + "/proto/...", why: "HTTP/2 stands beside the HTTP/1.1 machine, not on it"},
		{path: module + "/ring/...", why: "it works on any Link"},
		{path: module + "/portable", why: "it works on any Link"},
	},
	".": {
		{path: module + "/ring/internal/...", direct: true, why: "what the ring is made of is its own affair"},
		{path: module + "/internal/...", why: "tools of this repository are not part of the product"},
		{path: module + "/cmd/...", why: "the program uses the package, not the other way round"},
		{path: module + "/listen/listentest", why: "a test suite is not part of the product"},
		{path: "testing", why: "test code is not part of the product"},
	},
}

// portableProtoFile is the one file of package portable that may see HTTP.
const portableProtoFile = "portable/server.go"

func (b ban) matches(path string) bool {
	if prefix, ok := strings.CutSuffix(b.path, "/..."); ok {
		return path == prefix || strings.HasPrefix(path, prefix+"/")
	}
	return path == b.path
}

func TestNoForbiddenImport(t *testing.T) {
	for _, pl := range platforms {
		t.Run(pl.String(), func(t *testing.T) {
			t.Parallel()
			all := load(t, pl)
			for _, p := range own(all) {
				for _, b := range rules[p.rel()] {
					checkBan(t, all, p, b)
				}
			}
		})
	}
}

func checkBan(t *testing.T, all map[string]*listed, p *listed, b ban) {
	t.Helper()
	reach := p.Deps
	if b.direct {
		reach = p.Imports
	}
	for _, d := range reach {
		if b.matches(d) && d != p.ImportPath {
			t.Errorf("%s depends on %s (%s): %s", p.rel(), d, strings.Join(chain(all, p.ImportPath, d), " -> "), b.why)
		}
	}
}

// chain finds how from comes to depend on to, for the message.
func chain(all map[string]*listed, from, to string) []string {
	before := map[string]string{from: ""}
	queue := []string{from}
	for len(queue) > 0 && queue[0] != to {
		q := queue[0]
		queue = queue[1:]
		if all[q] == nil {
			continue
		}
		for _, i := range all[q].Imports {
			if _, seen := before[i]; !seen {
				before[i] = q
				queue = append(queue, i)
			}
		}
	}
	path := []string{}
	for p := to; p != ""; p = before[p] {
		path = append(path, p)
	}
	slices.Reverse(path)
	return path
}

// Every folder that the rules name exists: a renamed package must not slip
// out of them.
func TestRulesNameExistingPackages(t *testing.T) {
	all := load(t, platforms[0])
	for rel := range rules {
		path := module
		if rel != "." {
			path += "/" + rel
		}
		if all[path] == nil {
			t.Errorf("the rules name %s, which does not exist", rel)
		}
	}
}

// In package portable the transport knows no HTTP; only the embedding server
// in server.go joins the two.
func TestPortableTransportCannotSeeHTTP(t *testing.T) {
	for _, s := range sources(t) {
		if s.dir() != "portable" || s.test() || s.path == portableProtoFile {
			continue
		}
		for _, i := range s.file.Imports {
			path := strings.Trim(i.Path.Value, `"`)
			if path == "net/http" || strings.HasPrefix(path, module+"/proto") {
				t.Errorf("%s imports %s: only %s may", s.path, path, portableProtoFile)
			}
		}
	}
}

// allowedModules are the modules that library packages may pull into the build
// of somebody who embeds Windhover.
var allowedModules = map[string]map[string]string{
	"golang.org/x/sys": {
		".":                   "through ring",
		"ring":                "through ring/internal/uring",
		"ring/internal/uring": "system call numbers and flags",
		"listen/systemd":      "CLOCK_MONOTONIC, which package time does not show",
	},
	"software.sslmate.com/src/go-pkcs12": {
		".":         "through tlsbridge",
		"tlsbridge": "PFX files, which Kestrel users have",
	},
	"golang.org/x/net": {
		".":            "idna, for the names of the host filter",
		"tlsbridge/h2": "HTTP/2, which net/http does not offer for connections of others",
	},
	"golang.org/x/text": {
		".":            "through golang.org/x/net/idna",
		"tlsbridge/h2": "through golang.org/x/net/http2",
	},
	"github.com/youmark/pkcs8": {
		".":         "through tlsbridge",
		"tlsbridge": "private keys encrypted with a password, which crypto/x509 does not read",
	},
	"github.com/pires/go-proxyproto": {
		"listen/proxyproto": "the PROXY protocol's two header formats",
	},
	"golang.org/x/crypto": {
		".":         "through go-pkcs12",
		"tlsbridge": "OCSP responses; and through go-pkcs12",
	},
}

// Library packages stay light; command-line, configuration and metrics modules
// belong to cmd/windhover.
func TestLibraryPackagesStayLight(t *testing.T) {
	for _, pl := range platforms {
		all := load(t, pl)
		for _, p := range own(all) {
			if rel := p.rel(); strings.HasPrefix(rel, "cmd/") || strings.HasPrefix(rel, "internal/") {
				continue
			}
			for _, d := range p.Deps {
				q := all[d]
				if q == nil || q.Standard || q.Module == nil || q.Module.Path == module {
					continue
				}
				if allowedModules[q.Module.Path][p.rel()] == "" {
					t.Errorf("on %v %s depends on module %s (%s)", pl, p.rel(), q.Module.Path, strings.Join(chain(all, p.ImportPath, d), " -> "))
				}
			}
		}
	}
}
