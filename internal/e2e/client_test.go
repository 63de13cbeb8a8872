package e2e

import (
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/windhover-server/windhover/listen/listentest"
)

// patience bounds every wait of a test that is going wrong. It is no part of
// what is tested.
const patience = 10 * time.Second

// rawClient is the client's side of one connection. A goroutine collects what
// the server sends, so that neither side ever waits for the other's buffer.
type rawClient struct {
	t      testing.TB
	conn   net.Conn
	closed bool // our side is: nothing more can be sent

	mu   sync.Mutex
	got  []byte
	err  error         // how reading ended
	more chan struct{} // closed and replaced at every change
	done chan struct{}
}

func newRawClient(t testing.TB, conn net.Conn) *rawClient {
	c := &rawClient{t: t, conn: conn, more: make(chan struct{}), done: make(chan struct{})}
	go c.collect()
	t.Cleanup(func() {
		conn.Close()
		<-c.done
	})
	return c
}

func (c *rawClient) collect() {
	defer close(c.done)
	buf := make([]byte, 32<<10)
	for {
		n, err := c.conn.Read(buf)
		c.mu.Lock()
		c.got = append(c.got, buf[:n]...)
		c.err = err
		close(c.more)
		c.more = make(chan struct{})
		c.mu.Unlock()
		if err != nil {
			return
		}
	}
}

// send writes s, unless the client has half-closed. A server may close before it
// has read everything; that is no failure here, since what came back tells more.
func (c *rawClient) send(s string) {
	if c.closed {
		return
	}
	c.conn.SetWriteDeadline(time.Now().Add(patience))
	if _, err := io.WriteString(c.conn, s); err != nil && !gone(err) {
		c.t.Errorf("sending %.60q: %v", s, err)
	}
}

// halfClose ends the client's side of the connection.
func (c *rawClient) halfClose() {
	c.closed = true
	conns := []net.Conn{c.conn}
	if t, ok := c.conn.(*tls.Conn); ok {
		conns = append(conns, t.NetConn()) // close_notify, and then FIN
	}
	for _, conn := range conns {
		if err := conn.(interface{ CloseWrite() error }).CloseWrite(); err != nil && !gone(err) {
			c.t.Errorf("half-close: %v", err)
		}
	}
}

// gone reports whether err says that the peer has closed.
func gone(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, syscall.EPIPE) || errors.Is(err, syscall.ECONNRESET) ||
		errors.Is(err, net.ErrClosed) || errors.Is(err, listentest.ErrPeerClosed)
}

// wait blocks until ok is true of what has been received, the connection has
// ended, or patience has.
func (c *rawClient) wait(what string, ok func(got []byte) bool) {
	c.t.Helper()
	limit := time.NewTimer(patience)
	defer limit.Stop()
	for {
		c.mu.Lock()
		good, err, more := ok(c.got), c.err, c.more
		c.mu.Unlock()
		switch {
		case good:
			return
		case err != nil:
			c.t.Fatalf("waiting for %s: the connection ended (%v) after %q", what, err, c.transcript())
		}
		select {
		case <-more:
		case <-limit.C:
			c.t.Fatalf("waited in vain for %s; received %q", what, c.transcript())
		}
	}
}

// until waits until text has been received n times.
func (c *rawClient) until(text string, n int) {
	c.t.Helper()
	c.wait(fmt.Sprintf("%q", text), func(got []byte) bool { return bytes.Count(got, []byte(text)) >= n })
}

// ended waits for the end of the connection and returns everything received.
func (c *rawClient) ended() string {
	c.t.Helper()
	select {
	case <-c.done:
	case <-time.After(patience):
		c.t.Fatalf("the connection did not end; received %q", c.transcript())
	}
	c.conn.Close() // as clients do; the server is waiting for it
	c.mu.Lock()
	defer c.mu.Unlock()
	if !gone(c.err) {
		c.t.Errorf("the connection ended with %v", c.err)
	}
	return string(c.got)
}

func (c *rawClient) transcript() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.got) > 2000 {
		return string(c.got[:1000]) + "[...]" + string(c.got[len(c.got)-1000:])
	}
	return string(c.got)
}

// get is the head of a GET request, with further field lines.
func get(target string, fields ...string) string { return request("GET", target, "", fields...) }

// request is a request with a body of known length, unless body is empty.
func request(method, target, body string, fields ...string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s HTTP/1.1\r\nHost: example.test\r\n", method, target)
	for _, f := range fields {
		b.WriteString(f + "\r\n")
	}
	if body != "" {
		fmt.Fprintf(&b, "Content-Length: %d\r\n", len(body))
	}
	b.WriteString("\r\n" + body)
	return b.String()
}

// await takes a value from ch, which must come.
func await[T any](t testing.TB, what string, ch <-chan T) (v T) {
	t.Helper()
	select {
	case v = <-ch:
	case <-time.After(patience):
		t.Fatalf("waited in vain for %s", what)
	}
	return v
}
