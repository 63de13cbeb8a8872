package config

import (
	"strings"
	"time"
)

// option is one row of the table. key is its place in the file ("limits.x"),
// flag its name on the command line without the dashes; its variable is
// WINDHOVER_ and the flag's name in capitals. An option without a flag is set
// in the file only.
type option struct {
	key, flag, usage string
	value            value
}

// variable is the name of the environment variable.
func (o option) variable() string {
	if o.flag == "" {
		return ""
	}
	return envPrefix + strings.ToUpper(strings.ReplaceAll(o.flag, "-", "_"))
}

const envPrefix = "WINDHOVER_"

// maxRings is the most that package ring takes.
const maxRings = 256

// Default returns the configuration that holds when nothing is configured. The
// limits are Kestrel's.
func Default() *Config {
	return &Config{
		URLs:         []string{DefaultURL},
		Transport:    "auto",
		ServerHeader: true,
		Defaults:     defaultEndpoint(),
		TLS:          TLS{ClientMode: "none", MinVersion: "1.2", HandshakeTimeout: 10 * time.Second, Reload: 10 * time.Second},
		Limits: Limits{
			MaxConcurrentConnections:         Unlimited,
			MaxConcurrentUpgradedConnections: Unlimited,
			MaxRequestBodySize:               30_000_000,
			MaxRequestBufferSize:             1 << 20,
			MaxResponseBufferSize:            64 << 10,
			MaxRequestLineSize:               8 << 10,
			MaxRequestHeadersTotalSize:       32 << 10,
			MaxRequestHeaderCount:            100,
			KeepAliveTimeout:                 130 * time.Second,
			RequestHeadersTimeout:            30 * time.Second,
			MinRequestBodyDataRate:           240,
			MinRequestBodyDataRateGrace:      5 * time.Second,
			MinResponseDataRate:              240,
			MinResponseDataRateGrace:         5 * time.Second,
			DrainTimeout:                     5 * time.Second,
		},
		Hosts:     Hosts{AllowEmpty: true, FailureMessage: true},
		Forwarded: Forwarded{Limit: 1},
		Shutdown:  Shutdown{Timeout: 30 * time.Second},
		Log:       Log{Level: "info", Format: "text", Access: true, AccessFormat: "text", AccessBuffer: 1 << 20},
		Static:    Static{Root: ".", Index: "index.html", Listing: true, Compress: true},
		Proxy: Proxy{
			ConnectTimeout: 10 * time.Second, ResponseTimeout: time.Minute,
			IdleTimeout: 90 * time.Second, MaxIdle: 128, MaxConnections: Unlimited,
		},
		sources: make(map[string]string),
	}
}

func defaultEndpoint() Endpoint {
	return Endpoint{
		Protocols: []string{"http1", "http2"},
		Backlog:   512,
		NoDelay:   true,
		Proxy:     ProxyProtocol{Timeout: 5 * time.Second},
	}
}

// options is the table for c.
func (c *Config) options() []option {
	table := []option{
		{"urls", "urls", `addresses to listen on, such as "http://localhost:5000", "https://*:8443", "http://unix:/run/app.sock"; may be repeated and hold several, separated by ";"`, list{&c.URLs, ";", nil}},
		{"prefer-urls", "prefer-urls", "let the file's urls win over its endpoints", boolean(&c.PreferURLs)},
		{"transport", "transport", "auto, ring (io_uring) or portable", oneOf(&c.Transport, "auto", "ring", "portable")},
		{"rings", "rings", "number of rings of the ring transport; 0: one per processor", integer(&c.Rings, 0, maxRings, false, parseInt)},
		{"server-header", "server-header", `send "Server: Windhover"`, boolean(&c.ServerHeader)},
		{"pid-file", "pid-file", "file that holds the process id while the server runs", text(&c.PIDFile)},
		{"allowed-hosts", "allowed-hosts", `hosts that are served, such as "example.com;*.example.com"; others get 400; none: all`, list{&c.Hosts.Allowed, ";", nil}},
		{"allow-empty-hosts", "allow-empty-hosts", "serve requests without a host (HTTP/1.0)", boolean(&c.Hosts.AllowEmpty)},
		{"host-failure-message", "host-failure-message", "send a page with the 400 of a host that is not allowed", boolean(&c.Hosts.FailureMessage)},
	}
	table = append(table, c.Defaults.options("endpoint-defaults.", true)...)
	table = append(table, c.TLS.options()...)
	table = append(table, c.Limits.options()...)
	table = append(table, c.forwardedOptions()...)
	return append(table, c.programOptions()...)
}

