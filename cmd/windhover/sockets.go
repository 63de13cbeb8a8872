package main

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"os"
	"syscall"

	"github.com/windhover-server/windhover"
	"github.com/windhover-server/windhover/cmd/windhover/internal/config"
	"github.com/windhover-server/windhover/cmd/windhover/internal/handover"
	"github.com/windhover-server/windhover/listen"
	"github.com/windhover-server/windhover/listen/systemd"
)

// origins are where sockets can come from without being bound: a predecessor,
// or the service manager.
type origins struct {
	inherited *handover.Inherited
	activated systemd.Sockets
	seen      map[string]int
}

func findOrigins() (*origins, error) {
	inherited, err := handover.Inherit()
	if err != nil {
		return nil, err
	}
	o := &origins{inherited: inherited, seen: make(map[string]int)}
	if o.activated, err = systemd.Inherit(); err != nil {
		o.close()
		return nil, err
	}
	return o, nil
}

// close gives back what was not taken.
func (o *origins) close() {
	o.inherited.Close()
	o.activated.Close()
}

// socketName is the name under which a successor looks for the sockets of the
// n-th address with this prefix: with port 0 there may be several.
func socketName(role string, e listen.Endpoint, n int) string {
	return fmt.Sprintf("%s %s %d", role, e, n)
}

// take returns the sockets that exist for an address. name is that of the
// endpoint in the file, "" for none.
func (o *origins) take(role, name, url string) ([]net.Listener, error) {
	e, err := listen.Parse(url)
	if err != nil {
		return nil, err
	}
	o.seen[role+e.String()]++
	n := o.seen[role+e.String()]
	var out []net.Listener
	for _, f := range o.inherited.Take(socketName(role, e, n)) {
		ln, err := listen.FromFile(f)
		if err != nil {
			return out, err
		}
		if u, ok := ln.(*net.UnixListener); ok {
			u.SetUnlinkOnClose(true) // the file is ours from now on
		}
		out = append(out, ln)
	}
	if len(out) > 0 {
		return out, nil
	}
	return o.activated.Take(name, e), nil
}

// activatedAddresses are those of systemd's sockets: when nothing is
// configured they are what is served, as with Kestrel.
func (o *origins) activatedAddresses(defaults config.Endpoint) (out []config.Address) {
	for _, a := range o.activated {
		url := "http://" + a.Listener.Addr().String()
		if u, ok := a.Listener.Addr().(*net.UnixAddr); ok {
			url = "http://unix:" + u.Name
		}
		out = append(out, config.Address{Name: a.Name, URL: url, Endpoint: defaults})
	}
	return out
}

// unclaimed is an error if systemd has passed a socket that nothing serves:
// clients would connect to it and wait for ever.
func (o *origins) unclaimed() error {
	if len(o.activated) == 0 {
		return nil
	}
	a := o.activated[0]
	return fmt.Errorf("systemd has passed the socket %s (%q), which no address matches; add its address to urls or remove the socket unit", a.Listener.Addr(), a.Name)
}

// handOver starts a successor with the sockets of the servers, by role. When
// it serves, the files of Unix sockets are its own.
func handOver(ctx context.Context, p handover.Process, logger *slog.Logger, servers map[string]*windhover.Server) error {
	var list []handover.Socket
	for role, s := range servers {
		last := -1
		count := make(map[listen.Endpoint]int) // of addresses with one prefix
		for _, ln := range s.Listeners() {
			conn, ok := ln.Unwrap().(syscall.Conn)
			if !ok {
				return fmt.Errorf("%s cannot be handed over", ln.Address())
			}
			e := ln.Endpoint()
			if ln.Index() != last { // localhost has two sockets
				last = ln.Index()
				count[e]++
			}
			list = append(list, handover.Socket{Name: socketName(role, e, count[e]), Conn: conn})
		}
	}
	pid, err := handover.Start(ctx, p, list)
	if err != nil {
		return err
	}
	for _, s := range servers {
		for _, ln := range s.Listeners() {
			ln.SetUnlinkOnClose(false)
		}
	}
	logger.Info("a new process has taken over", slog.Int("pid", pid))
	return nil
}

// thisProcess is how to start a successor: the same program, the same way.
func thisProcess() (p handover.Process, err error) {
	if p.Path, err = os.Executable(); err != nil {
		return p, err
	}
	p.Args = os.Args
	p.Dir, err = os.Getwd()
	return p, err
}
