package windhover

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"

	"github.com/windhover-server/windhover/proto"
)

// ForwardedFields says which properties of a request [ForwardedHeaders] takes
// from the headers that proxies add.
type ForwardedFields uint8

// The fields that can be taken. ForwardedPrefix exists only as
// X-Forwarded-Prefix.
const (
	ForwardedFor    ForwardedFields = 1 << iota // the client's address
	ForwardedProto                              // the scheme the client used
	ForwardedHost                               // the Host the client sent
	ForwardedPrefix                             // the path prefix a proxy removed
)

// ForwardedHeaders restores what proxies hide, from X-Forwarded-For, -Proto,
// -Host and -Prefix or from Forwarded (RFC 7239), and passes each request to
// Handler: Request.RemoteAddr, Request.Host and, through [Scheme] and
// [OriginalRequest], the scheme and prefix. It is the counterpart of ASP.NET
// Core's forwarded headers middleware.
//
// The headers are walked from the right, the entry added last first. An entry
// counts only if the address it was received from is trusted: first the peer
// of the connection, then the address that the entry before it named. The walk
// stops at the first untrusted sender and at the first address that cannot be
// read; what was accepted up to there is applied. Entries that were used are
// removed from the headers, and what they replaced is kept in X-Original-For,
// -Proto, -Host and -Prefix.
//
// The fields must not change after the first request. One value serves any
// number of requests at once.
type ForwardedHeaders struct {
	// Handler answers the requests; nil means http.DefaultServeMux.
	Handler http.Handler

	// Fields are the properties to take; none by default.
	Fields ForwardedFields

	// Standard reads the Forwarded header (RFC 7239) instead of the
	// X-Forwarded family. Never both: a proxy that writes one of them passes
	// the other on as the client sent it.
	Standard bool

	// ForwardLimit is the number of entries taken from each header. Zero means
	// the default, 1; a negative value means as many as the trust reaches.
	ForwardLimit int

	// KnownProxies and KnownNetworks are the addresses whose entries are
	// believed. When both are empty they are the loopback addresses, ::1 and
	// 127.0.0.0/8. A peer without an IP address (a Unix socket) is believed.
	KnownProxies  []netip.Addr
	KnownNetworks []netip.Prefix

	// TrustAll believes every sender. It is only for servers that nothing but
	// their proxy can reach.
	TrustAll bool

	// AllowedHosts are the hosts that a forwarded Host may name, as in
	// [HostFilter]; none means all.
	AllowedHosts []string

	// RequireSymmetry takes nothing unless each of the enabled headers holds
	// the same number of entries, all of them valid.
	RequireSymmetry bool

	// ForHeader, ProtoHeader, HostHeader and PrefixHeader rename the headers
	// of the X-Forwarded family; empty means the usual name.
	ForHeader, ProtoHeader, HostHeader, PrefixHeader string

	// OriginalHeader starts the names of the headers that keep what was
	// replaced (followed by For, Proto, Host, Prefix); empty means
	// "X-Original-".
	OriginalHeader string

	// Logger is told of entries that were refused (Debug, and Warn, at most ten
	// times in a second, when RequireSymmetry refuses a request's headers);
	// nil means silence.
	Logger *slog.Logger

	once  sync.Once
	logs  proto.LogLimit
	hosts *hostPatterns
	err   error
}

// Original is what a connection and its request showed before
// [ForwardedHeaders] replaced it.
type Original struct {
	RemoteAddr string // Request.RemoteAddr of the connection
	Host       string // Request.Host as received
	Scheme     string // "https" when the connection itself used TLS, else "http"

	scheme, prefix string // as forwarded; "" when not
}

type originalKey struct{}

// OriginalRequest returns what the request carried before its forwarded
// headers were applied; ok is false when none were.
func OriginalRequest(r *http.Request) (o Original, ok bool) {
	p, ok := r.Context().Value(originalKey{}).(*Original)
	if !ok {
		return Original{}, false
	}
	return *p, true
}

// Scheme returns the scheme that the client used, "http" or "https" in all but
// exotic set-ups: the one forwarded by a trusted proxy if there is one, else
// that of the connection. The client itself has no say in it.
func Scheme(r *http.Request) string {
	if p, ok := r.Context().Value(originalKey{}).(*Original); ok && p.scheme != "" {
		return p.scheme
	}
	return connScheme(r)
}

