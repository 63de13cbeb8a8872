//go:build unix

package windhover_test

import (
	"fmt"
	"net"
	"net/http"
	"sync"
	"syscall"
	"testing"

	"github.com/windhover-server/windhover"
	"github.com/windhover-server/windhover/listen"
)

func noDelay(t *testing.T, c *net.TCPConn) bool {
	rc, err := c.SyscallConn()
	if err != nil {
		t.Error(err)
		return false
	}
	var on int
	ctlErr := rc.Control(func(fd uintptr) { on, err = syscall.GetsockoptInt(int(fd), syscall.IPPROTO_TCP, syscall.TCP_NODELAY) })
	if ctlErr != nil || err != nil {
		t.Error(ctlErr, err)
	}
	return on != 0
}

func TestDisableNoDelayReachesTheSocket(t *testing.T) {
	eachTransport(t, func(t *testing.T, s *windhover.Server) {
		s.Handler = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			c, _, err := http.NewResponseController(w).Hijack()
			if err != nil {
				t.Error(err)
				return
			}
			defer c.Close()
			fmt.Fprintf(c, "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n%v", noDelay(t, c.(*net.TCPConn)))
		})
		s.Endpoints = []windhover.Endpoint{
			{URL: "http://127.0.0.1:0", Bind: listen.BindOptions{DisableNoDelay: true}},
			{URL: "http://127.0.0.1:0"},
		}
		ended := serve(t, s)
		for i, want := range []string{"false", "true"} {
			// Several at once, so that the ring takes them in both of its ways.
			var wg sync.WaitGroup
			for range 8 {
				wg.Go(func() {
					if got := get(t, s.Addresses()[i], nil); got != want {
						t.Errorf("endpoint %d: TCP_NODELAY is %s, want %s", i, got, want)
					}
				})
			}
			wg.Wait()
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		<-ended
	})
}
