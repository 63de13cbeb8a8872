package e2e

import (
	"crypto/tls"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/windhover-server/windhover/internal/nethttpadapter"
)

// A parityCase is a handler and a conversation with it. What the client
// receives, and what the handler notes, must be the same under http.Server and
// under Windhover.
type parityCase struct {
	name string
	// serve is the handler; note adds a line to what is compared.
	serve func(w http.ResponseWriter, r *http.Request, note func(format string, args ...any))
	// talk is the client's side. Afterwards a probe shows whether the
	// connection is still open and in step.
	talk func(c *rawClient)
	// closes says that the server ends the connection by itself. Then there is
	// no probe: on its way to a closed socket it could destroy the answer.
	closes bool
	// heads are the numbers of the responses that answer a HEAD request.
	heads []int
	// configure changes the server's configuration.
	configure func(s *http.Server)
	// noKeepAlives calls SetKeepAlivesEnabled(false) before the conversation.
	noKeepAlives bool
	// differs says why Windhover's answer is not net/http's. Then differently
	// is a part of the transcript that shows how it is not.
	differs, differently string
}

// starter serves as s is configured until the test ends, and returns a function
// that connects to the server.
type starter func(t *testing.T, p *parityCase, s *http.Server) (dial func() net.Conn)

// startNetHTTP is the reference.
func startNetHTTP(t *testing.T, p *parityCase, s *http.Server) (dial func() net.Conn) {
	if p.noKeepAlives {
		s.SetKeepAlivesEnabled(false)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var done sync.WaitGroup
	done.Go(func() { s.Serve(ln) })
	t.Cleanup(func() {
		s.Close()
		done.Wait()
	})
	return func() net.Conn { return dialNet(t, "tcp", ln.Addr().String()) }
}

func dialNet(t *testing.T, network, addr string) net.Conn {
	conn, err := net.Dial(network, addr)
	if err != nil {
		t.Fatal(err)
	}
	return conn
}

// observe plays the case against one server.
func (p *parityCase) observe(t *testing.T, start starter) string {
	var mu sync.Mutex // guards notes and running
	var notes []string
	running, done := 0, sync.NewCond(&mu)
	note := func(format string, args ...any) {
		mu.Lock()
		defer mu.Unlock()
		notes = append(notes, fmt.Sprintf(format, args...))
	}
	mux := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/probe" {
			io.WriteString(w, "in step")
			return
		}
		mu.Lock()
		running++
		mu.Unlock()
		defer func() {
			mu.Lock()
			running--
			mu.Unlock()
			done.Broadcast()
		}()
		p.serve(w, r, note)
	})
	s := &http.Server{Handler: mux, ErrorLog: log.New(io.Discard, "", 0)}
	if p.configure != nil {
		p.configure(s)
	}
	c := newRawClient(t, start(t, p, s)())
	p.talk(c)
	if !p.closes {
		c.send(get("/probe", "Connection: close"))
	}
	got := normalize(c.ended(), p.heads...)
	mu.Lock()
	defer mu.Unlock()
	for running > 0 {
		done.Wait()
	}
	if got == "" {
		got = "no answer\n"
	}
	if len(notes) > 0 {
		got += "notes:\n  " + strings.Join(notes, "\n  ") + "\n"
	}
	return got
}

// parityTables are all the cases.
var parityTables = [][]parityCase{framingCases, interimCases, bodyCases, controlCases, lifeCases}

// A case whose outcome is left to chance under net/http compares nothing.
func TestParityCasesAreDeterministic(t *testing.T) {
	for _, table := range parityTables {
		for _, p := range table {
			t.Run(p.name, func(t *testing.T) {
				t.Parallel()
				first := p.observe(t, startNetHTTP)
				t.Log("\n" + first)
				for range 2 {
					if again := p.observe(t, startNetHTTP); again != first {
						t.Errorf("and then\n%s", again)
					}
				}
			})
		}
	}
}

// Under Windhover every handler gives the answer that it gives under net/http.
func TestParity(t *testing.T) {
	for _, m := range modes() {
		if m.native {
			continue
		}
		t.Run(m.String(), func(t *testing.T) {
			t.Parallel()
			needTransport(t, m.transport)
			for _, table := range parityTables {
				for _, p := range table {
					t.Run(p.name, func(t *testing.T) { p.compare(t, m) })
				}
			}
		})
	}
}

func (p *parityCase) compare(t *testing.T, m mode) {
	want := p.observe(t, startNetHTTP)
	got := p.observe(t, func(t *testing.T, p *parityCase, s *http.Server) func() net.Conn {
		ws := nethttpadapter.Configure(s, m.windhover())
		if p.noKeepAlives {
			ws.SetKeepAlivesEnabled(false)
		}
		if m.tls {
			ws.TLSConfig = &tls.Config{Certificates: []tls.Certificate{certificate(t)}}
		}
		return start(t, m, ws).dial
	})
	if m.tls {
		got = strings.ReplaceAll(got, "tls true", "tls false")
	}
	switch {
	case p.differs == "" && got != want:
		t.Errorf("got\n%s\nnet/http gives\n%s", got, want)
	case p.differs != "" && got == want:
		t.Errorf("no difference any more; was: %s", p.differs)
	case p.differs != "" && !strings.Contains(got, p.differently):
		t.Errorf("got\n%s\nwant in it\n%s", got, p.differently)
	}
}
