package proto

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/windhover-server/windhover/listen"
	"github.com/windhover-server/windhover/proto/wire"
)

// Upgraded is the net.Conn of a connection that has left HTTP by Upgrade. What
// the client sent behind its request comes first. HTTP's limits and timeouts
// no longer apply; the connection counts against
// [Limits].MaxConcurrentUpgradedConnections, and ends when the handler that
// made it returns. Its methods may be called from any goroutine.
type Upgraded struct {
	c    *Conn
	link listen.Link

	// Read state.
	rmu  sync.Mutex
	left []byte // received before the upgrade, not yet read

	// Write state.
	wmu sync.Mutex

	closed atomic.Bool
}

var _ net.Conn = (*Upgraded)(nil)

// Upgrade leaves HTTP for the named protocol: it sends 101 (Switching
// Protocols) with the fields set in w.Header, and returns the connection.
//
// The request must be an upgrade request without a body whose Upgrade field
// names the protocol (RFC 9110 section 7.8), else the error is
// [ErrNotUpgradable]; over the limit it is [ErrUpgradeLimit]. Nothing has been
// sent in either case, and the handler may answer otherwise. The handler must
// not return before it is done with the connection.
func Upgrade(w http.ResponseWriter, r *http.Request, protocol string) (net.Conn, error) {
	ctx, _ := r.Context().Value(connKey).(*reqCtx)
	if ctx == nil || ctx.w == nil {
		return nil, ErrNotUpgradable
	}
	header := w.Header()
	own := ctx.w
	own.mu.Lock()
	defer own.mu.Unlock()
	switch {
	case own.hijacked:
		return nil, http.ErrHijacked
	case own.r == nil:
		return nil, ErrHandlerDone
	case own.r.started:
		return nil, ErrResponseStarted
	}
	var fields []byte
	for k, vv := range header {
		if k == "Connection" || k == "Upgrade" || k == "Content-Length" || k == "Transfer-Encoding" || !wire.ValidFieldName(k) {
			continue
		}
		for _, v := range vv {
			fields = wire.AppendField(fields, k, clean(v))
		}
	}
	u, err := own.c.upgrade(protocol, fields)
	if err != nil {
		return nil, err
	}
	own.r.status = http.StatusSwitchingProtocols
	own.hijacked, own.upgraded = true, true
	return u, nil
}

// upgradable reports whether the request asks for the protocol.
func (c *Conn) upgradable(protocol string) bool {
	h := &c.s.head
	if !h.Upgrade || h.Framing.Kind != wire.NoBody {
		return false
	}
	for i := range h.Fields {
		if f := &h.Fields[i]; f.ID == wire.FieldUpgrade && hasToken(string(h.Bytes(f.Value)), strings.ToLower(protocol)) {
			return true
		}
	}
	return false
}

// upgrade sends the 101 and turns the connection into a tunnel.
func (c *Conn) upgrade(protocol string, fields []byte) (*Upgraded, error) {
	if !c.upgradable(protocol) {
		return nil, ErrNotUpgradable
	}
	if !c.svc.upgraded.acquire() {
		return nil, ErrUpgradeLimit
	}
	b := c.link.Begin()
	b = wire.AppendStatusLine(b, wire.HTTP11, http.StatusSwitchingProtocols, "")
	b = append(b, "Connection: Upgrade\r\n"...)
	b = wire.AppendField(b, "Upgrade", protocol)
	b = c.svc.appendDate(b, c.now())
	b = append(b, c.svc.server...)
	b = append(b, fields...)
	c.link.End(append(b, '\r', '\n'))
	c.svc.conns.release()
	c.left, c.tunnel = true, true
	u := &Upgraded{c: c, link: c.link, left: append([]byte(nil), c.in...)}
	c.release()
	c.link.SetReadDeadline(time.Time{})
	c.link.SetWriteDeadline(time.Time{})
	c.link.SetSendRate(0, 0)
	c.setState(http.StateHijacked)
	if err := c.link.Flush(); err != nil {
		return nil, err
	}
	return u, nil
}

// Read implements net.Conn. It returns io.EOF after the client's half-close.
func (u *Upgraded) Read(p []byte) (int, error) {
	u.rmu.Lock()
	defer u.rmu.Unlock()
	if u.closed.Load() {
		return 0, net.ErrClosed
	}
	if len(u.left) > 0 {
		n := copy(p, u.left)
		if u.left = u.left[n:]; len(u.left) == 0 {
			u.left = nil
		}
		return n, nil
	}
	if len(p) == 0 {
		return 0, nil
	}
	n, err := u.link.Read(p)
	return n, u.closedError(err)
}

// closedError tells a Close by this side from other failures.
func (u *Upgraded) closedError(err error) error {
	if err != nil && u.closed.Load() {
		return net.ErrClosed
	}
	return err
}

// Write implements net.Conn. The bytes are sent at once.
func (u *Upgraded) Write(p []byte) (int, error) {
	u.wmu.Lock()
	defer u.wmu.Unlock()
	if u.closed.Load() {
		return 0, net.ErrClosed
	}
	n, err := u.link.Write(p)
	return n, u.closedError(err)
}

