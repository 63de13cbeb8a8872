package windhover_test

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/windhover-server/windhover"
	"github.com/windhover-server/windhover/proto"
	"github.com/windhover-server/windhover/tlsbridge"
)

type (
	baseKey struct{}
	connKey struct{}
)

// On every kind of endpoint a request's context descends from BaseContext's,
// given the endpoint's listener, and ConnContext's, given the connection; the
// connection goes through net/http's states; and the identifiers count.
func TestContextsAndStatesOnEveryEndpoint(t *testing.T) {
	eachTransport(t, func(t *testing.T, s *windhover.Server) {
		cert := devCert(t)
		s.URLs = []string{"http://127.0.0.1:0", "https://127.0.0.1:0", "http://unix:" + filepath.Join(t.TempDir(), "s")}
		s.TLS = &tlsbridge.Config{Base: &tls.Config{Certificates: []tls.Certificate{cert.TLS()}}}
		s.DisableHTTP2 = true
		s.BaseContext = func(ln net.Listener) context.Context {
			return context.WithValue(context.Background(), baseKey{}, ln.Addr().String())
		}
		var conns atomic.Int64
		s.ConnContext = func(ctx context.Context, c net.Conn) context.Context {
			if c.LocalAddr() == nil || ctx.Value(http.ServerContextKey) == nil {
				t.Error("half a connection, or no server in its context")
			}
			return context.WithValue(ctx, connKey{}, conns.Add(1))
		}
		var mu sync.Mutex
		states := make(map[net.Conn][]http.ConnState)
		var closed sync.WaitGroup
		closed.Add(3)
		s.ConnState = func(c net.Conn, st http.ConnState) {
			mu.Lock()
			defer mu.Unlock()
			states[c] = append(states[c], st)
			if st == http.StateClosed {
				closed.Done()
			}
		}
		s.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			ctx := r.Context()
			id := proto.RequestID(r)
			if len(id) != 22 {
				t.Errorf("identifier %q", id)
			}
			fmt.Fprintf(w, "%v %v %v %s", ctx.Value(baseKey{}), ctx.Value(connKey{}), ctx.Value(http.LocalAddrContextKey), id[13:])
		})
		ended := serve(t, s)
		addrs := s.Addrs()
		for i, address := range s.Addresses() {
			c, url := client(t, address, cert.Pool())
			for n := range 2 {
				res, err := c.Get(url)
				if err != nil {
					t.Fatal(err)
				}
				body, err := io.ReadAll(res.Body)
				res.Body.Close()
				if want := fmt.Sprintf("%v %d %v :%08X", addrs[i], i+1, addrs[i], n+1); err != nil || string(body) != want {
					t.Errorf("%s: %q, want %q (%v)", address, body, want, err)
				}
			}
			c.CloseIdleConnections()
		}
		closed.Wait()
		s.Close()
		<-ended
		want := []http.ConnState{http.StateNew, http.StateActive, http.StateIdle, http.StateActive, http.StateIdle, http.StateClosed}
		for c, got := range states {
			if !slices.Equal(got, want) {
				t.Errorf("%v: %v", c.LocalAddr(), got)
			}
		}
		if len(states) != 3 {
			t.Errorf("%d connections", len(states))
		}
	})
}
