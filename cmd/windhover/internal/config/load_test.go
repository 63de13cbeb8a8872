package config

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spf13/pflag"
)

// load runs Load on a file with the given name and content (none if name is
// empty), an environment and arguments.
func load(t *testing.T, name, content string, env map[string]string, args ...string) (*Config, error) {
	t.Helper()
	flags := pflag.NewFlagSet("test", pflag.ContinueOnError)
	AddFlags(flags)
	if name != "" {
		path := filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		args = append(args, "--config", path)
	}
	if err := flags.Parse(args); err != nil {
		t.Fatal(err)
	}
	return Load(flags, func(name string) (string, bool) { v, ok := env[name]; return v, ok })
}

func mustLoad(t *testing.T, name, content string, env map[string]string, args ...string) *Config {
	t.Helper()
	c, err := load(t, name, content, env, args...)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestPrecedenceFlagEnvironmentFileDefault(t *testing.T) {
	const file = "urls: http://localhost:1"
	env := map[string]string{"WINDHOVER_URLS": "http://localhost:2"}
	for _, c := range []struct {
		name string
		file string
		env  map[string]string
		args []string
		want string
	}{
		{"default", "", nil, nil, DefaultURL},
		{"file", file, nil, nil, "http://localhost:1"},
		{"environment", file, env, nil, "http://localhost:2"},
		{"flag", file, env, []string{"--urls", "http://localhost:3"}, "http://localhost:3"},
		{"empty environment", file, map[string]string{"WINDHOVER_URLS": ""}, nil, "http://localhost:1"},
	} {
		t.Run(c.name, func(t *testing.T) {
			name := "c.yaml"
			if c.file == "" {
				name = ""
			}
			got := mustLoad(t, name, c.file, c.env, c.args...)
			if !slices.Equal(got.URLs, []string{c.want}) {
				t.Errorf("%q", got.URLs)
			}
		})
	}
}

func TestURLsAreRepeatableAndSplitAtSemicolons(t *testing.T) {
	want := []string{"http://localhost:1", "http://localhost:2", "http://localhost:3"}
	for _, got := range []*Config{
		mustLoad(t, "", "", nil, "--urls", " http://localhost:1 ;; http://localhost:2;", "--urls", "http://localhost:3"),
		mustLoad(t, "", "", map[string]string{"WINDHOVER_URLS": "http://localhost:1;http://localhost:2; http://localhost:3"}),
		mustLoad(t, "c.yaml", "urls: [http://localhost:1, 'http://localhost:2;http://localhost:3']", nil),
		mustLoad(t, "c.toml", `urls = ["http://localhost:1", "http://localhost:2", "http://localhost:3"]`, nil),
		mustLoad(t, "c.json", `{"urls": "http://localhost:1;http://localhost:2;http://localhost:3"}`, nil),
	} {
		if !slices.Equal(got.URLs, want) {
			t.Errorf("%q", got.URLs)
		}
	}
}

func TestEveryFormatSaysTheSame(t *testing.T) {
	for name, content := range map[string]string{
		"c.yaml": "limits:\n  max-request-body-size: 30000000\n  keep-alive-timeout: 2m\n  min-response-data-rate: off\nendpoint-defaults:\n  no-delay: false\n",
		"c.yml":  "limits: {max-request-body-size: 30 MB, keep-alive-timeout: 120s, min-response-data-rate: none}\nendpoint-defaults: {no-delay: off}\n",
		"c.toml": "[limits]\nmax-request-body-size = 30000000\nkeep-alive-timeout = \"2m\"\nmin-response-data-rate = \"off\"\n[endpoint-defaults]\nno-delay = false\n",
		"c.json": `{"limits": {"max-request-body-size": 30000000, "keep-alive-timeout": "2m", "min-response-data-rate": "off"}, "endpoint-defaults": {"no-delay": false}}`,
	} {
		c := mustLoad(t, name, content, nil)
		if c.Limits.MaxRequestBodySize != 30_000_000 || c.Limits.KeepAliveTimeout != 2*time.Minute ||
			c.Limits.MinResponseDataRate != Unlimited || c.Defaults.NoDelay {
			t.Errorf("%s: %+v %v", name, c.Limits, c.Defaults.NoDelay)
		}
	}
}

func TestLimitsAcceptKestrelsRanges(t *testing.T) {
	for _, c := range []struct{ flag, good, bad string }{
		{"max-concurrent-connections", "1;unlimited", "0;-1;x"},
		{"max-concurrent-upgraded-connections", "0;1;unlimited", "-1"},
		{"max-request-body-size", "0;1;30MB;unlimited", "-1;1.5;1e400MB"},
		{"max-request-buffer-size", "65536;1MiB;unlimited", "0;-1"},
		{"max-response-buffer-size", "0;1;unlimited", "-1"},
		{"max-request-line-size", "1;8KiB", "0;-1;unlimited"},
		{"max-request-headers-total-size", "1;32 KiB", "0;-1;unlimited"},
		{"max-request-header-count", "1;100", "0;-1;unlimited"},
		{"keep-alive-timeout", "1ns;2m;unlimited", "0;0s;-1s;30"},
		{"request-headers-timeout", "30s;none", "0;-1s"},
		{"min-request-body-data-rate", "0.5;240;off", "0;-1;NaN;inf"},
		{"min-request-body-data-rate-grace-period", "1001ms;5s", "1s;0s;unlimited"},
		{"min-response-data-rate", "1;off", "0"},
		{"min-response-data-rate-grace-period", "2s", "1s"},
		{"tls-handshake-timeout", "10s;unlimited", "0s;-1s"},
	} {
		for good := range strings.SplitSeq(c.good, ";") {
			if _, err := load(t, "", "", nil, "--"+c.flag, good); err != nil {
				t.Errorf("%s %s: %v", c.flag, good, err)
			}
		}
		for bad := range strings.SplitSeq(c.bad, ";") {
			_, err := load(t, "", "", nil, "--"+c.flag, bad)
			var wrong *Error
			if !errors.As(err, &wrong) || wrong.Name != "--"+c.flag || wrong.Value != bad || wrong.Allowed == "" {
				t.Errorf("%s %s: %v", c.flag, bad, err)
			}
		}
	}
}

func TestErrorsNameTheSettingAsTheUserWroteIt(t *testing.T) {
	_, err := load(t, "", "", map[string]string{"WINDHOVER_RINGS": "many"})
	if err == nil || err.Error() != `WINDHOVER_RINGS is "many"; allowed: 0 to 256` {
		t.Error(err)
	}
	_, err = load(t, "c.yaml", "limits:\n  max-request-header-count: 0\n", nil)
	if err == nil || !strings.HasPrefix(err.Error(), "limits.max-request-header-count in ") || !strings.HasSuffix(err.Error(), `c.yaml is "0"; allowed: 1 to 2147483647`) {
		t.Error(err)
	}
	_, err = load(t, "c.yaml", "endpoint-defaults: {unix-mode: 0660}", nil)
	if err == nil || !strings.Contains(err.Error(), "quoted") {
		t.Errorf("an unquoted mode: %v", err)
	}
}

func TestRequestBufferMustHoldLineAndHeaders(t *testing.T) {
	for _, args := range [][]string{
		{"--max-request-buffer-size", "8191", "--max-request-headers-total-size", "100"},
		{"--max-request-buffer-size", "32767"},
	} {
		_, err := load(t, "", "", nil, args...)
		if err == nil || !strings.Contains(err.Error(), args[1]) || !strings.Contains(err.Error(), "--max-request-buffer-size") {
			t.Errorf("%v: %v", args, err)
		}
	}
	mustLoad(t, "", "", nil, "--max-request-buffer-size", "32768")
	mustLoad(t, "", "", nil, "--max-request-buffer-size", "unlimited", "--max-request-line-size", "2GB")
}

func TestUnknownKeysAreNamed(t *testing.T) {
	for _, c := range []struct{ name, content, key, hint string }{
		{"c.yaml", "url: http://localhost", `"url"`, `"urls"`},
		{"c.yaml", "limits: {max-request-line: 3}", `"limits.max-request-line"`, "limits.max-request-line-size"},
		{"c.yaml", "keep-alive-timeout: 3s", `"keep-alive-timeout"`, "limits.keep-alive-timeout"},
		{"c.toml", "[nonsense]\nx = 1", `"nonsense.x"`, "windhover config"},
		{"c.json", `{"endpoints": {"a": {"url": "http://localhost:1", "port": 3}}}`, `"endpoints.a.port"`, ""},
		{"c.yaml", "tls: {sni: {www.example.com: {paht: x}}}", `"tls.sni.www.example.com.paht"`, "tls.sni.www.example.com.path"},
		{"c.yaml", "endpoints: {a: {url: 'http://localhost:1', limits: {}}}", `"endpoints.a.limits"`, ""},
	} {
		_, err := load(t, c.name, c.content, nil)
		if err == nil || !strings.Contains(err.Error(), "unknown key "+c.key) || !strings.Contains(err.Error(), c.hint) {
			t.Errorf("%s: %v", c.content, err)
		}
	}
}

func TestUnusableFiles(t *testing.T) {
	for name, content := range map[string]string{
		"c.yaml": "urls: [", "c.toml": "urls = ", "c.json": "{", "c.ini": "urls=x",
	} {
		_, err := load(t, name, content, nil)
		if err == nil || !strings.Contains(err.Error(), name) || strings.ContainsAny(err.Error(), "\r\n") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := load(t, "", "", map[string]string{"WINDHOVER_CONFIG": "/nonexistent/w.yaml"}); err == nil || !strings.Contains(err.Error(), "/nonexistent/w.yaml") {
		t.Error(err)
	}
	if _, err := load(t, "", "", nil, "--config", ""); err == nil {
		t.Error("an empty --config is taken")
	}
}

func TestEndpointsInheritFromTheDefaults(t *testing.T) {
	c := mustLoad(t, "c.yaml", `
endpoint-defaults:
  backlog: 100
  certificate: {path: default.pem, key-path: default.key}
endpoints:
  plain: {url: "http://localhost:1"}
  own: {url: "https://localhost:2", backlog: 7, certificate: {path: own.pfx, password: x}, proxy-protocol: {enabled: true, trusted: [10.0.0.0/8, "::1"]}}
`, map[string]string{"WINDHOVER_NO_DELAY": "false"}, "--backlog", "200")
	addresses, overridden := c.Addresses()
	if len(addresses) != 2 || overridden != "" {
		t.Fatalf("%+v %q", addresses, overridden)
	}
	own, plain := addresses[0], addresses[1]
	if plain.Name != "plain" || plain.URL != "http://localhost:1" || plain.Backlog != 200 || plain.NoDelay || plain.Certificate.KeyPath != "default.key" {
		t.Errorf("%+v", plain)
	}
	if own.Backlog != 7 || own.Certificate != (Certificate{Path: "own.pfx", Password: "x"}) || !own.Proxy.Enabled || len(own.Proxy.Trusted) != 2 {
		t.Errorf("%+v", own)
	}
}

func TestEndpointsAgainstURLs(t *testing.T) {
	const endpoints = "endpoints: {a: {url: 'http://localhost:9'}}\n"
	for _, c := range []struct {
		name, file string
		args       []string
		want       string
		remark     string
	}{
		{"endpoints alone", endpoints, nil, "http://localhost:9", ""},
		{"endpoints win over urls of the file", endpoints + "urls: http://localhost:1", nil, "http://localhost:9", "overridden by endpoints"},
		{"unless prefer-urls", endpoints + "urls: http://localhost:1\nprefer-urls: true", nil, "http://localhost:1", "overridden by urls"},
		{"a flag wins over the file", endpoints, []string{"--urls", "http://localhost:2"}, "http://localhost:2", "overridden by urls"},
	} {
		t.Run(c.name, func(t *testing.T) {
			addresses, remark := mustLoad(t, "c.yaml", c.file, nil, c.args...).Addresses()
			if len(addresses) != 1 || addresses[0].URL != c.want || (remark != "") != (c.remark != "") || !strings.Contains(remark, c.remark) {
				t.Errorf("%+v %q", addresses, remark)
			}
		})
	}
}

func TestContradictionsAreRefused(t *testing.T) {
	for _, c := range []struct{ content, want string }{
		{"endpoints: {a: {backlog: 3}}", "endpoints.a"},
		{"endpoints: {a: {url: ''}}", "endpoints.a"},
		{"tls: {client-certificates: require}", "--tls-client-ca"},
		{"tls: {sni: {a.test: {key-path: k}}}", "tls.sni.a.test"},
		{"forwarded-headers: {standard: true, fields: [for, prefix]}", "prefix"},
		{"endpoint-defaults: {certificate: {key-path: k.pem}}", "endpoint-defaults.certificate"},
		{"endpoint-defaults: {protocols: [http2]}", "endpoint-defaults.protocols"},
		{"urls: ';'", "urls"},
		{"limits: 3", `limits.max-concurrent-connections`},
		{"endpoints: [http://localhost:1]", "endpoints in "},
		{"tls: {client-ca: ca.pem}", `--tls-client-certificates is "none"`},
		{"rings: {a: 1}", `"rings.a"`},
	} {
		if _, err := load(t, "c.yaml", c.content, nil); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", c.content, err)
		}
	}
}

func TestPasswordFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(path, []byte("secret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	c := mustLoad(t, "", "", nil, "--tls-certificate", "a.pfx", "--tls-password-file", path)
	if c.Defaults.Certificate.Password != "secret" {
		t.Errorf("%q", c.Defaults.Certificate.Password)
	}
	if _, err := load(t, "", "", nil, "--tls-certificate", "a.pfx", "--tls-password-file", path, "--tls-password", "x"); err == nil {
		t.Error("two passwords are taken")
	}
}

func TestPrintCanBeReadBackAndHidesPasswords(t *testing.T) {
	const file = `
urls: ["http://localhost:1", "http://unix:/run/w.sock"]
limits: {max-request-body-size: unlimited, min-request-body-data-rate: off}
endpoint-defaults: {unix-mode: "0660", certificate: {path: a.pfx, password: geheim}}
forwarded-headers: {fields: [for, proto], known-proxies: [10.0.0.0/8]}
tls: {sni: {"*.example.com": {path: b.pem}}}
`
	first := mustLoad(t, "c.yaml", file, map[string]string{"WINDHOVER_LOG_LEVEL": "debug"}, "--rings=3")
	var printed bytes.Buffer
	if err := first.Print(&printed); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"rings: 3 # flag --rings", "level: debug # environment variable WINDHOVER_LOG_LEVEL", "transport: auto # default", `unix-mode: "0660"`} {
		if !strings.Contains(printed.String(), want) {
			t.Errorf("no %q in\n%s", want, &printed)
		}
	}
	if strings.Contains(printed.String(), "geheim") {
		t.Error("the password is printed")
	}
	second := mustLoad(t, "d.yaml", printed.String(), nil)
	if !slices.Equal(second.URLs, first.URLs) || second.Limits != first.Limits || second.Defaults.UnixMode != 0o660 ||
		second.TLS.SNI["*.example.com"].Path != "b.pem" || second.Rings != 3 || len(second.Forwarded.KnownProxies) != 1 {
		t.Errorf("%+v", second)
	}
}

func TestDefaultsPassTheirOwnChecks(t *testing.T) {
	for _, o := range Default().options() {
		if err := o.value.set(o.value.texts()); err != nil {
			t.Errorf("%s: default %q: %v", o.key, o.value.texts(), err)
		}
	}
}

func TestKeysAndFlagsAreUnique(t *testing.T) {
	keys, flags := map[string]bool{}, map[string]bool{}
	for _, o := range Default().options() {
		if keys[o.key] || flags[o.flag] || o.usage == "" {
			t.Errorf("%s, --%s", o.key, o.flag)
		}
		keys[o.key], flags[o.flag] = true, true
	}
}
