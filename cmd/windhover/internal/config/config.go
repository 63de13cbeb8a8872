package config

import (
	"io/fs"
	"net/netip"
	"strings"
	"time"
)

// DefaultURL is where the program listens when nothing is configured.
const DefaultURL = "http://localhost:5000"

// Unlimited is the value of a size, count or duration that was switched off
// with "unlimited", "none" or "off".
const Unlimited = -1

// Config is everything that can be configured. See options.go for the defaults
// and the meaning of each setting.
type Config struct {
	URLs       []string
	PreferURLs bool
	Endpoints  []NamedEndpoint // of the file, by name
	Defaults   Endpoint        // of every endpoint

	Transport    string // "auto", "ring" or "portable"
	Rings        int64
	ServerHeader bool
	PIDFile      string

	TLS       TLS
	Limits    Limits
	Hosts     Hosts
	Forwarded Forwarded
	Shutdown  Shutdown
	Log       Log
	Admin     Admin
	Static    Static
	Proxy     Proxy

	sources map[string]string // key -> where its value comes from
	file    string
}

// NamedEndpoint is one entry of the file's "endpoints".
type NamedEndpoint struct {
	Name string
	URL  string
	Endpoint
}

// Endpoint holds what can differ from address to address.
type Endpoint struct {
	Protocols   []string // of "http1", "http2"
	Certificate Certificate
	Backlog     int64
	ReusePort   bool
	NoDelay     bool
	UnixMode    fs.FileMode // 0: whatever the umask leaves
	UnixOwner   string
	Proxy       ProxyProtocol
}

// ProxyProtocol says whether load balancers announce clients on an endpoint.
type ProxyProtocol struct {
	Enabled     bool
	Trusted     []netip.Prefix
	AllowDirect bool
	Timeout     time.Duration
}

// Certificate names the files of a server certificate: a PEM certificate and
// key, or a PFX bundle.
type Certificate struct {
	Path, KeyPath string
	Password      string
	PasswordFile  string
}

// TLS holds what all https endpoints share.
type TLS struct {
	SNI              map[string]Certificate // by host name, "*.suffix" or "*"
	ClientMode       string                 // "none", "allow", "require"
	ClientCA         string
	MinVersion       string
	HandshakeTimeout time.Duration
	TicketKeys       string
	Reload           time.Duration
}

// Limits are Kestrel's. Unlimited switches one off where that is allowed.
type Limits struct {
	MaxConcurrentConnections         int64
	MaxConcurrentUpgradedConnections int64
	MaxRequestBodySize               int64
	MaxRequestBufferSize             int64
	MaxResponseBufferSize            int64
	MaxRequestLineSize               int64
	MaxRequestHeadersTotalSize       int64
	MaxRequestHeaderCount            int64
	KeepAliveTimeout                 time.Duration
	RequestHeadersTimeout            time.Duration
	MinRequestBodyDataRate           float64
	MinRequestBodyDataRateGrace      time.Duration
	MinResponseDataRate              float64
	MinResponseDataRateGrace         time.Duration
	DrainTimeout                     time.Duration
}

// Hosts is host filtering. No allowed host means that it is off.
type Hosts struct {
	Allowed        []string
	AllowEmpty     bool
	FailureMessage bool
}

// Forwarded is the treatment of headers that proxies add.
type Forwarded struct {
	Headers      []string // of "for", "proto", "host", "prefix"
	Standard     bool     // RFC 7239
	Limit        int64
	KnownProxies []netip.Prefix
	TrustAll     bool
	AllowedHosts []string
	Symmetry     bool
}

// Shutdown bounds stopping.
type Shutdown struct {
	Timeout time.Duration
	Delay   time.Duration
}

// Log is where messages and requests are written.
type Log struct {
	Level  string
	Format string
	File   string

	Access       bool
	AccessFormat string
	AccessFile   string
	AccessBuffer int64
}

// Admin is the endpoint for metrics and probes.
type Admin struct {
	URL   string
	Pprof bool
}

// Static is how a directory is served.
type Static struct {
	Root          string
	Index         string
	Listing       bool
	Dotfiles      bool
	Compress      bool
	Precompressed bool
	CacheControl  string
}

// Proxy is how requests are passed to an upstream.
type Proxy struct {
	Upstream        string
	PreserveHost    bool
	ConnectTimeout  time.Duration
	ResponseTimeout time.Duration
	IdleTimeout     time.Duration
	MaxIdle         int64
	MaxConnections  int64
	CA              string
	Insecure        bool
}

// Source tells where the value of a key comes from: "default", "file FILE",
// "environment variable NAME" or "flag --NAME".
func (c *Config) Source(key string) string {
	if s, ok := c.sources[key]; ok {
		return s
	}
	return "default"
}

// Name is what a message calls a setting: as the user wrote it ("--rings",
// "WINDHOVER_RINGS", "rings in FILE"), or its flag.
func (c *Config) Name(key string) string {
	switch source := c.Source(key); {
	case source == "default":
		for _, o := range c.options() {
			if o.key == key && o.flag != "" {
				return "--" + o.flag
			}
		}
		return key
	case strings.HasPrefix(source, fromFile):
		return key + " in " + source[len(fromFile):]
	default:
		return source[strings.LastIndexByte(source, ' ')+1:]
	}
}

// What sources begin with.
const (
	fromFile        = "file "
	fromEnvironment = "environment variable "
	fromFlag        = "flag "
)

// File is the configuration file that was read, "" if none.
func (c *Config) File() string { return c.file }
