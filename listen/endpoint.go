package listen

import (
	"fmt"
	"net/netip"
	"runtime"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Kind says what an [Endpoint] binds.
type Kind uint8

const (
	// AnyIP is every interface: the hosts "*" and "+", and, as in Kestrel,
	// every host name that is not local. Names are never resolved, and what
	// the client writes into Host is not compared with them.
	AnyIP Kind = iota
	// IP is one address. "[::]" takes IPv4 too, "0.0.0.0" takes IPv4 only.
	IP
	// Localhost is both loopback addresses: the host "localhost" and names
	// that end in ".localhost".
	Localhost
	// Unix is a Unix socket.
	Unix
)

// Endpoint is one parsed prefix. It is comparable; two prefixes that mean the
// same are equal except for the spelling of an every-interface host.
type Endpoint struct {
	// Scheme is "http" or "https".
	Scheme string
	// Host is the host in lower case, an IPv6 address without its brackets.
	// Empty for Unix sockets.
	Host string
	// Port is the TCP port; 0 asks the system for one. Without a port a prefix
	// means 80 or 443.
	Port uint16
	// Path is the file of a Unix socket, absolute, or "@" and a name in
	// Linux's abstract namespace.
	Path string
}

const unixPrefix = "unix:"

// Parse reads a prefix:
//
//	prefix   = ("http" / "https") "://" ( unix / host [":" port] ["/"] )
//	unix     = "unix:" ( "/" path / "@" name )     ends at a colon
//	host     = "*" / "+" / name / IPv4 / "[" IPv6 "]"
//
// It follows Kestrel, with these differences, each an error here: a port that
// is not a number, a path base, a legacy spelling of an IPv4 address such as
// 127.1 (it would listen on every interface), characters that no host has, an
// IPv6 address without brackets whose last group could be a port, and
// localhost with port 0, which Kestrel refuses later. Errors are of type
// *[PrefixError].
func Parse(prefix string) (Endpoint, error) {
	scheme, rest, ok := strings.Cut(prefix, "://")
	if !ok {
		return Endpoint{}, refuse(prefix, ErrSyntax, `it has no "://"; write it like http://localhost:5000`)
	}
	e := Endpoint{Scheme: lower(scheme)}
	var base string
	var err error
	if name, ok := strings.CutPrefix(rest, unixPrefix); ok && name != "" && (name[0] == '/' || name[0] == '@') {
		e.Path, base = cutSocket(name, runtime.GOOS == "windows")
		if len(e.Path) < 2 || strings.ContainsRune(e.Path, 0) {
			err = refuse(prefix, ErrSyntax, "it has no usable socket path; write it like http://unix:/run/app.sock")
		}
	} else {
		var hostport string
		hostport, base, ok = strings.Cut(rest, "/")
		if ok {
			base = "/" + base
		}
		err = e.parseHostPort(prefix, hostport)
	}
	switch {
	case err != nil:
		return Endpoint{}, err
	case e.Scheme != "http" && e.Scheme != "https":
		return Endpoint{}, refuse(prefix, ErrScheme, fmt.Sprintf("scheme %q is not known; use http:// or https://", scheme))
	case strings.TrimSuffix(base, "/") != "":
		return Endpoint{}, refuse(prefix, ErrPathBase, fmt.Sprintf("it has the path base %q; take it off there with http.StripPrefix in the handler", base))
	case e.Kind() == Localhost && e.Port == 0:
		return Endpoint{}, refuse(prefix, ErrLocalhostPort, "localhost is two addresses, which cannot share a port that the system picks; use 127.0.0.1:0, [::1]:0 or both")
	}
	return e, nil
}

// ParseList reads lists of prefixes separated by semicolons, as in Kestrel's
// urls setting. Blanks around a prefix are dropped, and so are empty pieces;
// the result may be empty. Prefixes that cannot be bound side by side are an
// error that names both.
func ParseList(lists ...string) ([]Endpoint, error) {
	var all []Endpoint
	for _, list := range lists {
		for piece := range strings.SplitSeq(list, ";") {
			if piece = strings.TrimSpace(piece); piece == "" {
				continue
			}
			e, err := Parse(piece)
			if err != nil {
				return nil, err
			}
			for _, earlier := range all {
				if why := earlier.clash(e); why != "" {
					return nil, refuse(piece, ErrConflict, why)
				}
			}
			all = append(all, e)
		}
	}
	return all, nil
}

// cutSocket splits "/path:base". On Windows the path may begin with a drive,
// as in "/C:/run/app.sock"; the slash before it is not part of it.
func cutSocket(s string, windows bool) (path, base string) {
	drive := 0
	if windows && len(s) > 3 && s[2] == ':' && (s[3] == '/' || s[3] == '\\') {
		s, drive = s[1:], 2
	}
	path, base, _ = strings.Cut(s[drive:], ":")
	return s[:drive] + path, base
}

// parseHostPort sets Host and Port. The port's default depends on Scheme.
func (e *Endpoint) parseHostPort(prefix, hostport string) error {
	if strings.Count(hostport, ":") > 1 && hostport[0] != '[' {
		if _, err := netip.ParseAddr(hostport); err == nil {
			return refuse(prefix, ErrHost, fmt.Sprintf("the IPv6 address %q needs brackets: its last group could be a port", hostport))
		}
	}
	host, port := hostport, ""
	if i := strings.LastIndexByte(hostport, ':'); i >= 0 && !strings.HasSuffix(hostport, "]") {
		host, port = hostport[:i], hostport[i+1:]
		n, err := strconv.ParseUint(port, 10, 16)
		if err != nil {
			if host == "unix" {
				return refuse(prefix, ErrPort, "the path of a Unix socket must be absolute; write it like http://unix:/run/app.sock")
			}
			return refuse(prefix, ErrPort, fmt.Sprintf("port %q is not a number from 0 to 65535", port))
		}
		e.Port = uint16(n)
	} else if e.Scheme == "https" {
		e.Port = 443
	} else {
		e.Port = 80
	}
	return e.parseHost(prefix, host)
}

func (e *Endpoint) parseHost(prefix, host string) error {
	if host == "" {
		return refuse(prefix, ErrSyntax, "it has no host; use * for every interface, or localhost")
	}
	literal := strings.ContainsAny(host, "[]:%")
	inner := host
	if strings.HasPrefix(host, "[") && strings.HasSuffix(host, "]") {
		inner = host[1 : len(host)-1]
		if !strings.Contains(inner, ":") {
			inner = "" // [127.0.0.1] is no address
		}
	}
	if a, err := netip.ParseAddr(inner); err == nil {
		e.Host = a.Unmap().String()
		return nil
	}
	switch e.Host = lower(host); {
	case literal:
		return refuse(prefix, ErrHost, fmt.Sprintf("%q is not an IPv6 address", host))
	case endsInNumber(host):
		return refuse(prefix, ErrHost, fmt.Sprintf("%q is not an IPv4 address; write all four numbers, in decimal", host))
	case host != "+" && !isHostName(host):
		return refuse(prefix, ErrHost, fmt.Sprintf("%q is not a host name", host))
	}
	return nil
}

// endsInNumber reports whether the last label of host is a number, as in the
// spellings of IPv4 addresses that inet_aton takes.
func endsInNumber(host string) bool {
	host = strings.TrimSuffix(host, ".")
	last := lower(host[strings.LastIndexByte(host, '.')+1:])
	digits := "0123456789"
	if rest, ok := strings.CutPrefix(last, "0x"); ok {
		last, digits = rest, "0123456789abcdef"
		if last == "" {
			return true
		}
	}
	return last != "" && strings.Trim(last, digits) == ""
}

// isHostName is about characters only: what cannot be a name is a slip of the
// pen, and would otherwise listen on every interface.
func isHostName(host string) bool {
	if !utf8.ValidString(host) {
		return false
	}
	for _, r := range host {
		switch {
		case 'a' <= r && r <= 'z', 'A' <= r && r <= 'Z', '0' <= r && r <= '9', r > 0xA0:
		case r == '-', r == '_', r == '.', r == '*':
		default:
			return false
		}
	}
	return true
}

// lower is ASCII only, so that it never makes two names of one or one of two.
func lower(s string) string {
	return strings.Map(func(r rune) rune {
		if 'A' <= r && r <= 'Z' {
			return r + 'a' - 'A'
		}
		return r
	}, s)
}

// Kind returns what e binds.
func (e Endpoint) Kind() Kind {
	if e.Path != "" {
		return Unix
	}
	if _, ok := e.ip(); ok {
		return IP
	}
	if host := strings.TrimSuffix(e.Host, "."); host == "localhost" || strings.HasSuffix(host, ".localhost") {
		return Localhost
	}
	return AnyIP
}

// ByName reports whether e has a host name but listens on every interface,
// which is worth a line in the log.
func (e Endpoint) ByName() bool {
	return e.Kind() == AnyIP && e.Host != "*" && e.Host != "+"
}

// TLS reports whether the scheme is https.
func (e Endpoint) TLS() bool { return e.Scheme == "https" }

// String returns the canonical prefix, which Parse reads back as e: lower case
// and always with the port.
func (e Endpoint) String() string {
	if e.Path != "" {
		path := e.Path
		if path[0] != '/' && path[0] != '@' {
			path = "/" + path // a drive of Windows
		}
		return e.Scheme + "://" + unixPrefix + path
	}
	host := e.Host
	if strings.Contains(host, ":") {
		host = "[" + host + "]"
	}
	return e.Scheme + "://" + host + ":" + strconv.Itoa(int(e.Port))
}

func (e Endpoint) ip() (netip.Addr, bool) {
	a, err := netip.ParseAddr(e.Host)
	return a, err == nil
}

// check refuses endpoints that Parse could not have made.
func (e Endpoint) check() error {
	parsed, err := Parse(e.String())
	if err == nil && parsed != e {
		err = refuse(e.String(), ErrSyntax, fmt.Sprintf("the endpoint %#v is not one that Parse returns", e))
	}
	return err
}

// addrs are the addresses that e occupies.
func (e Endpoint) addrs() []netip.Addr {
	v4, v6 := netip.IPv4Unspecified(), netip.IPv6Unspecified()
	switch e.Kind() {
	case Localhost:
		return []netip.Addr{netip.AddrFrom4([4]byte{127, 0, 0, 1}), netip.IPv6Loopback()}
	case AnyIP:
		return []netip.Addr{v4, v6}
	case IP:
		a, _ := e.ip()
		if a == v6 {
			return []netip.Addr{v4, v6}
		}
		return []netip.Addr{a}
	case Unix:
	}
	return nil
}

// clash says why e and o cannot be bound side by side, or nothing.
func (e Endpoint) clash(o Endpoint) string {
	switch {
	case e.Path != "" || o.Path != "":
		if e.Path != o.Path {
			return ""
		}
	case e.Port != o.Port || e.Port == 0 || !overlap(e.addrs(), o.addrs()):
		return ""
	}
	what := fmt.Sprintf("port %d", e.Port)
	if e.Path != "" {
		what = "socket " + e.Path
	}
	switch {
	case e == o:
		return "it is listed twice; remove one"
	case e.Scheme != o.Scheme:
		return fmt.Sprintf("%s is taken by %s: http and https cannot share one", what, e)
	}
	return fmt.Sprintf("%s is taken by %s, which covers the same addresses; hosts do not select an endpoint", what, e)
}

func overlap(as, bs []netip.Addr) bool {
	for _, a := range as {
		for _, b := range bs {
			if a == b || a.Is4() == b.Is4() && (a.IsUnspecified() || b.IsUnspecified()) {
				return true
			}
		}
	}
	return false
}
