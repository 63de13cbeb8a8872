package config

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "rewrite docs/configuration.md")

const docsHead = `# Configuration

Every setting of ` + "`windhover`" + ` has a key in a configuration file, a flag and an
environment variable. A flag wins over the environment, that over the file, and that
over the default. ` + "`windhover config`" + ` prints the effective value of each setting and where
it comes from; what it prints can be used as a file.

    windhover /srv/www --config windhover.yaml --urls "http://*:8080;https://*:8443"
    WINDHOVER_URLS=http://localhost:3000 windhover hello

A file is YAML, TOML or JSON, by its name, given with ` + "`--config`" + ` or
` + "`WINDHOVER_CONFIG`" + `; none is read by itself. The parts of a key are nested:

` + "```yaml" + `
urls: [http://localhost:5000, "http://unix:/run/app.sock"]
limits:
  max-request-body-size: 100 MiB
` + "```" + `

- Sizes are bytes, or have a unit: ` + "`64 KiB`, `30 MB`, `1g`" + ` (K, M and G alone are
  powers of 1024). Durations have a unit: ` + "`500ms`, `30s`, `2m`" + `.
- "unlimited" (or "none", "off") switches a limit off where that is allowed.
- Lists are YAML, TOML or JSON lists, or one text: addresses and hosts separated by
  ` + "`;`" + `, others by ` + "`,`" + `. A flag for a list may be repeated.
- A key that does not exist is an error, and so is a value out of range: one line that
  names the setting, the value and what is allowed, and exit status 2.
- An empty environment variable counts as not set. Variables that are no setting are
  not looked at (Kubernetes puts such ones into pods beside a service "windhover").

`

