package portable_test

import (
	"io"
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/windhover-server/windhover/portable"
)

// A pipelined request whose handler blocks does not hold up the response to
// the one before it, on a connection's first call too.
func TestPipelinedResponseDoesNotWaitForTheNextHandler(t *testing.T) {
	release := make(chan struct{})
	s := &portable.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/slow" {
			<-release
		}
		io.WriteString(w, r.URL.Path)
	})}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() { defer close(done); s.Serve(ln) }()
	defer func() { s.Close(); <-done }()
	c, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	io.WriteString(c, "GET /quick HTTP/1.1\r\nHost: x\r\n\r\nGET /slow HTTP/1.1\r\nHost: x\r\n\r\n")
	c.SetReadDeadline(time.Now().Add(20 * time.Second))
	b := make([]byte, 4096)
	n, err := c.Read(b)
	close(release)
	if err != nil || n < 6 || string(b[n-6:n]) != "/quick" {
		t.Fatalf("read %q, %v", b[:n], err)
	}
}
