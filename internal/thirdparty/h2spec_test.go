package thirdparty

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/summerwind/h2spec/config"
	"github.com/summerwind/h2spec/generic"
	"github.com/summerwind/h2spec/hpack"
	"github.com/summerwind/h2spec/http2"
	"github.com/summerwind/h2spec/spec"
)

// patience is how long h2spec waits for what may not come. Longer than the
// second that http2 takes to close after GOAWAY.
const patience = 1500 * time.Millisecond

// TestH2Spec runs the cases of h2spec against net/http and against Windhover:
// what net/http passes, Windhover passes on each transport. Both answer by the
// same code, so what is tested is what lies between it and the socket.
func TestH2Spec(t *testing.T) {
	h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		io.WriteString(w, "Hello, world!")
	})
	reference := httptest.NewUnstartedServer(h)
	reference.EnableHTTP2 = true
	reference.Config.ErrorLog = quiet
	reference.StartTLS()
	defer reference.Close()
	want := runH2Spec(t, reference.Listener.Addr(), patience)
	if len(want) < 140 || passed(want) < 135 {
		t.Fatalf("net/http passes %d of %d cases: this is not what h2spec is", passed(want), len(want))
	}
	t.Logf("net/http passes %d of %d", passed(want), len(want))

	onEachNetwork(t, h, []string{"tls"}, func(t *testing.T, p peer) {
		got := runH2Spec(t, p.addr, patience)
		t.Logf("%d of %d passed", passed(got), len(got))
		var worse []string
		for name, result := range want {
			switch {
			case result == nil && got[name] != nil:
				worse = append(worse, name)
			case result != nil && got[name] != nil:
				t.Logf("as net/http: %s", name)
			case result != nil:
				t.Logf("better than net/http: %s", name)
			}
		}
		// A case may be late on a busy machine. What is wrong is wrong the
		// second time, too.
		if len(worse) > 0 && len(worse) <= 10 {
			got = runH2Spec(t, p.addr, 5*time.Second, worse...)
		}
		for _, name := range worse {
			if err := got[name]; err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
	})
}

// runH2Spec runs h2spec, or sections of it, against an https server and returns
// what became of each case, by its section and number: nil is passed. It waits
// for timeout where nothing comes, be that right or wrong.
func runH2Spec(t *testing.T, addr net.Addr, timeout time.Duration, sections ...string) map[string]error {
	t.Helper()
	tcp := addr.(*net.TCPAddr)
	c := &config.Config{
		Host: tcp.IP.String(), Port: tcp.Port, Path: "/", TLS: true, Insecure: true,
		Timeout: timeout, MaxHeaderLen: 4000, Sections: sections,
	}
	// h2spec talks, and ends the process when it cannot connect.
	log, err := os.Create(filepath.Join(t.TempDir(), "log"))
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	stdout := os.Stdout
	os.Stdout = log
	defer func() { os.Stdout = stdout }()
	results := map[string]error{}
	for _, g := range []*spec.TestGroup{generic.Spec(), http2.Spec(), hpack.Spec()} {
		g.Test(c)
		collect(g, results)
	}
	return results
}

func collect(g *spec.TestGroup, results map[string]error) {
	for i, c := range append(g.Tests, g.StrictTests...) {
		if r := c.Result; r != nil && !r.Skipped {
			results[fmt.Sprintf("%s/%d", g.ID(), i+1)] = r.Error
		}
	}
	for _, sub := range g.Groups {
		collect(sub, results)
	}
}

func passed(results map[string]error) (n int) {
	for _, err := range results {
		if err == nil {
			n++
		}
	}
	return n
}
