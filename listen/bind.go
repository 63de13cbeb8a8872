package listen

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"runtime"
	"syscall"
)

// DefaultBacklog is Kestrel's.
const DefaultBacklog = 512

// BindOptions say how an endpoint is bound. The zero value is usable.
type BindOptions struct {
	// Backlog is how many connections may wait to be accepted. Default
	// [DefaultBacklog]; the system may have a lower maximum (Linux:
	// net.core.somaxconn). Only Unix systems have the option; elsewhere the
	// system's maximum is used.
	Backlog int
	// ReusePort sets SO_REUSEPORT (FreeBSD: SO_REUSEPORT_LB), so that several
	// processes of one user may listen on the port and share its connections.
	// That the address is in use is then noticed only when the other process
	// did not set it. Linux and the BSDs have it; elsewhere it is an error.
	ReusePort bool
	// DisableNoDelay leaves Nagle's algorithm on: small writes may wait for
	// the peer. Windhover writes whole responses at once and does not need it.
	DisableNoDelay bool
	// UnixMode is the file mode of a Unix socket. 0 leaves it to the umask.
	UnixMode fs.FileMode
	// UnixOwner is the owner of a Unix socket: "user", "user:group" or
	// ":group", by name or number. Empty means the process's own.
	UnixOwner string
	// Inherited are sockets that listen already, from systemd or another
	// process; see [FromFile]. With them, nothing is bound.
	Inherited []net.Listener
}

// Binding is one endpoint to bind.
type Binding struct {
	Endpoint Endpoint
	Options  BindOptions
}

// Bind binds all of the endpoints or none: an error closes what was bound
// before it. Only the inherited sockets stay open then; otherwise they belong
// to the Listeners returned. Errors are of type *[PrefixError] for what cannot
// be bound on any machine, found before anything is bound, else *[BindError].
//
// localhost binds 127.0.0.1, then [::1]: one of them may be unavailable
// (IPv6 switched off), which is a warning of the other, but neither may be in
// use. Every-interface hosts bind [::] for both families, or 0.0.0.0 where
// there is no IPv6. The file of a Unix socket that nobody listens on any more
// is replaced.
func Bind(ctx context.Context, bindings []Binding) (_ []*Listener, err error) {
	for i, b := range bindings {
		if err := b.check(bindings[:i]); err != nil {
			return nil, err
		}
	}
	var all []*Listener
	defer func() {
		if err != nil {
			for _, l := range all {
				if !l.inherited {
					_ = l.Close() // err says what went wrong
				}
			}
		}
	}()
	for i, b := range bindings {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		ls, err := b.bind(ctx)
		for _, l := range ls {
			l.index = i
		}
		all = append(all, ls...)
		if err != nil {
			return nil, err
		}
	}
	return all, nil
}

// check finds what is wrong before anything is bound.
func (b *Binding) check(earlier []Binding) error {
	if err := b.Endpoint.check(); err != nil {
		return err
	}
	if len(b.Options.Inherited) > 0 {
		return nil
	}
	bad := func(detail string, args ...any) error {
		return refuse(b.Endpoint.String(), ErrOption, fmt.Sprintf(detail, args...))
	}
	o := &b.Options
	switch {
	case o.Backlog < 0:
		return bad("Backlog is %d; allowed: 1 and above, or 0 for %d", o.Backlog, DefaultBacklog)
	case o.UnixMode&^fs.ModePerm != 0:
		return bad("UnixMode is %v; allowed: permission bits, 0001 to 0777", o.UnixMode)
	case o.ReusePort && reusePort == 0:
		return bad("%s has no SO_REUSEPORT; do without ReusePort", runtime.GOOS)
	case b.Endpoint.Path != "" && b.Endpoint.Path[0] == '@' && runtime.GOOS != "linux" && runtime.GOOS != "android":
		return bad("abstract sockets exist on Linux only; use a path")
	}
	if _, _, err := parseOwner(o.UnixOwner); err != nil {
		return bad("the owner of socket files is %q: %v; allowed: user, user:group or :group that this system has, by name or number", o.UnixOwner, err)
	}
	for _, x := range earlier {
		if len(x.Options.Inherited) > 0 || x.Options.ReusePort && o.ReusePort && x.Endpoint.Scheme == b.Endpoint.Scheme {
			continue
		}
		if why := x.Endpoint.clash(b.Endpoint); why != "" {
			return refuse(b.Endpoint.String(), ErrConflict, why)
		}
	}
	return nil
}

// bind may return listeners together with an error.
func (b *Binding) bind(ctx context.Context) ([]*Listener, error) {
	if in := b.Options.Inherited; len(in) > 0 {
		var ls []*Listener
		for _, ln := range in {
			l := b.listener(ln)
			l.inherited = true
			ls = append(ls, l)
		}
		return ls, nil
	}
	switch b.Endpoint.Kind() {
	case Unix:
		return one(b.bindUnix(ctx))
	case Localhost:
		return b.bindLocalhost(ctx)
	case AnyIP:
		return b.bindAny(ctx)
	case IP:
	}
	ip, _ := b.Endpoint.ip()
	return one(b.bindTCP(ctx, ip, b.Endpoint.Port))
}

func one(l *Listener, err error) ([]*Listener, error) {
	if err != nil {
		return nil, err
	}
	return []*Listener{l}, nil
}

