package windhover

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/net/idna"

	"github.com/windhover-server/windhover/proto"
)

// levelTrace is Kestrel's Trace level, one step below [slog.LevelDebug].
const levelTrace = slog.LevelDebug - 4

// HostFilter answers 400 (Bad Request) to requests whose Host is not one of
// AllowedHosts and passes the others to Handler. It is the counterpart of
// Kestrel's host filtering middleware and guards applications that build links
// or pick tenants from the Host against forged ones and against DNS rebinding.
//
// The fields must not change after the first request; [HostFilter.SetAllowedHosts]
// may be called at any time, from any goroutine.
type HostFilter struct {
	// Handler answers what passes; nil means http.DefaultServeMux.
	Handler http.Handler

	// AllowedHosts are patterns without a port; each may itself be a list
	// separated by semicolons. A pattern is a host name ("example.com"), an
	// address ("127.0.0.1", "[::1]"), "*." and a suffix ("*.example.com": one
	// or more labels below the suffix, not the suffix itself), or "*" (also
	// "[::]" and "0.0.0.0", the addresses a server reports that listens on
	// every interface) for every host. Case does not matter, names in other
	// scripts than ASCII are compared in their punycode form, and the port of
	// the request's Host is ignored. Without any pattern each request is
	// answered with 500, because a filter that was forgotten to be configured
	// must be noticed.
	AllowedHosts []string

	// RefuseEmptyHosts answers 400 to requests without a host, which HTTP/1.0
	// allows to leave out. They pass by default (Kestrel's AllowEmptyHosts),
	// whatever the patterns are.
	RefuseEmptyHosts bool

	// OmitFailureMessage sends the 400 without its small HTML page (Kestrel's
	// IncludeFailureMessage, inverted).
	OmitFailureMessage bool

	// Logger is told of refused hosts (Info, at most ten in a second) and of
	// passed ones (Debug and below); nil means silence.
	Logger *slog.Logger

	once     sync.Once
	patterns atomic.Pointer[hostPatterns]
	logs     proto.LogLimit
}

const hostFailurePage = `<!DOCTYPE html>
<html><head><title>Bad Request</title></head>
<body><h2>Bad Request - Invalid Hostname</h2>
<hr><p>HTTP Error 400. The request hostname is invalid.</p>
</body></html>
`

// Validate reports the first pattern of AllowedHosts that can never match
// anything, or that there is none.
func (f *HostFilter) Validate() error {
	p, err := compileHostPatterns(f.AllowedHosts)
	if err != nil {
		return err
	}
	if p.empty() {
		return fmt.Errorf("windhover: AllowedHosts holds no pattern (\"*\" allows every host)")
	}
	return nil
}

// SetAllowedHosts replaces the patterns; requests that arrive afterwards are
// judged by the new ones. An error leaves the old ones in place.
func (f *HostFilter) SetAllowedHosts(patterns []string) error {
	p, err := compileHostPatterns(patterns)
	if err != nil {
		return err
	}
	f.once.Do(func() {}) // the patterns of the field are out of date from here on
	f.patterns.Store(p)
	return nil
}

// ServeHTTP implements [http.Handler].
func (f *HostFilter) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.once.Do(f.loadPatterns)
	p := f.patterns.Load()
	if p == nil || p.empty() {
		f.log(r.Context(), slog.LevelError, 0, "AllowedHosts holds no usable pattern", "")
		http.Error(w, http.StatusText(http.StatusInternalServerError), http.StatusInternalServerError)
		return
	}
	if !f.allowed(r.Context(), p, r.Host) {
		f.refuse(w)
		return
	}
	next := f.Handler
	if next == nil {
		next = http.DefaultServeMux
	}
	next.ServeHTTP(w, r)
}

func (f *HostFilter) loadPatterns() {
	p, err := compileHostPatterns(f.AllowedHosts)
	if err != nil {
		f.log(context.Background(), slog.LevelError, 0, err.Error(), "")
		return
	}
	f.patterns.Store(p)
}

func (f *HostFilter) allowed(ctx context.Context, p *hostPatterns, host string) bool {
	switch {
	case host == "" && f.RefuseEmptyHosts:
		f.log(ctx, slog.LevelInfo, 3, "request rejected: its host is empty", "")
		return false
	case host == "":
		f.log(ctx, slog.LevelDebug, 4, "request allowed: its host is empty", "")
		return true
	case p.any:
		f.log(ctx, levelTrace, 2, "all hosts are allowed", host)
		return true
	case p.match(host):
		f.log(ctx, levelTrace, 5, "host matched a pattern", host)
		return true
	}
	f.log(ctx, slog.LevelInfo, 6, "request rejected: its host matched no pattern", host)
	return false
}

func (f *HostFilter) log(ctx context.Context, level slog.Level, event int, msg, host string) {
	if f.Logger == nil || !f.Logger.Enabled(ctx, level) {
		return
	}
	logBounded(ctx, f.Logger, &f.logs, level, msg, slog.Int("event_id", event), slog.String("host", host))
}

