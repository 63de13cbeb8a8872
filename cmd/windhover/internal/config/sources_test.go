package config

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// samples are two values of each option that is no truth value, neither of
// them the default.
func samples(t *testing.T) map[string][2]string {
	t.Helper()
	dir := t.TempDir()
	file := func(name string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(name), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	return map[string][2]string{
		"urls": {"http://localhost:1;http://*:2", "http://unix:/run/w.sock"}, "transport": {"ring", "portable"}, "rings": {"1", "256"},
		"pid-file": {"/run/a.pid", "/run/b.pid"}, "allowed-hosts": {"a.test;*.b.test", "c.test"},
		"endpoint-defaults.protocols": {"http1", "http2,http1"}, "endpoint-defaults.backlog": {"1", "4096"},
		"endpoint-defaults.unix-mode": {"0600", "0666"}, "endpoint-defaults.unix-owner": {"root", ":1"},
		"endpoint-defaults.proxy-protocol.trusted": {"10.0.0.0/8,::1/128", "192.0.2.1/32"}, "endpoint-defaults.proxy-protocol.timeout": {"1s", "unlimited"},
		"endpoint-defaults.certificate.path": {"a.pem", "b.pem"}, "endpoint-defaults.certificate.key-path": {"a.key", "b.key"},
		"endpoint-defaults.certificate.password": {"one", "two"}, "endpoint-defaults.certificate.password-file": {file("one"), file("two")},
		"tls.client-certificates": {"allow", "require"}, "tls.client-ca": {"a.pem", "b.pem"}, "tls.min-version": {"1.3", "1.2"},
		"tls.handshake-timeout": {"3s", "unlimited"}, "tls.ticket-keys": {"a.keys", "b.keys"}, "tls.reload": {"1m", "unlimited"},
		"limits.max-concurrent-connections": {"1", "100000"}, "limits.max-concurrent-upgraded-connections": {"0", "7"},
		"limits.max-request-body-size": {"0", "unlimited"}, "limits.max-request-buffer-size": {"2 MiB", "unlimited"},
		"limits.max-response-buffer-size": {"0", "unlimited"}, "limits.max-request-line-size": {"1", "4096"},
		"limits.max-request-headers-total-size": {"1", "4096"}, "limits.max-request-header-count": {"1", "7"},
		"limits.keep-alive-timeout": {"2m", "unlimited"}, "limits.request-headers-timeout": {"1s", "unlimited"},
		"limits.min-request-body-data-rate": {"1.5", "off"}, "limits.min-request-body-data-rate-grace-period": {"2s", "3s"},
		"limits.min-response-data-rate": {"1.5", "off"}, "limits.min-response-data-rate-grace-period": {"2s", "3s"},
		"limits.body-drain-timeout": {"1s", "unlimited"},
		"forwarded-headers.fields":  {"for,proto", "host"}, "forwarded-headers.limit": {"2", "unlimited"},
		"forwarded-headers.known-proxies": {"10.0.0.0/8", "::1/128"}, "forwarded-headers.allowed-hosts": {"a.test", "b.test;c.test"},
		"shutdown.timeout": {"0s", "unlimited"}, "shutdown.delay": {"1s", "2s"},
		"log.level": {"debug", "error"}, "log.format": {"json", "text"}, "log.file": {"a.log", "b.log"},
		"log.access.format": {"json", "combined"}, "log.access.file": {"a.log", "b.log"}, "log.access.buffer": {"4096", "1 GiB"},
		"admin.url":   {"http://localhost:9", "http://unix:/run/a.sock"},
		"static.root": {"/a", "/b"}, "static.index": {"a.html", "b.html"}, "static.cache-control": {"no-store", "public"},
		"proxy.upstream": {"http://a", "unix:/b"}, "proxy.connect-timeout": {"1s", "unlimited"}, "proxy.response-timeout": {"1s", "unlimited"},
		"proxy.idle-timeout": {"1s", "unlimited"}, "proxy.max-idle-connections": {"0", "7"}, "proxy.max-connections": {"1", "9"},
		"proxy.ca": {"a.pem", "b.pem"},
	}
}

// companions are what an option needs to be usable.
var companions = map[string]string{
	"endpoint-defaults.certificate.key-path":      "--tls-certificate=x.pem",
	"endpoint-defaults.certificate.password":      "--tls-certificate=x.pem",
	"endpoint-defaults.certificate.password-file": "--tls-certificate=x.pem",
	"tls.client-certificates":                     "--tls-client-ca=x.pem",
	"tls.client-ca":                               "--tls-client-certificates=allow",
}

// nested is a file in which one key has a value.
func nested(t *testing.T, format, key, v string) string {
	t.Helper()
	quoted, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	if format == "toml" {
		return fmt.Sprintf("%s = %s\n", key, quoted)
	}
	parts := strings.Split(key, ".")
	open, end := "{", strings.Repeat("}", len(parts))
	if format == "yaml" {
		open, end = "", "\n"
	}
	s := open
	for i, p := range parts {
		switch {
		case format == "json":
			s += fmt.Sprintf("%q: ", p)
			if i < len(parts)-1 {
				s += "{"
			}
		case i < len(parts)-1:
			s += p + ":\n" + strings.Repeat("  ", i+1)
		default:
			s += p + ": "
		}
	}
	return s + string(quoted) + end
}

// find returns the value of a key.
func (c *Config) find(key string) value {
	for _, o := range c.options() {
		if o.key == key {
			return o.value
		}
	}
	return nil
}

// shown is what c has for a key; passwords are not shown by themselves.
func shown(c *Config, key string) string {
	if key == "endpoint-defaults.certificate.password" {
		return c.Defaults.Certificate.Password
	}
	return strings.Join(c.find(key).texts(), ";")
}

// Every option can be set in a file of each format, by a variable and by a
// flag, and these outrank each other in this order.
func TestEveryOptionFromEverySource(t *testing.T) {
	table := samples(t)
	for _, o := range Default().options() {
		t.Run(o.key, func(t *testing.T) {
			values, ok := table[o.key]
			if d := o.value.texts(); !ok && len(d) == 1 && (d[0] == "true" || d[0] == "false") {
				values, ok = [2]string{"true", "false"}, true
			}
			if !ok || o.flag == "" {
				t.Fatalf("no samples, or no flag (%q)", o.flag)
			}
			var extra []string
			if with := companions[o.key]; with != "" {
				extra = []string{with}
			}
			for i, v := range values {
				other := values[1-i]
				flag, env := []string{"--" + o.flag + "=" + v}, map[string]string{o.variable(): v}
				lower := map[string]string{o.variable(): other}
				for _, format := range []string{"yaml", "toml", "json"} {
					name, file := "c."+format, nested(t, format, o.key, other)
					expect(t, o.key, v, mustLoad(t, name, nested(t, format, o.key, v), nil, extra...), "file ")
					expect(t, o.key, v, mustLoad(t, name, file, env, extra...), "environment variable "+o.variable())
					expect(t, o.key, v, mustLoad(t, name, file, lower, slices.Concat(extra, flag)...), "flag --"+o.flag)
				}
				expect(t, o.key, v, mustLoad(t, "", "", lower, slices.Concat(extra, flag)...), "flag --"+o.flag)
			}
			if c := mustLoad(t, "", "", nil); shown(c, o.key) != shown(Default(), o.key) || c.Source(o.key) != "default" {
				t.Errorf("default: %q from %s", shown(c, o.key), c.Source(o.key))
			}
		})
	}
}

// expect compares the value and its source with v, written as the option
// shows it.
func expect(t *testing.T, key, v string, c *Config, source string) {
	t.Helper()
	want := Default()
	if err := want.find(key).set([]string{v}); err != nil {
		t.Fatalf("sample %q: %v", v, err)
	}
	if got, want := shown(c, key), shown(want, key); got != want || !strings.HasPrefix(c.Source(key), source) {
		t.Errorf("%q from %s, want %q from %s", got, c.Source(key), want, source)
	}
}
