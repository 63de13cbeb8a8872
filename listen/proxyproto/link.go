package proxyproto

import (
	"errors"
	"io"
	"net"

	"github.com/windhover-server/windhover/listen"
)

// link is a Link that shows the addresses of the header.
type link struct {
	listen.Link
	conn *conn
}

func newLink(l listen.Link, remote, local net.Addr) *link {
	return &link{l, &conn{l.NetConn(), remote, local}}
}

// Unwrap returns the link underneath.
func (l *link) Unwrap() listen.Link { return l.Link }

func (l *link) RemoteAddr() net.Addr { return l.conn.remote }
func (l *link) LocalAddr() net.Addr  { return l.conn.local }
func (l *link) NetConn() net.Conn    { return l.conn }

// Detach returns the conn that NetConn has shown, as the Link's contract wants;
// that of the Link underneath, which it stands on, is by the same contract the
// one that its Detach returns.
func (l *link) Detach() (net.Conn, []byte, error) {
	_, received, err := l.Link.Detach()
	if err != nil {
		return nil, nil, err
	}
	return l.conn, received, nil
}

// ReadFrom passes the transport's own on, if it has one.
func (l *link) ReadFrom(r io.Reader) (int64, error) {
	if rf, ok := l.Link.(io.ReaderFrom); ok {
		return rf.ReadFrom(r)
	}
	return 0, errors.ErrUnsupported
}

// conn is a net.Conn with the addresses of the header. What a *net.TCPConn
// offers beyond net.Conn it passes on.
type conn struct {
	net.Conn
	remote, local net.Addr
}

func (c *conn) RemoteAddr() net.Addr { return c.remote }
func (c *conn) LocalAddr() net.Addr  { return c.local }

// NetConn returns the connection underneath, as (*tls.Conn).NetConn does.
func (c *conn) NetConn() net.Conn { return c.Conn }

// CloseWrite half-closes.
func (c *conn) CloseWrite() error {
	if cw, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return cw.CloseWrite()
	}
	return errors.ErrUnsupported
}

// ReadFrom lets io.Copy reach splice and sendfile.
func (c *conn) ReadFrom(r io.Reader) (int64, error) { return io.Copy(c.Conn, r) }

// WriteTo lets io.Copy reach splice.
func (c *conn) WriteTo(w io.Writer) (int64, error) { return io.Copy(w, c.Conn) }
