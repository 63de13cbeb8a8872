package h2

import (
	"crypto/tls"
	"net"
	"sync"
	"time"

	"github.com/windhover-server/windhover/listen"
)

// conn is a link as the net.Conn that http2 wants.
type conn struct {
	link  listen.Link
	first []byte // lent to the Data call that runs the connection

	// Handlers may ask for these after the connection has ended.
	local, remote net.Addr

	mu      sync.Mutex
	idle    sync.Cond // nobody reads or writes
	reading int
	writing int
	closed  bool
}

func newConn(link listen.Link, first []byte) *conn {
	c := &conn{link: link, first: first, local: link.LocalAddr(), remote: link.RemoteAddr()}
	c.idle.L = &c.mu
	return c
}

// enter counts a reader or a writer in, unless the connection is closed.
func (c *conn) enter(n *int) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.closed {
		*n++
	}
	return !c.closed
}

func (c *conn) leave(n *int) {
	c.mu.Lock()
	*n--
	c.idle.Broadcast()
	c.mu.Unlock()
}

func (c *conn) Read(p []byte) (int, error) {
	if !c.enter(&c.reading) {
		return 0, net.ErrClosed
	}
	defer c.leave(&c.reading)
	if len(c.first) > 0 {
		n := copy(p, c.first)
		c.first = c.first[n:]
		return n, nil
	}
	return c.link.Read(p)
}

func (c *conn) Write(p []byte) (int, error) {
	if !c.enter(&c.writing) {
		return 0, net.ErrClosed
	}
	defer c.leave(&c.writing)
	return c.link.Write(p)
}

// Close makes reads and writes fail, those under way too. What has been
// written is still sent: the transport closes the connection after that.
func (c *conn) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return nil
	}
	c.closed = true
	past := time.Unix(1, 0)
	c.link.SetReadDeadline(past)
	if c.writing > 0 {
		c.link.SetWriteDeadline(past)
	}
	return nil
}

// shut closes c and waits until nobody uses the link.
func (c *conn) shut() {
	_ = c.Close()
	c.mu.Lock()
	defer c.mu.Unlock()
	for c.reading+c.writing > 0 {
		c.idle.Wait()
	}
	c.first = nil
	c.link.SetReadDeadline(time.Time{})
	c.link.SetWriteDeadline(time.Time{})
}

func (c *conn) LocalAddr() net.Addr  { return c.local }
func (c *conn) RemoteAddr() net.Addr { return c.remote }

// ConnectionState lets http2 fill http.Request.TLS and check what RFC 9113
// demands of TLS.
func (c *conn) ConnectionState() tls.ConnectionState {
	if l, ok := c.link.(interface{ ConnectionState() tls.ConnectionState }); ok {
		return l.ConnectionState()
	}
	return tls.ConnectionState{}
}

func (c *conn) SetDeadline(t time.Time) error {
	_ = c.SetReadDeadline(t)
	return c.SetWriteDeadline(t)
}

func (c *conn) SetReadDeadline(t time.Time) error {
	return c.setDeadline(t, c.link.SetReadDeadline)
}

func (c *conn) SetWriteDeadline(t time.Time) error {
	return c.setDeadline(t, c.link.SetWriteDeadline)
}

// setDeadline sets a deadline unless Close has set the last one.
func (c *conn) setDeadline(t time.Time, set func(time.Time)) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return net.ErrClosed
	}
	set(t)
	return nil
}
