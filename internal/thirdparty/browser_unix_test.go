//go:build unix

package thirdparty

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// browserPage opens a WebSocket, sends a text and a binary message, and reports
// what came back, and the protocol of its own requests.
const browserPage = `<!DOCTYPE html>
<title>Windhover</title>
<script>
const report = what => fetch("/report", {method: "POST", body: JSON.stringify(what)});
const ws = new WebSocket(location.origin.replace(/^http/, "ws") + "/ws");
ws.binaryType = "arraybuffer";
const text = "grüß dich, Browser";
const bytes = new Uint8Array(200000).map((_, i) => i * 7);
const got = {};
ws.onopen = () => { ws.send(text); ws.send(bytes); };
ws.onmessage = e => {
	if (typeof e.data === "string") {
		got.text = e.data === text;
		return;
	}
	const back = new Uint8Array(e.data);
	got.binary = back.length === bytes.length && back.every((b, i) => b === bytes[i]);
	ws.close(1000);
};
ws.onerror = () => { got.failed = true; };
ws.onclose = e => {
	got.closed = e.wasClean && e.code;
	got.protocol = performance.getEntriesByType("navigation")[0].nextHopProtocol;
	report(got);
};
</script>
`

// browserReport is what the page sends.
type browserReport struct {
	Text, Binary, Failed bool
	Closed               any // the code of a clean end, or false
	Protocol             string
}

// TestBrowser has Chromium load a page, open a WebSocket and post a report.
func TestBrowser(t *testing.T) {
	var browser string
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if path, err := exec.LookPath(name); err == nil {
			browser = path
			break
		}
	}
	if browser == "" {
		t.Skip("there is no Chromium here (.ci/peers installs it on Debian)")
	}
	for handlerName, ws := range map[string]http.HandlerFunc{"gorilla": gorillaEcho, "coder": coderEcho} {
		t.Run(handlerName, func(t *testing.T) {
			reports := make(chan browserReport, 1)
			mux := http.NewServeMux()
			mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Type", "text/html; charset=utf-8")
				io.WriteString(w, browserPage)
			})
			mux.HandleFunc("GET /ws", ws)
			mux.HandleFunc("POST /report", func(w http.ResponseWriter, r *http.Request) {
				var got browserReport
				if err := json.NewDecoder(r.Body).Decode(&got); err != nil {
					t.Errorf("report: %v", err)
				}
				reports <- got
				w.WriteHeader(http.StatusNoContent)
			})
			onEachNetwork(t, mux, []string{"tcp", "tls"}, func(t *testing.T, p peer) {
				b := startBrowser(t, browser, p.url)
				select {
				case got := <-reports:
					protocol := "http/1.1"
					if p.tls != nil {
						protocol = "h2"
					}
					if want := (browserReport{Text: true, Binary: true, Closed: float64(1000), Protocol: protocol}); got != want {
						t.Errorf("the browser reports %+v, want %+v", got, want)
					}
				case err := <-b.ended:
					t.Fatalf("the browser ended: %v\n%s", err, b.output())
				case <-time.After(time.Minute): // a browser takes seconds to start
					t.Fatalf("the browser reports nothing\n%s", b.output())
				}
			})
		})
	}
}

type browserProcess struct {
	log   string
	ended chan error
}

// startBrowser opens url in a browser of its own until the test ends.
func startBrowser(t *testing.T, program, url string) *browserProcess {
	t.Helper()
	dir := t.TempDir()
	b := &browserProcess{filepath.Join(dir, "log"), make(chan error, 1)}
	log, err := os.Create(b.log)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(program, "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
		"--no-first-run", "--no-proxy-server", "--disable-background-networking", "--disable-component-update",
		"--ignore-certificate-errors", "--user-data-dir="+filepath.Join(dir, "profile"), url)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // a browser is many processes
	err = cmd.Start()
	log.Close()
	if err != nil {
		t.Fatal(err)
	}
	exited := make(chan struct{})
	go func() {
		b.ended <- fmt.Errorf("wait: %w", cmd.Wait())
		close(exited)
	}()
	t.Cleanup(func() {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) // it may have ended by itself
		<-exited
		removeProfile(t, dir)
	})
	return b
}

// removeProfile removes the browser's files, which its last processes may still
// be writing.
func removeProfile(t *testing.T, dir string) {
	t.Helper()
	limit := time.After(10 * time.Second)
	for tick := time.NewTicker(20 * time.Millisecond); ; {
		err := os.RemoveAll(dir)
		if err == nil {
			tick.Stop()
			return
		}
		select {
		case <-tick.C:
		case <-limit:
			t.Errorf("the browser's files: %v", err)
			return
		}
	}
}

func (b *browserProcess) output() string {
	text, err := os.ReadFile(b.log)
	if err != nil {
		return err.Error()
	}
	lines := strings.Split(string(text), "\n")
	return strings.Join(lines[max(0, len(lines)-20):], "\n")
}