// CloseWrite half-closes: the client reads the end, and may still send.
func (u *Upgraded) CloseWrite() error {
	u.wmu.Lock()
	defer u.wmu.Unlock()
	if u.closed.Load() {
		return net.ErrClosed
	}
	return u.link.CloseWrite()
}

// past is a deadline that stops what is blocked.
var past = time.Unix(1, 0)

// Close implements net.Conn: reads and writes fail from now on, and the
// connection ends when the handler returns.
func (u *Upgraded) Close() error {
	if !u.closed.CompareAndSwap(false, true) {
		return net.ErrClosed
	}
	u.link.SetReadDeadline(past)
	if !u.wmu.TryLock() {
		u.link.SetWriteDeadline(past)
		u.wmu.Lock()
	}
	defer u.wmu.Unlock()
	if err := u.link.CloseWrite(); err != nil && !isTimeout(err) {
		return err
	}
	return nil
}

// Draining is closed when the server begins to shut down: a good time to take
// leave in the tunnelled protocol's own way.
func (u *Upgraded) Draining() <-chan struct{} { return u.c.svc.stopping }

// LocalAddr implements net.Conn.
func (u *Upgraded) LocalAddr() net.Addr { return u.link.LocalAddr() }

// RemoteAddr implements net.Conn.
func (u *Upgraded) RemoteAddr() net.Addr { return u.link.RemoteAddr() }

// SetDeadline implements net.Conn.
func (u *Upgraded) SetDeadline(t time.Time) error {
	if err := u.SetReadDeadline(t); err != nil {
		return err
	}
	return u.SetWriteDeadline(t)
}

// SetReadDeadline implements net.Conn.
func (u *Upgraded) SetReadDeadline(t time.Time) error {
	if u.closed.Load() {
		return net.ErrClosed
	}
	u.link.SetReadDeadline(t)
	return nil
}

// SetWriteDeadline implements net.Conn.
func (u *Upgraded) SetWriteDeadline(t time.Time) error {
	if u.closed.Load() {
		return net.ErrClosed
	}
	u.link.SetWriteDeadline(t)
	return nil
}

// release parts with the input of a connection that leaves HTTP: what is left of
// it has been copied, an http.Request lies nowhere in it, and the handler may
// run for as long as the connection. What an Exchange has handed out does lie
// there, so a native handler keeps it.
func (c *Conn) release() {
	c.in = nil
	if c.svc.Native != nil {
		return
	}
	c.s.head.Raw, c.s.headOwned = nil, false
	putBuffer(c.buf)
	c.buf, c.owned = nil, false
	if r, ok := c.link.(listen.Releaser); ok {
		r.Release()
	}
}

// hijack takes the connection out of the transport, for http.Hijacker.
func (w *responseWriter) hijack() (net.Conn, *bufio.ReadWriter, error) {
	c := w.c
	limited := c.svc.upgraded.limited()
	if limited && !c.svc.upgraded.acquire() {
		return nil, nil, ErrUpgradeLimit
	}
	b := &c.s.body
	b.owed.CompareAndSwap(continueOwed, continueRefused)
	if w.r.started {
		out := c.link.Begin()
		c.link.End(w.r.appendStage(out))
	}
	conn, received, err := c.link.Detach()
	if err != nil {
		if limited {
			c.svc.upgraded.release()
		}
		return nil, nil, err
	}
	left := append([]byte(nil), b.pending...)
	left = append(left, c.in...)
	left = append(left, received...)
	b.pending = nil
	c.release()
	w.hijacked, c.left = true, true
	c.svc.conns.release()
	if limited {
		conn = &countedConn{Conn: conn, q: &c.svc.upgraded}
	}
	c.setState(http.StateHijacked)
	return conn, hijackBuffers(conn, left), nil
}

// hijackBuffers makes genuine bufio objects, with what was received buffered
// in the reader: WebSocket libraries look at Buffered and reset them.
func hijackBuffers(conn net.Conn, left []byte) *bufio.ReadWriter {
	var src io.Reader = conn
	if len(left) > 0 {
		src = &leftFirst{left: left, Conn: conn}
	}
	br := bufio.NewReaderSize(src, max(smallBuffer, len(left)))
	if len(left) > 0 {
		_, _ = br.Peek(len(left)) // moves left into the buffer
	}
	return bufio.NewReadWriter(br, bufio.NewWriterSize(conn, smallBuffer))
}

// leftFirst reads what was received before the hijack, then the connection.
type leftFirst struct {
	left []byte
	net.Conn
}

func (l *leftFirst) Read(p []byte) (int, error) {
	if len(l.left) > 0 {
		n := copy(p, l.left)
		l.left = l.left[n:]
		return n, nil
	}
	return l.Conn.Read(p)
}

// countedConn is a hijacked connection under
// [Limits].MaxConcurrentUpgradedConnections.
type countedConn struct {
	net.Conn
	q    *quota
	once sync.Once
}

// Close closes the connection and frees its place.
func (c *countedConn) Close() error {
	c.once.Do(c.q.release)
	return c.Conn.Close()
}

// CloseWrite half-closes, if the connection can.
func (c *countedConn) CloseWrite() error {
	if cw, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return cw.CloseWrite()
	}
	return http.ErrNotSupported
}
