// Package servers holds the servers that the benchmark compares, each of which
// answers the paths of package content.
package servers

import (
	"context"
	"fmt"
	"net"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
)

// Feature is something a scenario needs of a server.
type Feature uint16

// The features. A server that lacks one is left out of the scenarios that need
// it, and the report says why.
const (
	Plaintext Feature = 1 << iota
	JSON
	Bytes
	Echo
	Upload
	Static
	Burn
	Upgrade
	TLS

	dynamic = Plaintext | JSON | Bytes | Echo | Upload | Burn | Upgrade | TLS
	all     = dynamic | Static
)

// Kind says what a server is for in the comparison.
type Kind string

// The kinds of servers.
const (
	Windhover Kind = "windhover" // this project
	Peer      Kind = "peer"      // what it is compared with
	Floor     Kind = "floor"     // not a server: what the system calls alone cost
)

// Server is one server that can be measured.
type Server struct {
	Name     string // as given to -server
	Title    string // as shown
	Kind     Kind
	Handler  string // the interface its handlers are written to
	Features Feature
	Lacks    string // why features are missing, if any are

	// Available returns nil if the server can run here, else why not.
	Available func() error
	// Version is the version of what serves, or "".
	Version func() string
	// Serve serves until ctx ends. It must call opt.Ready once.
	Serve func(ctx context.Context, opt Options) error
}

// Options say how a server is to serve.
type Options struct {
	Addr   string // HOST:PORT; port 0 picks one
	TLS    bool
	Assets string // directory made by content.WriteAssets
	Ready  func(addr string)
}

// All returns every server in the order of the report.
func All() []*Server {
	list := slices.Concat(windhoverServers(), []*Server{netHTTP(), fastHTTP(), hertzServer(), nginx(), h2o(), floor()})
	for _, s := range list {
		if s.Available == nil {
			s.Available = func() error { return nil }
		}
		if s.Version == nil {
			s.Version = func() string { return "" }
		}
	}
	return list
}

// Find returns the server of that name. "windhover" and "windhover-http" stand
// for the native and the http.Handler variant on the transport, "ring" by
// default; other servers have no transport to choose.
func Find(name, transport string) (*Server, error) {
	switch handler, ok := map[string]string{"windhover": "native", "windhover-http": "http"}[name]; {
	case ok && transport == "":
		name = "windhover-ring-" + handler
	case ok && (transport == "ring" || transport == "portable"):
		name = "windhover-" + transport + "-" + handler
	case ok:
		return nil, fmt.Errorf("no transport %q; use ring or portable", transport)
	case transport != "":
		return nil, fmt.Errorf("-transport is for the servers windhover and windhover-http, not for %q", name)
	}
	names := []string{"windhover", "windhover-http"}
	for _, s := range All() {
		if s.Name == name {
			return s, nil
		}
		names = append(names, s.Name)
	}
	return nil, fmt.Errorf("no server %q; use one of %s", name, strings.Join(names, ", "))
}

// serveListener binds opt.Addr, reports it, and runs serve until ctx ends.
func serveListener(ctx context.Context, opt Options, serve func(net.Listener) error) error {
	var lc net.ListenConfig
	ln, err := lc.Listen(ctx, "tcp", opt.Addr)
	if err != nil {
		return err
	}
	opt.Ready(ln.Addr().String())
	errc := make(chan error, 1)
	go func() { errc <- serve(ln) }()
	select {
	case err = <-errc:
	case <-ctx.Done():
	}
	return err
}

// moduleVersion is the version of a module that this program was built with.
func moduleVersion(path string) func() string {
	return func() string {
		info, ok := debug.ReadBuildInfo()
		if !ok {
			return ""
		}
		for _, m := range info.Deps {
			if m.Path == path {
				return m.Version
			}
		}
		return ""
	}
}

func goVersion() string { return runtime.Version() }
