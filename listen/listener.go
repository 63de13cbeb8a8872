package listen

import (
	"net"
	"net/netip"
	"slices"
)

// Listener is a bound endpoint, or one of the two sockets of localhost. Its
// methods may be called from any goroutine.
type Listener struct {
	net.Listener
	endpoint  Endpoint
	index     int
	warnings  []string
	inherited bool
	delayed   bool
}

// Unwrap returns the listener that package net made: a *net.TCPListener or
// *net.UnixListener, or whatever was given as [BindOptions].Inherited.
// Transports are given this one, because the ring takes over the sockets of the
// first two only and leaves others to package portable; what Accept does
// besides, they are told by [Options].
func (l *Listener) Unwrap() net.Listener { return l.Listener }

// Accept implements [net.Listener]. It obeys [BindOptions].DisableNoDelay.
func (l *Listener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if t, ok := c.(*net.TCPConn); ok && l.delayed {
		_ = t.SetNoDelay(false) // fails only on a connection that is gone already
	}
	return c, err
}

// Delayed reports whether connections are to keep Nagle's algorithm: what
// [Options].Delay should be.
func (l *Listener) Delayed() bool { return l.delayed }

// Endpoint returns what was bound, with the port as it was asked for.
func (l *Listener) Endpoint() Endpoint { return l.endpoint }

// Index returns which of the bindings that [Bind] was given this is for.
func (l *Listener) Index() int { return l.index }

// Inherited reports whether the socket came from outside.
func (l *Listener) Inherited() bool { return l.inherited }

// Warnings returns remarks for the log: loopback addresses that could not be
// bound, a host name that listens on every interface, an option that this
// system does not have.
func (l *Listener) Warnings() []string { return slices.Clone(l.warnings) }

// SetUnlinkOnClose says whether Close removes the file of a Unix socket. It
// does by default, except for inherited sockets. A process that has handed the
// socket to another must not remove it.
func (l *Listener) SetUnlinkOnClose(unlink bool) {
	if u, ok := l.Listener.(interface{ SetUnlinkOnClose(bool) }); ok { // *net.UnixListener, not on Plan 9
		u.SetUnlinkOnClose(unlink)
	}
}

// Address returns where clients find the endpoint, in the form that Kestrel
// reports: "http://127.0.0.1:48508" with the actual port, "http://[::]:80" for
// every interface, "http://localhost:5000" for either socket of localhost,
// "http://unix:/run/app.sock".
func (l *Listener) Address() string {
	e := l.endpoint
	switch a := l.Addr().(type) {
	case *net.TCPAddr:
		ip := a.AddrPort().Addr().Unmap()
		if e.Kind() != Localhost || !ip.IsLoopback() {
			e.Host = ip.String()
		}
		e.Port, e.Path = uint16(a.Port), ""
	case *net.UnixAddr:
		e = Endpoint{Scheme: e.Scheme, Path: a.Name}
		if e.Path == "" { // an unnamed socket, from outside
			return e.Scheme + "://" + unixPrefix
		}
	default:
		return e.Scheme + "://" + a.String()
	}
	return e.String()
}

// Addresses returns the Address of each listener, localhost once.
func Addresses(ls []*Listener) []string {
	var all []string
	for _, l := range ls {
		if a := l.Address(); !slices.Contains(all, a) {
			all = append(all, a)
		}
	}
	return all
}

// Matches reports whether a socket bound to addr serves e: it tells which of
// several inherited sockets belongs to which prefix.
func (e Endpoint) Matches(addr net.Addr) bool {
	switch a := addr.(type) {
	case *net.TCPAddr:
		ip := a.AddrPort().Addr().Unmap()
		if e.Path != "" || e.Port != uint16(a.Port) {
			return false
		}
		if e.Kind() == AnyIP {
			return ip == netip.IPv4Unspecified() || ip == netip.IPv6Unspecified()
		}
		return slices.Contains(e.addrs(), ip)
	case *net.UnixAddr:
		return e.Path != "" && e.Path == a.Name
	}
	return false
}
