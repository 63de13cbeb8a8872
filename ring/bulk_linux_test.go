//go:build linux && !noring

package ring

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/windhover-server/windhover/listen"
)

// alwaysBulk has every connection receive in bulk from the start.
var alwaysBulk = sizes{alwaysBulk: true, sq: 64, cq: 256, piecewise: tiny.piecewise, whole: tiny.whole}

// bodies is a protocol whose requests are a length, a newline, and as many
// bytes, which it reads size at a time and answers with.
type bodies struct {
	*link
	size int
	got  []byte
}

func (b *bodies) Data(p []byte) listen.Verdict {
	head, rest, _ := bytes.Cut(p, []byte("\n"))
	n, err := strconv.Atoi(string(head))
	if err != nil {
		return listen.Abort
	}
	b.got = append(b.got[:0], rest...)
	for buf := make([]byte, b.size); len(b.got) < n; {
		m, err := b.Read(buf)
		if err != nil {
			return listen.Abort
		}
		b.got = append(b.got, buf[:m]...)
	}
	if _, err := b.Write(b.got); err != nil {
		return listen.Abort
	}
	return listen.Wait
}

func (b *bodies) EOF() listen.Verdict     { return listen.Close }
func (b *bodies) Expired() listen.Verdict { return listen.Close }
func (b *bodies) Drain() listen.Verdict   { return listen.Close }
func (b *bodies) Lost(error)              {}
func (b *bodies) Gone(error)              {}

// A connection receives in bulk while its requests have large bodies, and no
// longer than that; every byte arrives, whatever the reader's buffer.
func TestLargeBodiesAreReceivedInBulk(t *testing.T) {
	for _, d := range []Dispatch{Inline, Workers} {
		for _, size := range []int{100, 4096, 64 << 10} {
			t.Run(fmt.Sprint(d, size), func(t *testing.T) {
				tr := newTransport(t, Options{Rings: 1, Dispatch: d})
				links := make(chan *link, 1)
				c := dial(t, serve(t, tr, listen.Options{}, func(l listen.Link) listen.Protocol {
					links <- l.(*link)
					return &bodies{link: l.(*link), size: size}
				}))
				large := make([]byte, 1<<20)
				for i := range large {
					large[i] = byte(i>>8 ^ i)
				}
				for range 3 {
					c.Write([]byte(strconv.Itoa(len(large)) + "\n"))
					go c.Write(large)
					got := make([]byte, len(large))
					if _, err := io.ReadFull(c, got); err != nil || !bytes.Equal(got, large) {
						t.Fatalf("a large body came back wrong: %v", err)
					}
				}
				k := get(t, "accept", links)
				waitUntil(t, "waiting in bulk", k, func() bool { return k.status&(bulk|inPolled|armed|running) == bulk|inPolled })
				for i := range 16 {
					msg := fmt.Sprintf("3\n%03d", i)
					c.Write([]byte(msg))
					got := make([]byte, 3)
					if _, err := io.ReadFull(c, got); err != nil || string(got) != msg[2:] {
						t.Fatalf("answer %q, %v", got, err)
					}
				}
				waitUntil(t, "waiting with a provided buffer", k, func() bool { return k.status&(bulk|armed|running) == armed })
			})
		}
	}
}

// Messages on a connection that never ends its call do not make it receive in
// bulk, however many they are.
func TestMessagesAreNotReceivedInBulk(t *testing.T) {
	tr := newTransport(t, Options{Rings: 1})
	links := make(chan *link, 1)
	c := dial(t, serve(t, tr, listen.Options{}, func(l listen.Link) listen.Protocol {
		k := l.(*link)
		links <- k
		return &funcs{data: func(p []byte) listen.Verdict {
			for buf := append(make([]byte, 0, 4096), p...); ; {
				if _, err := k.Write(buf); err != nil {
					return listen.Close
				}
				n, err := k.Read(buf[:cap(buf)])
				if err != nil {
					return listen.Close
				}
				buf = buf[:n]
			}
		}}
	}))
	msg, got := bytes.Repeat([]byte("m"), 1000), make([]byte, 1000)
	for range 100 {
		c.Write(msg)
		if _, err := io.ReadFull(c, got); err != nil {
			t.Fatal(err)
		}
	}
	k := get(t, "accept", links)
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.status&(bulk|armed) != armed {
		t.Errorf("status %b after 100 KB in messages", k.status)
	}
}

// Detach takes back the waits that a deadline and Watch have left in the kernel.
func TestDetachFromBulk(t *testing.T) {
	tr := newTiny(t, Options{Rings: 1}, alwaysBulk)
	conns := make(chan net.Conn, 1)
	addr := serve(t, tr, listen.Options{}, func(l listen.Link) listen.Protocol {
		return &funcs{data: func(p []byte) listen.Verdict {
			l.Watch()
			l.SetReadDeadline(time.Now().Add(time.Millisecond))
			if _, err := l.Read(make([]byte, 1<<16)); !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("Read: %v", err)
			}
			nc, rest, err := l.Detach()
			if err != nil || len(rest) > 0 {
				t.Errorf("Detach: %q, %v", rest, err)
				return listen.Abort
			}
			conns <- nc
			return listen.Detached
		}}
	})
	c := dial(t, addr)
	fmt.Fprint(c, "go")
	nc := get(t, "Detach", conns)
	defer nc.Close()
	fmt.Fprint(c, "more")
	got := make([]byte, 4)
	if _, err := io.ReadFull(nc, got); err != nil || string(got) != "more" {
		t.Fatalf("read %q, %v", got, err)
	}
}

// In bulk the loop receives as much as a fresh buffer holds, also into one that
// has grown: the rest is for the reader's memory.
func TestBulkBeginsWithAFreshBuffersWorth(t *testing.T) {
	_, k, peer, _ := refusingLoop(t)
	defer unix.Close(int(k.fd))
	if _, err := unix.Write(peer, make([]byte, 4*bufferSize)); err != nil {
		t.Fatal(err)
	}
	for range 100 { // one of the pool's has grown, unless the collector took it
		b := newBuffer()
		b.add(make([]byte, 4*bufferSize))
		b.free()
		k.mu.Lock()
		n := k.refill()
		k.in = nil
		k.mu.Unlock()
		if n > bufferSize {
			t.Fatalf("received %d bytes", n)
		}
		if n == 0 {
			break
		}
	}
}
