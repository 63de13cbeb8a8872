package main_test

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const any4 = "http://127.0.0.1:0"

// Every input that cannot be used gets one line on standard error, which names
// it, and the exit status of its kind.
func TestUnusableInputs(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() }) // the subtests run after this function
	taken := "http://" + ln.Addr().String()
	files := write(t, map[string]string{"bad.yaml": "nonsense: 1\n", "broken.yaml": "urls: [\n", "file.txt": "x", "cert.pem": "no certificate",
		"sni.yaml": "tls: {sni: {a.test: {path: /no/a.pem}}}\n", "section.json": `{"limits": 5}`})
	in := func(name string) string { return filepath.Join(files, name) }
	for _, c := range []struct {
		name   string
		env    []string
		args   []string
		status int
		want   []string
	}{
		{"unknown flag", nil, []string{"--nonsense"}, 2, []string{"--nonsense", "--help"}},
		{"flag without a value", nil, []string{"--urls"}, 2, []string{"--urls"}},
		{"two directories", nil, []string{".", "."}, 2, []string{"one directory"}},
		{"limit out of range", nil, []string{"--max-request-header-count", "0"}, 2, []string{"--max-request-header-count", `"0"`, "1 to"}},
		{"limit in the environment", []string{"WINDHOVER_KEEP_ALIVE_TIMEOUT=soon"}, nil, 2, []string{"WINDHOVER_KEEP_ALIVE_TIMEOUT", `"soon"`}},
		{"contradicting limits", nil, []string{"--max-request-buffer-size", "100"}, 2, []string{"max-request-buffer-size", "100", "8192"}},
		{"unknown key", nil, []string{"--config", in("bad.yaml")}, 2, []string{"nonsense", "bad.yaml"}},
		{"broken file", nil, []string{"--config", in("broken.yaml")}, 2, []string{"broken.yaml"}},
		{"missing file", nil, []string{"--config", in("missing.yaml")}, 2, []string{"missing.yaml"}},
		{"bad port", nil, []string{"--urls", "http://localhost:NOTAPORT"}, 2, []string{"http://localhost:NOTAPORT"}},
		{"port out of range", nil, []string{"--urls", "http://localhost:65536"}, 2, []string{"http://localhost:65536"}},
		{"unknown scheme", nil, []string{"--urls", "ftp://localhost:21"}, 2, []string{"ftp://localhost:21"}},
		{"no scheme", nil, []string{"--urls", "5000"}, 2, []string{`5000`}},
		{"path base", nil, []string{"--urls", "http://localhost:5000/base"}, 2, []string{"http://localhost:5000/base"}},
		{"localhost with port 0", nil, []string{"--urls", "http://localhost:0"}, 2, []string{"http://localhost:0", "127.0.0.1"}},
		{"bad allowed host", nil, []string{"--allowed-hosts", "example.com:80", "--urls", any4}, 2, []string{"--allowed-hosts", "example.com:80"}},
		{"bad upstream", nil, []string{"proxy", "localhost:3000"}, 2, []string{"localhost:3000"}},
		{"no upstream", nil, []string{"proxy"}, 2, []string{"upstream"}},
		{"upgrade without a file", nil, []string{"upgrade"}, 2, []string{"--pid-file"}},
		{"argument of version", nil, []string{"version", "x"}, 2, []string{"version"}},

		{"missing directory", nil, []string{in("missing")}, 1, []string{in("missing"), "does not exist"}},
		{"file for directory", nil, []string{in("file.txt")}, 1, []string{in("file.txt"), "not a directory"}},
		{"port in use", nil, []string{"--urls", taken}, 1, []string{taken, "in use"}},
		{"the second of two in use", nil, []string{"--urls", any4 + ";" + taken}, 1, []string{taken, "in use"}},
		{"admin port in use", nil, []string{"--urls", any4, "--admin-url", taken}, 1, []string{taken, "in use"}},
		{"https without a certificate", []string{"XDG_CONFIG_HOME=" + files}, []string{"--urls", "https://127.0.0.1:0"}, 2, []string{"https://127.0.0.1:0", "certificate", "dev-cert"}},
		{"certificate that is none", nil, []string{"--urls", "https://127.0.0.1:0", "--tls-certificate", in("cert.pem")}, 2, []string{"cert.pem"}},
		{"log file in no directory", nil, []string{"--urls", any4, "--log-file", in("no/log")}, 1, []string{in("no/log")}},
		{"socket in no directory", nil, []string{"--urls", "http://unix:" + in("no/sock")}, 1, []string{in("no/sock")}},
		{"log file is named", nil, []string{"--urls", any4, "--access-log-file", in("no/log")}, 1, []string{"--access-log-file", in("no/log")}},
		{"pid file in no directory", nil, []string{"--urls", any4, "--pid-file", in("no/pid")}, 1, []string{"--pid-file", in("no/pid")}},
		{"too many rings", nil, []string{"--rings", "257"}, 2, []string{"--rings", `"257"`, "0 to 256"}},
		{"unknown owner", nil, []string{"--urls", any4, "--unix-owner", "no such user"}, 2, []string{`"no such user"`, "user:group"}},
		{"bad forwarded host", nil, []string{"--urls", any4, "--forwarded-headers", "host", "--forwarded-allowed-hosts", "a b"}, 2, []string{"--forwarded-allowed-hosts", `"a b"`}},
		{"missing key", nil, []string{"--urls", "https://127.0.0.1:0", "--tls-certificate", in("cert.pem"), "--tls-key", in("no.key"), "--tls-ticket-keys", in("no.tickets")}, 2, []string{"https://127.0.0.1:0", "--tls-key", in("no.key"), "--tls-ticket-keys", in("no.tickets")}},
		{"missing certificate of a name", nil, []string{"--urls", "https://127.0.0.1:0", "--config", in("sni.yaml")}, 2, []string{"tls.sni.a.test.path", "/no/a.pem"}},
		{"section that is a number", nil, []string{"--config", in("section.json")}, 2, []string{"limits in ", `"5"`, "section"}},
		{"truth value that is none", nil, []string{"--server-header=maybe"}, 2, []string{"--server-header", `"maybe"`, "true or false"}},
		{"value of a truth value apart", nil, []string{"hello", "--server-header", "false"}, 2, []string{`"false"`, "--flag=value"}},
		{"pid file of nobody", nil, []string{"upgrade", "--pid-file", in("missing.pid")}, 1, []string{in("missing.pid")}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			status, stdout, stderr := once(t, c.env, c.args...)
			if status != c.status || strings.Count(stderr, "\n") != 1 || !strings.HasPrefix(stderr, "windhover: ") {
				t.Errorf("exit status %d, stderr:\n%s", status, stderr)
			}
			for _, want := range c.want {
				if !strings.Contains(stderr, want) {
					t.Errorf("no %q in %s", want, stderr)
				}
			}
			if strings.Contains(stdout, "Now listening") {
				t.Errorf("stdout:\n%s", stdout)
			}
		})
	}
}

