//go:build linux && !noring

package ring

import (
	"errors"
	"io"
	"net"
	"runtime"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/windhover-server/windhover/listen"
	"github.com/windhover-server/windhover/ring/internal/uring"
)

// small has enough buffers for a long backlog, in pieces small enough that one
// fits into a socket: the kernel takes 32 pieces at a time.
var small = sizes{
	sq: 64, cq: 1024,
	piecewise: bufferSizes{bytes: 512, first: 1024, most: 1024},
	whole:     bufferSizes{bytes: 512, first: 1024, most: 1024},
}

// backlog makes a connection whose protocol is in a call, that does not receive
// because ReceiveBuffer is reached, and with more than 32 pieces waiting in its
// socket. The call ends with then.
func backlog(t *testing.T, ln net.Listener, then func(k *link) listen.Verdict) (c net.Conn, k *link, proceed chan<- struct{}, lost <-chan error) {
	t.Helper()
	tr := newTiny(t, Options{Rings: 1}, small)
	links, going, ends := make(chan *link, 1), make(chan struct{}), make(chan error, 1)
	serveOn(t, tr, ln, listen.Options{ReceiveBuffer: 128 << 10}, func(l listen.Link) listen.Protocol {
		k := l.(*link)
		links <- k
		return &funcs{
			data: func([]byte) listen.Verdict { k.Leave(); <-going; return then(k) },
			lost: func(err error) { ends <- err },
		}
	})
	c, err := net.Dial(ln.Addr().Network(), ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(limit))
	if _, err := c.Write(make([]byte, 160<<10)); err != nil {
		t.Fatal(err)
	}
	k = get(t, "accept", links)
	waitUntil(t, "receiving stops", k, func() bool { return k.status&(paused|armed) == paused })
	if _, err := c.Write(make([]byte, 100*512)); err != nil {
		t.Fatal(err)
	}
	return c, k, going, ends
}

// waitUntil waits for something to be true of k under its lock.
func waitUntil(t *testing.T, what string, k *link, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(limit); ; runtime.Gosched() {
		k.mu.Lock()
		done := ok()
		k.mu.Unlock()
		if done {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("%s: did not happen", what)
		}
	}
}

func onTCPAndUnix(t *testing.T, f func(t *testing.T, ln net.Listener)) {
	for _, network := range []string{"tcp", "unix"} {
		t.Run(network, func(t *testing.T) {
			addr := "127.0.0.1:0"
			if network == "unix" {
				addr = t.TempDir() + "/s"
			}
			ln, err := net.Listen(network, addr)
			if err != nil {
				t.Fatal(err)
			}
			f(t, ln)
		})
	}
}

// A link that ends by itself with a long backlog in its socket leaves.
func TestEndWithALongBacklog(t *testing.T) {
	onTCPAndUnix(t, func(t *testing.T, ln net.Listener) {
		_, _, proceed, lost := backlog(t, ln, func(*link) listen.Verdict { return listen.Close })
		close(proceed)
		get(t, "Lost", lost)
	})
}

// A peer that ended while nothing was received is noticed behind a long backlog.
func TestPeersEndBehindALongBacklog(t *testing.T) {
	onTCPAndUnix(t, func(t *testing.T, ln net.Listener) {
		ended := make(chan error, 1)
		c, k, proceed, lost := backlog(t, ln, func(k *link) listen.Verdict {
			k.SetReadDeadline(time.Now().Add(limit / 2))
			_, err := io.Copy(io.Discard, reader{k})
			ended <- err
			return listen.Close
		})
		want := error(nil)
		if tcp, ok := c.(*net.TCPConn); ok {
			tcp.SetLinger(0)
			want = unix.ECONNRESET
		}
		c.Close()
		p := [1]unix.PollFd{{Fd: k.fd, Events: unix.POLLRDHUP}}
		if n, err := unix.Poll(p[:], int(limit.Milliseconds())); n != 1 {
			t.Fatal("the peer's end does not arrive:", err)
		}
		close(proceed)
		if err := get(t, "the end", ended); !errors.Is(err, want) {
			t.Errorf("read up to %v, want %v", err, want)
		}
		get(t, "Lost", lost)
	})
}

type reader struct{ k *link }

func (r reader) Read(p []byte) (int, error) { return r.k.Read(p) }

// The kernel does not find a receive that is between two attempts at a long
// backlog: its cancellation is tried again, be it for Detach, for the receive
// limit, or for a link whose socket has been shut down, which need not end it.
func TestRefusedCancellationIsTriedAgain(t *testing.T) {
	for name, why := range map[string]status{"detach": running | detaching, "limit": running, "broken": broken} {
		t.Run(name, func(t *testing.T) {
			r, err := uring.New(uring.Config{Entries: 8})
			if err != nil {
				t.Skipf("no io_uring here: %v", err)
			}
			defer r.Close()
			l := &loop{t: &Transport{}, ring: r}
			k := &link{loop: l, fd: -1, srv: &server{t: l.t, opt: listen.Options{ReceiveBuffer: 1}}}
			l.place(k)
			k.in = newBuffer()
			k.in.add([]byte("over the limit"))
			k.status = why | armed
			want := uint32(0)
			for i, errno := range []unix.Errno{0, unix.ENOENT, unix.EALREADY, 0} {
				if i == 0 {
					k.mu.Lock()
					l.after(k)
				} else {
					l.cancelDone(k, errno)
				}
				if i == 0 || errno != 0 {
					want++
				}
				if r.SQReady() != want || k.status&cancelled == 0 {
					t.Fatalf("after result %d (%v): %d cancellations, want %d; status %b", i, errno, r.SQReady(), want, k.status)
				}
			}
		})
	}
}
