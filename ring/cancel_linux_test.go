//go:build linux && !noring

package ring

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"runtime"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/windhover-server/windhover/listen"
	"github.com/windhover-server/windhover/ring/internal/uring"
)

// eventually waits until ok, called with the link's lock held, is true.
func eventually(t *testing.T, k *link, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(limit); ; time.Sleep(time.Millisecond) {
		k.mu.Lock()
		done := ok()
		k.mu.Unlock()
		if done {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("%s did not happen", what)
		}
	}
}

// The thread that submitted a send or a wait for room exits while the request
// is in the kernel: a handler locked its thread and ended its goroutine. The
// kernel cancels the request; the bytes must arrive all the same.
func TestThreadExitLosesNoBytesBeingSent(t *testing.T) {
	const size = 16 << 20
	want := bytes.Repeat([]byte("0123456789abcde\n"), size/16)
	for how, sendBuffer := range map[string]int{
		"queued":  -1,    // the call returns, and the loop sends
		"written": 20000, // the call waits for room
	} {
		t.Run(how, func(t *testing.T) {
			tr := newTransport(t, Options{Rings: 1, Dispatch: Inline})
			accept, links := acceptLines(func(c *lines, s string) listen.Verdict {
				switch s {
				case "queued":
					c.End(append(c.Begin(), want...))
				case "written":
					if n, err := c.Write(want); n != size || err != nil {
						t.Errorf("write: %d, %v", n, err)
					}
				case "exit":
					runtime.LockOSThread()
					c.say("exit\n")
					c.Flush()
					runtime.Goexit()
				}
				return listen.Wait
			})
			addr := serve(t, tr, listen.Options{SendBuffer: sendBuffer}, accept)
			slow := dial(t, addr)
			fmt.Fprintln(slow, how)
			k := get(t, "accept", links).Link.(*link)
			eventually(t, k, "a request in the kernel", func() bool {
				return k.flight != nil || k.status&polling != 0
			})
			for range 5 {
				gone := dial(t, addr)
				if got := ask(t, gone, "exit"); got != "exit" {
					t.Fatal(got)
				}
				wantReset(t, gone)
			}
			got := make([]byte, size)
			if n, err := io.ReadFull(slow, got); err != nil || !bytes.Equal(got, want) {
				t.Fatalf("%d bytes, %v", n, err)
			}
		})
	}
}

// What a completion says about a send decides what becomes of its bytes. The
// completions are made up: which the kernel posts depends on its version.
func TestCompletionsOfASend(t *testing.T) {
	for _, c := range []struct {
		name   string
		res    int32
		left   string // in flight afterwards
		broken error
	}{
		{"whole", 5, "", nil},
		{"short", 2, "llo", nil},
		{"thread exited", -int32(unix.ECANCELED), "hello", nil},
		{"interrupted", -int32(unix.EINTR), "hello", nil},
		{"again", -int32(unix.EAGAIN), "hello", nil},
		{"reset", -int32(unix.ECONNRESET), "", unix.ECONNRESET},
		{"broken pipe", -int32(unix.EPIPE), "", unix.EPIPE},
	} {
		t.Run(c.name, func(t *testing.T) {
			l, k := looseLink(t)
			k.flight = newBuffer()
			k.flight.add([]byte("hello"))
			if !l.sent(k, uring.CQE{UserData: userData(k.id, opSend), Res: c.res}) {
				t.Error("the leadership was lost")
			}
			if got := string(k.flight.rest()); got != c.left {
				t.Errorf("%q is being sent, want %q", got, c.left)
			}
			if !errors.Is(k.err, c.broken) {
				t.Errorf("broken by %v, want %v", k.err, c.broken)
			}
		})
	}
}

// looseLink is a link on a loop that nobody leads; a call is under way, so that
// none begins.
func looseLink(t *testing.T) (*loop, *link) {
	t.Helper()
	r, err := uring.New(uring.Config{Entries: 8})
	if err != nil {
		t.Skipf("no io_uring here: %v", err)
	}
	t.Cleanup(func() {
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	})
	tr := &Transport{}
	l := &loop{t: tr, ring: r}
	fd, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fd[0]); unix.Close(fd[1]) })
	k := &link{
		loop: l, fd: int32(fd[0]), status: running, proto: &funcs{},
		srv: &server{t: tr, opt: listen.Options{ReceiveBuffer: 1 << 20, SendBuffer: 1 << 20}},
	}
	l.place(k)
	return l, k
}