func TestCommandsThatOnlyPrint(t *testing.T) {
	dir := t.TempDir()
	for _, c := range []struct {
		args []string
		want []string
	}{
		{[]string{"version"}, []string{"windhover ", "go1."}},
		{[]string{"--help"}, []string{"--urls", "--max-request-line-size", "hello", "proxy", "doctor", "dev-cert", "upgrade"}},
		{[]string{"config", "--rings", "2"}, []string{"rings: 2 # flag --rings", "urls: ['http://localhost:5000'] # default"}},
		{[]string{"doctor"}, []string{"transport: ", "io_uring: ", "localhost: IPv4"}},
		{[]string{"dev-cert", "--dir", dir, "--pfx-password", "x"}, []string{"Made a certificate", "localhost.pem", "localhost.pfx", "curl --cacert"}},
		{[]string{"dev-cert", "--dir", dir}, []string{"There is a certificate"}},
		{[]string{"dev-cert", "--dir", dir, "--renew"}, []string{"Made a certificate"}},
	} {
		status, stdout, stderr := once(t, nil, c.args...)
		if status != 0 || stderr != "" {
			t.Errorf("%v: exit status %d, %s", c.args, status, stderr)
		}
		for _, want := range c.want {
			if !strings.Contains(stdout, want) {
				t.Errorf("%v: no %q in\n%s", c.args, want, stdout)
			}
		}
	}
	info, err := os.Stat(filepath.Join(dir, "localhost.key"))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("key file: %v %v", info, err)
	}
}

func TestPrintedConfigurationCanBeUsed(t *testing.T) {
	_, printed, _ := once(t, nil, "config", "--urls", any4, "--log-format", "json")
	dir := write(t, map[string]string{"c.yaml": printed})
	p := windhover(t, "hello", "--config", filepath.Join(dir, "c.yaml"))
	if status, body := fetch(t, client(t), p.url()); status != 200 || body != "Hello World!" {
		t.Errorf("%d %q", status, body)
	}
	p.stop()
}