// options is the part of the table that exists for each endpoint: for all of
// them with flags, and for each named one in the file only.
func (e *Endpoint) options(prefix string, flags bool) []option {
	table := []option{
		{"protocols", "protocols", "protocols of https endpoints: http1, http2", someOf(&e.Protocols, "http1", "http2")},
		{"backlog", "backlog", "connections that may wait to be accepted", integerInt32(&e.Backlog, 1)},
		{"reuse-port", "reuse-port", "set SO_REUSEPORT, so that other processes may listen on the same port", boolean(&e.ReusePort)},
		{"no-delay", "no-delay", "set TCP_NODELAY", boolean(&e.NoDelay)},
		{"unix-mode", "unix-mode", `permissions of socket files, such as "0660"`, fileMode{&e.UnixMode}},
		{"unix-owner", "unix-owner", `owner of socket files, "user", "user:group" or ":group"`, text(&e.UnixOwner)},
		{"proxy-protocol.enabled", "proxy-protocol", "require a PROXY protocol header (v1 or v2) on each connection", boolean(&e.Proxy.Enabled)},
		{"proxy-protocol.trusted", "proxy-protocol-trusted", "addresses and networks of the load balancers that send it; none: loopback", networks{&e.Proxy.Trusted}},
		{"proxy-protocol.allow-direct", "proxy-protocol-allow-direct", "serve other peers without a header instead of refusing them", boolean(&e.Proxy.AllowDirect)},
		{"proxy-protocol.timeout", "proxy-protocol-timeout", "time for the header to come", span(&e.Proxy.Timeout, 0, false, true)},
	}
	table = append(table, e.Certificate.options("certificate.", "tls-")...)
	for i := range table {
		table[i].key = prefix + table[i].key
		if !flags {
			table[i].flag = ""
		}
	}
	return table
}

func (c *Certificate) options(prefix, flags string) []option {
	return []option{
		{prefix + "path", flags + "certificate", "certificate for https: a PEM file with the chain, or a PFX file", text(&c.Path)},
		{prefix + "key-path", flags + "key", "PEM file of its private key; not for PFX", text(&c.KeyPath)},
		{prefix + "password", flags + "password", "password of the PFX file or the key (visible to others when given as a flag)", secret(&c.Password)},
		{prefix + "password-file", flags + "password-file", "file that holds the password", text(&c.PasswordFile)},
	}
}

func (t *TLS) options() []option {
	return []option{
		{"tls.client-certificates", "tls-client-certificates", "none, allow or require", oneOf(&t.ClientMode, "none", "allow", "require")},
		{"tls.client-ca", "tls-client-ca", "PEM file of the authorities that sign client certificates", text(&t.ClientCA)},
		{"tls.min-version", "tls-min-version", "1.2 or 1.3", oneOf(&t.MinVersion, "1.2", "1.3")},
		{"tls.handshake-timeout", "tls-handshake-timeout", "time for a TLS handshake", span(&t.HandshakeTimeout, 0, false, true)},
		{"tls.ticket-keys", "tls-ticket-keys", "file of session ticket keys that a fleet shares", text(&t.TicketKeys)},
		{"tls.reload", "tls-reload", "how often certificate files are checked for changes", span(&t.Reload, 0, false, true)},
	}
}

func (l *Limits) options() []option {
	return []option{
		{"limits.max-concurrent-connections", "max-concurrent-connections", "open connections, upgraded ones not counted", number(&l.MaxConcurrentConnections, 1, true)},
		{"limits.max-concurrent-upgraded-connections", "max-concurrent-upgraded-connections", "upgraded connections (WebSocket and the like); 0: none may be", number(&l.MaxConcurrentUpgradedConnections, 0, true)},
		{"limits.max-request-body-size", "max-request-body-size", "bytes of a request body; 0: there may be none", size(&l.MaxRequestBodySize, 0, true)},
		{"limits.max-request-buffer-size", "max-request-buffer-size", "bytes received ahead of the application, per connection", bufferSize(&l.MaxRequestBufferSize, 1, true)},
		{"limits.max-response-buffer-size", "max-response-buffer-size", "bytes the application may be ahead of the client, per connection; 0: each write waits for the system to take all", bufferSize(&l.MaxResponseBufferSize, 0, true)},
		{"limits.max-request-line-size", "max-request-line-size", "bytes of a request line", bufferSize(&l.MaxRequestLineSize, 1, false)},
		{"limits.max-request-headers-total-size", "max-request-headers-total-size", "bytes of all header lines of a request", bufferSize(&l.MaxRequestHeadersTotalSize, 1, false)},
		{"limits.max-request-header-count", "max-request-header-count", "header lines of a request", integerInt32(&l.MaxRequestHeaderCount, 1)},
		{"limits.keep-alive-timeout", "keep-alive-timeout", "idle time of a connection", span(&l.KeepAliveTimeout, 0, false, true)},
		{"limits.request-headers-timeout", "request-headers-timeout", "time for the head of a request", span(&l.RequestHeadersTimeout, 0, false, true)},
		{"limits.min-request-body-data-rate", "min-request-body-data-rate", "least rate of request bodies", rate(&l.MinRequestBodyDataRate)},
		{"limits.min-request-body-data-rate-grace-period", "min-request-body-data-rate-grace-period", "time before that rate is looked at", span(&l.MinRequestBodyDataRateGrace, time.Second, false, false)},
		{"limits.min-response-data-rate", "min-response-data-rate", "least rate at which clients take responses", rate(&l.MinResponseDataRate)},
		{"limits.min-response-data-rate-grace-period", "min-response-data-rate-grace-period", "time before that rate is looked at", span(&l.MinResponseDataRateGrace, time.Second, false, false)},
		{"limits.body-drain-timeout", "body-drain-timeout", "time for reading what the application left of a request body", span(&l.DrainTimeout, 0, false, true)},
	}
}