func (b *Binding) listener(ln net.Listener) *Listener {
	l := &Listener{Listener: ln, endpoint: b.Endpoint, delayed: b.Options.DisableNoDelay}
	if b.Endpoint.ByName() {
		l.warnings = append(l.warnings, fmt.Sprintf("%s listens on every interface: a host name neither selects an interface nor filters requests", b.Endpoint))
	}
	return l
}

// bindLocalhost is Kestrel's LocalhostListenOptions.
func (b *Binding) bindLocalhost(ctx context.Context) ([]*Listener, error) {
	var ls []*Listener
	var failed []error
	var warnings []string
	families := [...]string{"IPv4", "IPv6"}
	for i, ip := range b.Endpoint.addrs() {
		l, err := b.bindTCP(ctx, ip, b.Endpoint.Port)
		switch {
		case err == nil:
			ls = append(ls, l)
		case isInUse(err):
			return ls, err
		default:
			failed = append(failed, err)
			warnings = append(warnings, fmt.Sprintf("%s: %s loopback is not available: %s", b.Endpoint, families[i], cause(err)))
		}
	}
	if len(ls) == 0 {
		err := errors.Join(failed...)
		return nil, &BindError{Prefix: b.Endpoint.String(), Err: err, Remedy: b.remedy(failed[0])}
	}
	ls[0].warnings = append(ls[0].warnings, warnings...)
	return ls, nil
}

// bindAny is Kestrel's AnyIPListenOptions.
func (b *Binding) bindAny(ctx context.Context) ([]*Listener, error) {
	v4, v6 := netip.IPv4Unspecified(), netip.IPv6Unspecified()
	l, err := b.bindTCP(ctx, v6, b.Endpoint.Port)
	if err != nil {
		if isInUse(err) {
			return nil, err
		}
		return one(b.bindTCP(ctx, v4, b.Endpoint.Port))
	}
	if runtime.GOOS != "openbsd" && runtime.GOOS != "dragonfly" {
		return []*Listener{l}, nil
	}
	// Their IPv6 sockets never take IPv4.
	l4, err := b.bindTCP(ctx, v4, uint16(l.Addr().(*net.TCPAddr).Port))
	if err != nil {
		return []*Listener{l}, err
	}
	return []*Listener{l, l4}, nil
}

// bindTCP listens on one address.
func (b *Binding) bindTCP(ctx context.Context, ip netip.Addr, port uint16) (*Listener, error) {
	network := "tcp" // for [::]: both families
	if ip.Is4() {
		network = "tcp4"
	}
	l, err := b.listen(ctx, network, netip.AddrPortFrom(ip, port).String())
	if err != nil {
		at := Endpoint{Scheme: b.Endpoint.Scheme, Host: ip.String(), Port: port}
		return nil, &BindError{Prefix: b.Endpoint.String(), Address: at.String(), Err: err, Remedy: b.remedy(err)}
	}
	return l, nil
}

// listen opens the socket with the options that it has.
func (b *Binding) listen(ctx context.Context, network, address string) (*Listener, error) {
	lc := net.ListenConfig{Control: b.control}
	ln, err := lc.Listen(ctx, network, address)
	if err != nil {
		return nil, err
	}
	l := b.listener(ln)
	backlog := b.Options.Backlog
	if backlog == 0 {
		backlog = DefaultBacklog
	}
	err = setBacklog(ln.(syscall.Conn), backlog) // a *net.TCPListener or *net.UnixListener
	if errors.Is(err, errors.ErrUnsupported) {
		if b.Options.Backlog != 0 {
			l.warnings = append(l.warnings, fmt.Sprintf("%s: %s does not let a program choose the backlog", b.Endpoint, runtime.GOOS))
		}
		err = nil
	}
	if err != nil {
		_ = ln.Close() // err says what went wrong
		return nil, os.NewSyscallError("listen", err)
	}
	return l, nil
}

// remedy is what the operator can do about err.
func (b *Binding) remedy(err error) string {
	unix := b.Endpoint.Path != ""
	switch {
	case isInUse(err) && unix:
		return "stop the program that listens there or choose another path"
	case isInUse(err):
		return "stop the program that listens there or choose another port"
	case isDenied(err) && unix:
		return "give this user the right to write to the directory, or choose another path"
	case isDenied(err) && b.Endpoint.Port < 1024 && runtime.GOOS == "linux":
		return "ports below 1024 are privileged: choose another port, let systemd open the socket, " +
			"or give the program the right with setcap cap_net_bind_service=+ep"
	case isDenied(err) && b.Endpoint.Port < 1024:
		return "ports below 1024 are privileged: choose another port or start as a user who may"
	case unix && errors.Is(err, fs.ErrNotExist):
		return "make the directory first"
	case unix && errors.Is(err, syscall.EINVAL):
		return "the path of a socket may have about 100 bytes; choose a shorter one"
	case isNoSuchAddress(err):
		return "this machine does not have the address; use one that it has, or * for every interface"
	}
	return ""
}

// cause is err's innermost text: what surrounds it has been said already. Of
// several errors it is the first.
func cause(err error) string {
	for {
		inner := errors.Unwrap(err)
		if several, ok := err.(interface{ Unwrap() []error }); ok {
			inner = several.Unwrap()[0]
		}
		if inner == nil {
			return err.Error()
		}
		err = inner
	}
}
