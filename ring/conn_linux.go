//go:build linux && !noring

package ring

import (
	"net"
	"net/netip"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// LocalAddr implements [listen.Link].
func (k *link) LocalAddr() net.Addr {
	k.mu.Lock()
	defer k.mu.Unlock()
	n := k.name()
	if n.local == nil {
		n.local = k.srv.ln.Addr()
		if sa, err := unix.Getsockname(int(k.fd)); err == nil {
			if a := netAddr(sa); a != nil {
				n.local = a
			}
		}
	}
	return n.local
}

// RemoteAddr implements [listen.Link]. A protocol that asks once, and there are
// such that ask once per connection, makes the link keep nothing: only the
// second answer is kept.
func (k *link) RemoteAddr() net.Addr {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.names != nil && k.names.remote != nil {
		return k.names.remote
	}
	ip := netip.AddrFrom16(k.peer.ip)
	if k.peer.kind == 4 {
		ip = netip.AddrFrom4([4]byte(k.peer.ip[:4]))
	}
	remote := net.TCPAddrFromAddrPort(netip.AddrPortFrom(ip, k.peer.port))
	if k.peer.asked {
		k.name().remote = remote
	}
	k.peer.asked = true
	return remote
}

// setPeer takes note of the address that the connection was accepted from.
func (k *link) setPeer(a accepted) {
	if !a.peer.IsValid() {
		if sa, err := unix.Getpeername(a.fd); err == nil { // else it has been reset already
			k.name().remote = netAddr(sa)
		}
		return
	}
	k.peer.port = a.peer.Port()
	if ip := a.peer.Addr(); ip.Is4() {
		k.peer.kind = 4
		b := ip.As4()
		copy(k.peer.ip[:], b[:])
	} else {
		k.peer.kind, k.peer.ip = 6, ip.As16()
	}
}

func (k *link) name() *names {
	if k.names == nil {
		k.names = new(names)
	}
	return k.names
}

// netAddr converts as package net does.
func netAddr(sa unix.Sockaddr) net.Addr {
	switch sa := sa.(type) {
	case *unix.SockaddrInet4, *unix.SockaddrInet6:
		return net.TCPAddrFromAddrPort(addrPort(sa))
	case *unix.SockaddrUnix:
		return &net.UnixAddr{Name: sa.Name, Net: "unix"}
	}
	return nil
}

func addrPort(sa unix.Sockaddr) netip.AddrPort {
	switch sa := sa.(type) {
	case *unix.SockaddrInet4:
		return netip.AddrPortFrom(netip.AddrFrom4(sa.Addr), uint16(sa.Port))
	case *unix.SockaddrInet6:
		a := netip.AddrFrom16(sa.Addr)
		if sa.ZoneId != 0 {
			a = a.WithZone(zone(sa.ZoneId))
		}
		return netip.AddrPortFrom(a, uint16(sa.Port))
	}
	return netip.AddrPort{}
}

func zone(index uint32) string {
	if i, err := net.InterfaceByIndex(int(index)); err == nil {
		return i.Name
	}
	return ""
}

// NetConn implements [listen.Link]. The value is made when it is first asked
// for, over a duplicate of the descriptor; until Detach a goroutine waits for
// somebody to close it.
func (k *link) NetConn() net.Conn {
	k.mu.Lock()
	defer k.mu.Unlock()
	n := k.name()
	if n.conn != nil {
		return n.conn
	}
	conn, err := k.dupConn()
	if err != nil {
		k.loop.t.report(err)
		return nil
	}
	n.conn = conn
	n.raw, _ = conn.(syscall.Conn).SyscallConn() // *net.TCPConn and *net.UnixConn have it
	n.unwatched = make(chan struct{})
	go k.watchConn(n.raw, n.unwatched)
	return conn
}

// disowned breaks the link if somebody has closed its NetConn, and reports
// whether that is so: whoever watches it may not have run yet, and nothing may be
// sent or received any more. The lock is held.
func (k *link) disowned() bool {
	n := k.names
	if n == nil || n.raw == nil || k.status&(broken|detached|ended) != 0 || n.raw.Control(func(uintptr) {}) == nil {
		return false
	}
	k.breakOff(errAborted, true)
	k.kick()
	return true
}

// watchConn aborts the link when its NetConn is closed, and returns when that has
// happened or release or takeConn has set the conn's deadline.
func (k *link) watchConn(raw syscall.RawConn, done chan<- struct{}) {
	defer close(done)
	err := raw.Read(func(uintptr) bool { return false })
	if !os.IsTimeout(err) {
		k.abort(true) // as closing the socket itself would
	}
}

// release closes the stand-in of a connection that has ended.
func (n *names) release() {
	_ = n.conn.Close() // its descriptor is a duplicate; the link's own decides
}

// takeConn makes the net.Conn that Detach returns and closes the link's own
// descriptor. The lock is held, and released while the watching goroutine ends.
func (k *link) takeConn() (net.Conn, error) {
	n := k.names
	if n == nil || n.conn == nil {
		conn, err := k.dupConn()
		if err == nil {
			_ = unix.Close(int(k.fd)) // conn holds the socket now
		}
		return conn, err
	}
	conn, done := n.conn, n.unwatched
	if err := conn.SetReadDeadline(time.Unix(1, 0)); err != nil {
		return nil, err
	}
	k.mu.Unlock()
	<-done
	k.mu.Lock()
	if err := k.failure(); err != nil {
		return nil, err
	}
	if err := conn.SetReadDeadline(time.Time{}); err != nil {
		return nil, err
	}
	_ = unix.Close(int(k.fd)) // conn holds the socket now
	return conn, nil
}

// dupConn makes a genuine net.Conn over a duplicate of the descriptor.
func (k *link) dupConn() (net.Conn, error) {
	dup, err := unix.FcntlInt(uintptr(k.fd), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return nil, os.NewSyscallError("fcntl", err)
	}
	f := os.NewFile(uintptr(dup), "")
	defer f.Close()
	c, err := net.FileConn(f)
	if tc, ok := c.(*net.TCPConn); ok && k.srv.opt.Delay { // package net has switched it off
		_ = tc.SetNoDelay(false) // fails only on a connection that is gone already
	}
	return c, err
}