// forwardedOptions are about the headers of proxies.
func (c *Config) forwardedOptions() []option {
	f := &c.Forwarded
	return []option{
		{"forwarded-headers.fields", "forwarded-headers", "what to take from proxies' headers: for, proto, host, prefix", someOf(&f.Headers, "for", "proto", "host", "prefix")},
		{"forwarded-headers.standard", "forwarded-standard", "read Forwarded (RFC 7239) instead of X-Forwarded-*", boolean(&f.Standard)},
		{"forwarded-headers.limit", "forwarded-limit", "entries taken from each header", number(&f.Limit, 1, true)},
		{"forwarded-headers.known-proxies", "forwarded-known-proxies", "addresses and networks whose headers are believed; none: loopback", networks{&f.KnownProxies}},
		{"forwarded-headers.trust-all", "forwarded-trust-all", "believe every peer", boolean(&f.TrustAll)},
		{"forwarded-headers.allowed-hosts", "forwarded-allowed-hosts", "hosts that may be forwarded; none: all", list{&f.AllowedHosts, ";", nil}},
		{"forwarded-headers.require-symmetry", "forwarded-require-symmetry", "ignore headers with different numbers of entries", boolean(&f.Symmetry)},
	}
}

// programOptions are how the program runs and what its commands do.
func (c *Config) programOptions() []option {
	l, s, p := &c.Log, &c.Static, &c.Proxy
	return []option{
		{"shutdown.timeout", "shutdown-timeout", "time for running requests to end when the server stops", span(&c.Shutdown.Timeout, 0, true, true)},
		{"shutdown.delay", "shutdown-delay", "time to go on accepting with /readyz failing before that", span(&c.Shutdown.Delay, 0, true, false)},
		{"log.level", "log-level", "debug, info, warn or error", oneOf(&l.Level, "debug", "info", "warn", "error")},
		{"log.format", "log-format", "text or json", oneOf(&l.Format, "text", "json")},
		{"log.file", "log-file", "file for messages; none: standard error", text(&l.File)},
		{"log.access.enabled", "access-log", "log each request", boolean(&l.Access)},
		{"log.access.format", "access-log-format", "text, json or combined (as Apache httpd)", oneOf(&l.AccessFormat, "text", "json", "combined")},
		{"log.access.file", "access-log-file", "file for requests; none: standard output", text(&l.AccessFile)},
		{"log.access.buffer", "access-log-buffer", "bytes that may wait for a slow log before records are dropped", bufferSize(&l.AccessBuffer, 4096, false)},
		{"admin.url", "admin-url", "address for /metrics, /livez and /readyz; none: off", text(&c.Admin.URL)},
		{"admin.pprof", "admin-pprof", "serve /debug/pprof/ there", boolean(&c.Admin.Pprof)},
		{"static.root", "root", "directory to serve; the argument DIR wins", text(&s.Root)},
		{"static.index", "static-index", "file that stands for its directory", text(&s.Index)},
		{"static.listing", "static-listing", "list directories that have no index", boolean(&s.Listing)},
		{"static.dotfiles", "static-dotfiles", "serve files whose names start with a dot", boolean(&s.Dotfiles)},
		{"static.compress", "static-compress", "compress with gzip or zstd when the client accepts it", boolean(&s.Compress)},
		{"static.precompressed", "static-precompressed", "prefer FILE.zst, FILE.br and FILE.gz when the client accepts them", boolean(&s.Precompressed)},
		{"static.cache-control", "static-cache-control", "Cache-Control of files", text(&s.CacheControl)},
		{"proxy.upstream", "proxy-upstream", "upstream of the proxy command; its argument wins", text(&p.Upstream)},
		{"proxy.preserve-host", "proxy-preserve-host", "send the client's Host to the upstream", boolean(&p.PreserveHost)},
		{"proxy.connect-timeout", "proxy-connect-timeout", "time to connect to the upstream", span(&p.ConnectTimeout, 0, false, true)},
		{"proxy.response-timeout", "proxy-response-timeout", "time for the head of the upstream's response", span(&p.ResponseTimeout, 0, false, true)},
		{"proxy.idle-timeout", "proxy-idle-timeout", "idle time of connections to the upstream", span(&p.IdleTimeout, 0, false, true)},
		{"proxy.max-idle-connections", "proxy-max-idle-connections", "idle connections kept to the upstream", integerInt32(&p.MaxIdle, 0)},
		{"proxy.max-connections", "proxy-max-connections", "connections to the upstream", number(&p.MaxConnections, 1, true)},
		{"proxy.ca", "proxy-ca", "PEM file of the authorities that sign an https upstream's certificate; none: the system's", text(&p.CA)},
		{"proxy.insecure", "proxy-insecure", "do not check an https upstream's certificate", boolean(&p.Insecure)},
	}
}
