//go:build linux

package servers

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"runtime"

	"golang.org/x/sys/unix"

	"github.com/windhover-server/windhover/bench/internal/content"
)

func floor() *Server {
	return &Server{
		Name: "floor", Title: "floor (fixed bytes)", Kind: Floor, Handler: "none", Features: Plaintext,
		Lacks:   "it looks for the ends of requests only and always sends the same bytes",
		Version: goVersion,
		Serve:   serveFloor,
	}
}

// floorAnswer is what the floor sends for every request.
const floorAnswer = "HTTP/1.1 200 OK\r\nServer: floor\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\n" +
	"Content-Type: " + content.TextType + "\r\nContent-Length: 13\r\n\r\n" + content.Hello

// serveFloor runs one epoll loop per processor: the least that a server in Go
// can do for a request, read, write, and nothing in between.
func serveFloor(ctx context.Context, opt Options) error {
	ap, err := netip.ParseAddrPort(opt.Addr)
	if err != nil || !ap.Addr().Is4() {
		return fmt.Errorf("the floor wants -addr IPV4:PORT, not %q", opt.Addr)
	}
	sa := unix.SockaddrInet4{Addr: ap.Addr().As4(), Port: int(ap.Port())}
	errc := make(chan error)
	loops := runtime.GOMAXPROCS(0)
	// With one spare, Go's scheduler leaves a loop its processor while it waits
	// in epoll_wait; it would cost a few µs each time to get it back.
	runtime.GOMAXPROCS(loops + 1)
	for i := range loops {
		fd, err := floorListen(&sa)
		if err != nil {
			return err
		}
		if i == 0 {
			name, err := unix.Getsockname(fd)
			if err != nil {
				return os.NewSyscallError("getsockname", err)
			}
			sa.Port = name.(*unix.SockaddrInet4).Port
		}
		go func() {
			runtime.LockOSThread()
			errc <- floorLoop(fd)
		}()
	}
	opt.Ready(netip.AddrPortFrom(ap.Addr(), uint16(sa.Port)).String())
	select {
	case err := <-errc:
		return err
	case <-ctx.Done():
		return nil
	}
}

func floorListen(sa *unix.SockaddrInet4) (int, error) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, os.NewSyscallError("socket", err)
	}
	for _, opt := range []int{unix.SO_REUSEADDR, unix.SO_REUSEPORT} {
		if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, opt, 1); err != nil {
			return -1, os.NewSyscallError("setsockopt", err)
		}
	}
	if err := unix.Bind(fd, sa); err != nil {
		return -1, os.NewSyscallError("bind", err)
	}
	return fd, os.NewSyscallError("listen", unix.Listen(fd, 4096))
}

func floorLoop(ln int) error {
	ep, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return os.NewSyscallError("epoll_create1", err)
	}
	if err := floorAdd(ep, ln); err != nil {
		return err
	}
	f := &floorServer{buf: make([]byte, 64<<10), tails: map[int][]byte{}}
	f.answers = bytes.Repeat([]byte(floorAnswer), 64)
	events := make([]unix.EpollEvent, 256)
	for {
		n, err := unix.EpollWait(ep, events, -1)
		if err != nil && !errors.Is(err, unix.EINTR) {
			return os.NewSyscallError("epoll_wait", err)
		}
		for _, ev := range events[:max(n, 0)] {
			fd := int(ev.Fd)
			if fd != ln {
				f.serve(fd)
				continue
			}
			c, _, err := unix.Accept4(ln, unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC)
			if err != nil {
				continue // the client has gone, or comes back when there are descriptors
			}
			if err := unix.SetsockoptInt(c, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1); err != nil {
				unix.Close(c)
				continue
			}
			if err := floorAdd(ep, c); err != nil {
				return err
			}
		}
	}
}

func floorAdd(ep, fd int) error {
	ev := unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(fd)}
	return os.NewSyscallError("epoll_ctl", unix.EpollCtl(ep, unix.EPOLL_CTL_ADD, fd, &ev))
}

type floorServer struct {
	buf     []byte
	answers []byte
	tails   map[int][]byte // by connection: a request of which the end is missing
}

// serve answers as many requests as one read brings. A response that does not
// fit into the socket's buffer ends the connection: the floor keeps no state
// for it, and no load of ours makes it happen.
func (f *floorServer) serve(fd int) {
	off := 0
	if len(f.tails) > 0 {
		off = copy(f.buf, f.tails[fd])
		delete(f.tails, fd)
	}
	n, err := unix.Read(fd, f.buf[off:])
	if errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EINTR) {
		return
	}
	if n <= 0 {
		unix.Close(fd)
		return
	}
	in := f.buf[:off+n]
	requests := bytes.Count(in, []byte("\r\n\r\n"))
	if !bytes.HasSuffix(in, []byte("\r\n\r\n")) {
		rest := in
		if requests > 0 {
			rest = in[bytes.LastIndex(in, []byte("\r\n\r\n"))+4:]
		}
		f.tails[fd] = bytes.Clone(rest)
	}
	for requests > 0 {
		k := min(requests, 64) * len(floorAnswer)
		if n, err := unix.Write(fd, f.answers[:k]); n < k || err != nil {
			unix.Close(fd)
			return
		}
		requests -= 64
	}
	if bytes.HasSuffix(in, []byte("Connection: close\r\n\r\n")) {
		unix.Close(fd)
	}
}