const docsTail = `
## Endpoints with settings of their own

` + "`endpoints`" + ` names addresses; each has a ` + "`url`" + ` and may have any key of
` + "`endpoint-defaults`" + `, from which it takes what it does not say:

` + "```yaml" + `
endpoint-defaults:
  backlog: 1024
endpoints:
  public:
    url: https://*:443
    certificate: {path: /etc/ssl/site.pem, key-path: /etc/ssl/site.key}
  behind-haproxy:
    url: http://10.0.0.5:8080
    proxy-protocol: {enabled: true, trusted: [10.0.0.0/24]}
  local:
    url: http://unix:/run/windhover/windhover.sock
    unix-mode: "0660"
    unix-owner: ":www-data"
` + "```" + `

When a file has both ` + "`endpoints`" + ` and ` + "`urls`" + `, the endpoints are used and a warning
says so, as Kestrel does; ` + "`prefer-urls`" + ` turns that round. Addresses from ` + "`--urls`" + ` or
` + "`WINDHOVER_URLS`" + ` always win over the file.

## Certificates by host name

` + "```yaml" + `
tls:
  sni:
    www.example.com: {path: /etc/ssl/www.pem, key-path: /etc/ssl/www.key}
    "*.example.com": {path: /etc/ssl/wild.pfx, password-file: /etc/ssl/wild.password}
` + "```" + `

An https address without any certificate uses the one that ` + "`windhover dev-cert`" + ` has made,
if there is one.

## Files of a directory

Names that start with a dot are not served and not listed (` + "`static.dotfiles`" + `), since
` + "`.env`" + ` and ` + "`.git`" + ` are secrets more often than content. Symbolic links are followed
inside of the directory; one that leads out of it is not found. Files of 1 KiB to 16 MiB
of a compressible type are compressed with zstd or gzip if the client accepts that, except
for ranges; ` + "`static.precompressed`" + ` uses siblings made beforehand (` + "`app.js.zst`, `.br`, `.gz`" + `).

## Log

Messages about connections have the names and numbers of Kestrel's events. ` + "`conn`" + ` is the
connection's identifier and ` + "`req`" + ` the request's, which the access log has as ` + "`request_id`" + `.
Clients cause most of them, so in one second at most 10 of each are written
(ConnectionRejected: 1; debug: all); ` + "`suppressed`" + ` in the next one says how many were not.
The metrics count all of them.

| event_id | message | level | meaning |
|---|---|---|---|
| 1 | ConnectionStart | debug | a connection was accepted |
| 2 | ConnectionStop | debug | it has ended |
| 6 | ConnectionReadFin | debug | the client has closed its side |
| 7 | ConnectionWriteFin | debug | a FIN has been sent, and why |
| 9 | ConnectionKeepAlive | debug | answered; the connection waits for more |
| 10 | ConnectionDisconnect | debug | closed by this side |
| 13 | ApplicationError | error | the handler has panicked, or not kept to its Content-Length |
| 14 | ConnectionError | info | an unusual error of the connection |
| 16 | NotAllConnectionsClosedGracefully | debug | the drain limit came first |
| 17 | ConnectionBadRequest | info | a request was refused, and why |
| 17 | RequestHeadersTimeout | info | the head of a request did not come in time (408) |
| 18 | ConnectionHeadResponseBodyWrite | debug | bytes written in answer to HEAD, not sent |
| 19 | ConnectionReset | debug | the client has broken the connection |
| 20 | RequestProcessingError | info | an unusual error has ended a request that was still coming in |
| 24 | ConnectionRejected | warn | over max-concurrent-connections |
| 25 | RequestBodyStart | debug | the application reads the body |
| 26 | RequestBodyDone | debug | the body has been read |
| 27 | RequestBodyMinimumDataRateNotSatisfied | info | the client sends too slowly (408) |
| 28 | ResponseMinimumDataRateNotSatisfied | info | the client reads too slowly |
| 32 | RequestBodyNotEntirelyRead | info | the application left some of the body |
| 33 | RequestBodyDrainTimedOut | info | the rest did not come in time |
| 34 | ApplicationAbortedConnection | info | the application has dropped the connection |

Messages without an event_id are the program's own. Kestrel's other events are not written:

| event_id | message | why |
|---|---|---|
| 4, 5 | ConnectionPause, ConnectionResume | the transports pause and resume reading by themselves, and do not tell |
| 21 | NotAllConnectionsAborted | nothing waits for connections after they were broken |
| 22 | HeartbeatSlow | there is no heartbeat: each deadline has its own time |
| 23 | ApplicationNeverCompleted | a connection is not collected while its handler runs |
| 29 to 31, 35 to 38 | | they are about HTTP/2 |

## Signals

| signal | meaning |
|---|---|
| SIGINT, SIGTERM | drain, for at most ` + "`shutdown.timeout`" + `; a second one ends the process at once, with exit status 1 |
| SIGHUP | read certificates anew, reopen log files |
| SIGUSR2 | start the program anew, hand it the listening sockets, then drain (also ` + "`windhover upgrade --pid-file FILE`" + `) |

## Exit status

0 after a drain or a command that did its work; 2 for a command line or configuration that
cannot be used; 1 for what fails at run time: a port in use, a directory that does not exist.
`

// documentation is docs/configuration.md as the table says it.
func documentation() string {
	var b strings.Builder
	b.WriteString(docsHead)
	section := ""
	for _, o := range Default().options() {
		s, _, nested := strings.Cut(o.key, ".")
		if !nested {
			s = "general"
		}
		if s != section {
			section = s
			fmt.Fprintf(&b, "\n## %s\n\n| key | flag | default | meaning |\n|---|---|---|---|\n", strings.ToUpper(s[:1])+s[1:])
		}
		value := strings.Join(o.value.texts(), ", ")
		if value != "" {
			value = "`" + value + "`"
		}
		fmt.Fprintf(&b, "| `%s` | `--%s` | %s | %s |\n", o.key, o.flag, value, o.usage)
	}
	b.WriteString(docsTail)
	return b.String()
}

func TestDocumentationIsUpToDate(t *testing.T) {
	path := filepath.Join("..", "..", "..", "..", "docs", "configuration.md")
	want := documentation()
	if *update {
		if err := os.WriteFile(path, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(path)
	if err != nil || string(got) != want {
		t.Errorf("docs/configuration.md is out of date; run this test with -update (%v)", err)
	}
}