// PathPrefix returns the prefix that a trusted proxy has removed from the
// path, "" when there is none.
func PathPrefix(r *http.Request) string {
	if p, ok := r.Context().Value(originalKey{}).(*Original); ok {
		return p.prefix
	}
	return ""
}

func connScheme(r *http.Request) string {
	if r.TLS != nil {
		return "https"
	}
	return "http"
}

// Validate reports a field that cannot work.
func (f *ForwardedHeaders) Validate() error {
	f.once.Do(f.compile)
	return f.err
}

func (f *ForwardedHeaders) compile() {
	if f.Standard && f.Fields&ForwardedPrefix != 0 {
		f.err = errors.New("windhover: Forwarded (RFC 7239) has no prefix parameter")
		return
	}
	f.hosts, f.err = compileHostPatterns(f.AllowedHosts)
}

// ServeHTTP implements [http.Handler].
func (f *ForwardedHeaders) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if err := f.Validate(); err != nil {
		f.log(r.Context(), slog.LevelError, 0, err.Error(), "")
		http.Error(w, http.StatusText(http.StatusInternalServerError), http.StatusInternalServerError)
		return
	}
	if f.Fields != 0 {
		r = f.apply(r)
	}
	next := f.Handler
	if next == nil {
		next = http.DefaultServeMux
	}
	next.ServeHTTP(w, r)
}

// apply returns r, or a changed copy of it.
func (f *ForwardedHeaders) apply(r *http.Request) *http.Request {
	src := f.source(r.Header)
	walk := forwardWalk{f: f, ctx: r.Context(), peer: parsePeer(r.RemoteAddr)}
	if !walk.run(src) || !walk.changed {
		return r
	}
	return f.rewrite(r, src, &walk)
}

func (f *ForwardedHeaders) rewrite(r *http.Request, src forwardedSource, walk *forwardWalk) *http.Request {
	orig := &Original{RemoteAddr: r.RemoteAddr, Host: r.Host, Scheme: connScheme(r), scheme: walk.proto, prefix: walk.prefix}
	if orig.scheme == "" {
		orig.scheme = Scheme(r) // an outer ForwardedHeaders may have set it
	}
	if orig.prefix == "" {
		orig.prefix = PathPrefix(r)
	}
	out := r.WithContext(context.WithValue(r.Context(), originalKey{}, orig))
	out.Header = r.Header.Clone()
	if walk.client.IsValid() {
		f.keep(out.Header, "For", r.RemoteAddr)
		out.RemoteAddr = walk.client.String()
	}
	if walk.proto != "" {
		f.keep(out.Header, "Proto", Scheme(r))
	}
	if walk.host != "" {
		f.keep(out.Header, "Host", r.Host)
		out.Host = walk.host
	}
	if walk.prefix != "" {
		f.keep(out.Header, "Prefix", PathPrefix(r))
	}
	src.truncate(out.Header, walk)
	return out
}

// keep records a replaced value in its X-Original header. What the client has
// sent under that name goes in any case.
func (f *ForwardedHeaders) keep(h http.Header, name, value string) {
	prefix := f.OriginalHeader
	if prefix == "" {
		prefix = "X-Original-"
	}
	h.Del(prefix + name)
	if value != "" {
		h.Set(prefix+name, value)
	}
}

func (f *ForwardedHeaders) limit(entries int) int {
	switch {
	case f.ForwardLimit == 0:
		return min(entries, 1)
	case f.ForwardLimit < 0:
		return entries
	}
	return min(entries, f.ForwardLimit)
}

func (f *ForwardedHeaders) trusted(addr netip.Addr) bool {
	if f.TrustAll || !addr.IsValid() {
		return true
	}
	addr = addr.Unmap()
	if len(f.KnownProxies) == 0 && len(f.KnownNetworks) == 0 {
		return addr.IsLoopback()
	}
	for _, known := range f.KnownProxies {
		if known.Unmap() == addr {
			return true
		}
	}
	for _, network := range f.KnownNetworks {
		if networkContains(network, addr) {
			return true
		}
	}
	return false
}

// networkContains compares an unmapped address; a network written in the
// v4-mapped form stands for its IPv4 network.
func networkContains(network netip.Prefix, addr netip.Addr) bool {
	if network.Addr().Is4In6() && network.Bits() >= 96 {
		network = netip.PrefixFrom(network.Addr().Unmap(), network.Bits()-96)
	}
	return network.Contains(addr)
}