// maxRefusalsPerSecond is how many records of one kind are logged in a second:
// clients cause them.
const maxRefusalsPerSecond = 10

// logBounded logs a record above Debug if it is not one of too many.
func logBounded(ctx context.Context, l *slog.Logger, limit *proto.LogLimit, level slog.Level, msg string, attrs ...slog.Attr) {
	if level > slog.LevelDebug {
		held, ok := limit.Allow(time.Now(), maxRefusalsPerSecond)
		if !ok {
			return
		}
		if held > 0 {
			attrs = append(attrs, slog.Int64("suppressed", held))
		}
	}
	l.LogAttrs(ctx, level, msg, attrs...)
}

func (f *HostFilter) refuse(w http.ResponseWriter) {
	if f.OmitFailureMessage {
		w.Header().Set("Content-Length", "0")
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=us-ascii")
	w.Header().Set("Content-Length", strconv.Itoa(len(hostFailurePage)))
	w.WriteHeader(http.StatusBadRequest)
	_, _ = w.Write([]byte(hostFailurePage)) // the client is gone if this fails
}

// hostPatterns is the compiled form of a list of patterns. It is never changed
// once made.
type hostPatterns struct {
	any      bool
	exact    map[string]bool // lower case
	suffixes []string        // lower case, each starting with a dot
}

func (p *hostPatterns) empty() bool {
	return !p.any && len(p.exact) == 0 && len(p.suffixes) == 0
}

// match reports whether host, which may carry a port, is allowed. What is not
// a well-formed Host never matches.
func (p *hostPatterns) match(host string) bool {
	if p.any {
		return true
	}
	name, ok := splitHost(host)
	if !ok {
		return false
	}
	name = strings.ToLower(name)
	if p.exact[name] {
		return true
	}
	for _, suffix := range p.suffixes {
		if labels, found := strings.CutSuffix(name, suffix); found && wholeLabels(labels) {
			return true
		}
	}
	return false
}

// wholeLabels reports whether s is one or more labels, none of them empty.
func wholeLabels(s string) bool {
	return s != "" && s[0] != '.' && s[len(s)-1] != '.' && !strings.Contains(s, "..")
}

func compileHostPatterns(lists []string) (*hostPatterns, error) {
	p := &hostPatterns{exact: make(map[string]bool)}
	for _, list := range lists {
		for pattern := range strings.SplitSeq(list, ";") {
			if pattern = strings.TrimSpace(pattern); pattern == "" {
				continue
			}
			if err := p.add(pattern); err != nil {
				return nil, err
			}
		}
	}
	return p, nil
}

func (p *hostPatterns) add(pattern string) error {
	switch pattern {
	case "*", "[::]", "0.0.0.0":
		p.any = true
		return nil
	}
	name, wildcard := strings.CutPrefix(pattern, "*.")
	ascii, err := idna.ToASCII(strings.ToLower(name))
	if err != nil {
		return fmt.Errorf("windhover: allowed host %q: %w", pattern, err)
	}
	bare, ok := splitHost(ascii)
	switch {
	case !ok:
		return fmt.Errorf("windhover: allowed host %q is not a host name, an address or *.suffix", pattern)
	case bare != ascii:
		return fmt.Errorf("windhover: allowed host %q must not hold a port", pattern)
	case wildcard:
		p.suffixes = append(p.suffixes, "."+bare)
	default:
		p.exact[bare] = true
	}
	return nil
}

// splitHost checks the syntax of a Host (RFC 9110 section 7.2, with the
// characters Kestrel takes) and returns it without its port. The port's range
// is not checked.
func splitHost(host string) (name string, ok bool) {
	if host == "" {
		return "", false
	}
	if host[0] == '[' {
		return splitIPv6Host(host)
	}
	end := 0
	for end < len(host) && hostNameByte(host[end]) {
		end++
	}
	return host[:end], end > 0 && validPort(host[end:])
}

func splitIPv6Host(host string) (name string, ok bool) {
	end := strings.IndexByte(host, ']')
	if end < 3+1 { // "[::]" is too short to be the address of anything
		return "", false
	}
	for i := 1; i < end; i++ {
		c := host[i]
		hex := '0' <= c && c <= '9' || 'a' <= c|0x20 && c|0x20 <= 'f'
		if !hex && c != ':' && c != '.' {
			return "", false
		}
	}
	return host[:end+1], validPort(host[end+1:])
}

// validPort takes nothing, or a colon and at least one digit.
func validPort(s string) bool {
	if s == "" {
		return true
	}
	if s[0] != ':' || len(s) == 1 {
		return false
	}
	return strings.Trim(s[1:], "0123456789") == ""
}

func hostNameByte(c byte) bool {
	switch {
	case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9':
		return true
	}
	return strings.IndexByte("!$&'()-._~", c) >= 0
}
