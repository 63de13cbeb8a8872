package main

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"os"
	"syscall"

	"github.com/windhover-server/windhover/cmd/windhover/internal/config"
	"github.com/windhover-server/windhover/cmd/windhover/internal/handover"
	"github.com/windhover-server/windhover/listen"
)

// socket is one listening socket and the address it was bound for.
type socket struct {
	*listen.Listener
	address config.Address
	admin   bool
	name    string // under which a successor looks for it
}

// sockets binds what the configuration names, and knows how to hand it on.
type sockets struct {
	cfg       *config.Config
	logger    *slog.Logger
	inherited *handover.Inherited
	activated []activated // by systemd
	all       []socket
}

// activated is a socket that systemd has opened.
type activated struct {
	name string
	ln   net.Listener
}

// bind binds every address, the admin endpoint's included, or none.
func (s *sockets) bind(ctx context.Context) error {
	addresses, overridden := s.cfg.Addresses()
	if overridden != "" {
		s.logger.Warn(overridden)
	}
	if s.cfg.Source("urls") == "default" && len(s.cfg.Endpoints) == 0 && len(s.activated) > 0 {
		addresses = s.activatedAddresses()
	}
	wanted, err := s.wanted(addresses)
	if err != nil {
		return err
	}
	bindings := make([]listen.Binding, len(wanted))
	for i, w := range wanted {
		if bindings[i], err = s.binding(w); err != nil {
			return err
		}
	}
	for _, a := range s.activated {
		return fmt.Errorf("systemd has passed the socket %s (%s), which no address matches; add its address to urls or remove the socket", a.ln.Addr(), a.name)
	}
	listeners, err := listen.Bind(ctx, bindings)
	if err != nil {
		return err
	}
	s.keep(listeners, wanted)
	return nil
}

// keep notes which listener belongs to which wish. Each wish has one or, for
// localhost and for inherited sockets, several, in the order of the wishes; the
// same prefix twice, which port 0 allows, has one each.
func (s *sockets) keep(listeners []*listen.Listener, wanted []wish) {
	i := -1
	for _, ln := range listeners {
		if i < 0 || wanted[i].endpoint != ln.Endpoint() || i+1 < len(wanted) && wanted[i+1].endpoint == ln.Endpoint() {
			i++
		}
		w := wanted[i]
		s.all = append(s.all, socket{Listener: ln, address: w.address, admin: w.admin, name: w.name})
		for _, warning := range ln.Warnings() {
			s.logger.Warn(warning)
		}
	}
}

// wish is an address before it is bound.
type wish struct {
	endpoint listen.Endpoint
	address  config.Address
	admin    bool
	name     string
}

func (s *sockets) wanted(addresses []config.Address) ([]wish, error) {
	if s.cfg.Admin.URL != "" {
		addresses = append(addresses, config.Address{URL: s.cfg.Admin.URL, Endpoint: config.Endpoint{NoDelay: true}})
	}
	var out []wish
	seen := make(map[listen.Endpoint]int)
	for i, a := range addresses {
		e, err := listen.Parse(a.URL)
		if err != nil {
			return nil, usageError{err}
		}
		// Two addresses with port 0 may be the same prefix twice.
		seen[e]++
		w := wish{endpoint: e, address: a, name: fmt.Sprintf("%s %d", e, seen[e])}
		if s.cfg.Admin.URL != "" && i == len(addresses)-1 {
			w.admin = true
			if e.TLS() {
				return nil, usageError{fmt.Errorf("admin.url is %q (%s); allowed: an http:// address, which only those who run the server can reach", a.URL, s.cfg.Source("admin.url"))}
			}
		}
		out = append(out, w)
	}
	return out, nil
}

// binding says how to bind w, or which sockets there are for it already.
func (s *sockets) binding(w wish) (listen.Binding, error) {
	a := &w.address
	b := listen.Binding{Endpoint: w.endpoint, Options: listen.BindOptions{
		Backlog: int(a.Backlog), ReusePort: a.ReusePort, DisableNoDelay: !a.NoDelay, UnixMode: a.UnixMode, UnixOwner: a.UnixOwner,
	}}
	for _, f := range s.inherited.Take(w.name) {
		ln, err := listen.FromFile(f)
		if err != nil {
			return b, err
		}
		if u, ok := ln.(*net.UnixListener); ok {
			u.SetUnlinkOnClose(true) // the file is ours from now on
		}
		b.Options.Inherited = append(b.Options.Inherited, ln)
	}
	if len(b.Options.Inherited) == 0 {
		b.Options.Inherited = s.takeActivated(w)
	}
	return b, nil
}

// takeActivated returns the sockets of systemd that carry the name of an
// endpoint of the file, or are bound to its address.
func (s *sockets) takeActivated(w wish) (out []net.Listener) {
	var rest []activated
	for _, a := range s.activated {
		if w.address.Name != "" && a.name == w.address.Name || w.endpoint.Matches(a.ln.Addr()) {
			out = append(out, a.ln)
		} else {
			rest = append(rest, a)
		}
	}
	s.activated = rest
	return out
}

// activatedAddresses are those of systemd's sockets, for when nothing is
// configured: then, as with Kestrel, they are what is served.
func (s *sockets) activatedAddresses() (out []config.Address) {
	for _, a := range s.activated {
		url := "http://" + a.ln.Addr().String()
		if u, ok := a.ln.Addr().(*net.UnixAddr); ok {
			url = "http://unix:" + u.Name
		}
		out = append(out, config.Address{URL: url, Endpoint: s.cfg.Defaults})
	}
	return out
}

// addresses are those to report: of the service, or of the admin endpoint.
func (s *sockets) addresses(admin bool) []string {
	var lns []*listen.Listener
	for _, sock := range s.all {
		if sock.admin == admin {
			lns = append(lns, sock.Listener)
		}
	}
	return listen.Addresses(lns)
}

// handOver starts a successor with all sockets. When it serves, the files of
// Unix sockets are its own.
func (s *sockets) handOver(ctx context.Context, p handover.Process) error {
	var list []handover.Socket
	for _, sock := range s.all {
		conn, ok := sock.Unwrap().(syscall.Conn)
		if !ok {
			return fmt.Errorf("%s cannot be handed over", sock.Address())
		}
		list = append(list, handover.Socket{Name: sock.name, Conn: conn})
	}
	pid, err := handover.Start(ctx, p, list)
	if err != nil {
		return err
	}
	for _, sock := range s.all {
		sock.SetUnlinkOnClose(false)
	}
	s.logger.Info("a new process has taken over", slog.Int("pid", pid))
	return nil
}

// close closes what was bound.
func (s *sockets) close() {
	for _, sock := range s.all {
		_ = sock.Close() // the server may have closed it
	}
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