func (f *ForwardedHeaders) log(ctx context.Context, level slog.Level, event int, msg, value string) {
	if f.Logger == nil || !f.Logger.Enabled(ctx, level) {
		return
	}
	logBounded(ctx, f.Logger, &f.logs, level, msg, slog.Int("event_id", event), slog.String("value", value))
}

// parsePeer reads Request.RemoteAddr. The zero Addr stands for a peer without
// an IP address.
func parsePeer(remote string) netip.Addr {
	host, _, err := net.SplitHostPort(remote)
	if err != nil {
		host = remote
	}
	addr, err := netip.ParseAddr(host)
	if err != nil {
		return netip.Addr{}
	}
	return addr
}

// forwardWalk is one right-to-left walk over the entries of a request.
type forwardWalk struct {
	f    *ForwardedHeaders
	ctx  context.Context
	peer netip.Addr // whoever handed over the entry to look at next

	consumed            int
	changed             bool
	client              netip.AddrPort
	proto, host, prefix string
}

// run walks; false means that nothing may be applied.
func (w *forwardWalk) run(src forwardedSource) bool {
	if w.f.RequireSymmetry && !src.symmetric(w.f.Fields) {
		w.f.log(w.ctx, slog.LevelWarn, 1, "forwarded headers ignored: their numbers of entries differ", "")
		return false
	}
	for n := w.f.limit(src.entries()); w.consumed < n; w.consumed++ {
		if !w.f.trusted(w.peer) {
			w.f.log(w.ctx, slog.LevelDebug, 1, "unknown proxy", w.peer.String())
			return true
		}
		entry := src.entry(w.consumed)
		if w.f.Fields&ForwardedFor != 0 && entry.forNode != "" {
			client, ok := parseForwardedFor(entry.forNode)
			if !ok {
				w.f.log(w.ctx, slog.LevelDebug, 1, "unparsable forwarded address", entry.forNode)
				return true
			}
			w.client, w.peer, w.changed = client, client.Addr(), true
		}
		if entry.malformed {
			w.f.log(w.ctx, slog.LevelDebug, 1, "malformed Forwarded header", "")
			return true
		}
		if !w.take(entry) && w.f.RequireSymmetry {
			w.f.log(w.ctx, slog.LevelWarn, 2, "forwarded headers ignored: an entry is missing or invalid", "")
			return false
		}
	}
	return true
}

// take accepts the rest of an entry and reports whether everything that was
// asked for was there and valid.
func (w *forwardWalk) take(e forwardedEntry) bool {
	fields := w.f.Fields
	complete := fields&ForwardedFor == 0 || e.forNode != ""
	set := func(field ForwardedFields, value string, valid bool, dst *string) {
		switch {
		case fields&field == 0:
		case valid:
			*dst, w.changed = value, true
		default:
			complete = false
		}
	}
	set(ForwardedProto, e.proto, validScheme(e.proto), &w.proto)
	set(ForwardedHost, e.host, w.validHost(e.host), &w.host)
	set(ForwardedPrefix, e.prefix, strings.HasPrefix(e.prefix, "/"), &w.prefix)
	return complete
}

func (w *forwardWalk) validHost(host string) bool {
	if _, ok := splitHost(host); !ok {
		return false
	}
	return w.f.hosts.empty() || w.f.hosts.match(host)
}

// validScheme takes the characters of a scheme (RFC 3986 section 3.1).
func validScheme(s string) bool {
	for i := range len(s) {
		c := s[i]
		alnum := 'a' <= c|0x20 && c|0x20 <= 'z' || '0' <= c && c <= '9'
		if !alnum && c != '+' && c != '-' && c != '.' {
			return false
		}
	}
	return s != ""
}

// parseForwardedFor reads "ip", "ip:port", "[v6]" and "[v6]:port"; the port is
// 0 when there is none. Zones are refused: they mean nothing here, and their
// text is free.
func parseForwardedFor(s string) (netip.AddrPort, bool) {
	var ap netip.AddrPort
	if inner, ok := strings.CutPrefix(s, "["); ok && strings.HasSuffix(inner, "]") {
		addr, err := netip.ParseAddr(inner[:len(inner)-1])
		if err != nil || !addr.Is6() {
			return ap, false
		}
		ap = netip.AddrPortFrom(addr, 0)
	} else if addr, err := netip.ParseAddr(s); err == nil {
		ap = netip.AddrPortFrom(addr, 0)
	} else if ap, err = netip.ParseAddrPort(s); err != nil {
		return ap, false
	}
	return netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port()), ap.Addr().Zone() == ""
}
