//go:build linux && !noring

package ring

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/windhover-server/windhover/listen"
	"github.com/windhover-server/windhover/ring/internal/uring"
)

// tiny makes every queue overflow and every buffer run out.
var tiny = sizes{
	sq: 4, cq: 8,
	piecewise: bufferSizes{bytes: 256, first: 2, most: 2},
	whole:     bufferSizes{bytes: 256, first: 2, most: 2},
}

// tinyWhole is tiny for kernels without incremental consumption.
var tinyWhole = sizes{sq: 4, cq: 8, whole: tiny.whole}

func newTiny(t *testing.T, opt Options, s sizes) *Transport {
	t.Helper()
	tr, err := newSized(opt, s)
	if err != nil {
		t.Skipf("no io_uring here: %v", err)
	}
	cleanTransport(t, tr)
	return tr
}

// Submission queue full, completion queue overflowing, buffers exhausted: with
// 100 connections busy at once on queues of 4 and 8 entries and 2 buffers,
// every byte must still come back in order.
func TestOverflowingQueuesLoseNothing(t *testing.T) {
	for name, s := range map[string]sizes{"piecewise": tiny, "whole": tinyWhole} {
		for _, d := range []Dispatch{Adaptive, Inline, Workers} {
			t.Run(fmt.Sprint(name, d), func(t *testing.T) {
				tr := newTiny(t, Options{Rings: 1, Dispatch: d}, s)
				addr := serve(t, tr, listen.Options{}, func(l listen.Link) listen.Protocol { return &echo{l} })
				var wg sync.WaitGroup
				for i := range 100 {
					wg.Go(func() {
						c, err := net.Dial("tcp", addr)
						if err != nil {
							t.Error(err)
							return
						}
						defer c.Close()
						c.SetDeadline(time.Now().Add(limit))
						msg := bytes.Repeat([]byte{byte('a' + i%26), byte(i)}, 600)
						got := make([]byte, len(msg))
						for range 10 {
							if _, err := c.Write(msg); err != nil {
								t.Error(err)
								return
							}
							if _, err := io.ReadFull(c, got); err != nil || !bytes.Equal(got, msg) {
								t.Errorf("connection %d: %v", i, err)
								return
							}
						}
					})
				}
				wg.Wait()
			})
		}
	}
}

// A connection that sends all the time must not keep the buffers from others.
func TestGreedyConnectionDoesNotStarveOthers(t *testing.T) {
	tr := newTiny(t, Options{Rings: 1}, tiny)
	addr := serve(t, tr, listen.Options{}, func(l listen.Link) listen.Protocol {
		return &funcs{data: func(p []byte) listen.Verdict {
			if p[0] != 'g' {
				l.End(append(l.Begin(), "ok\n"...))
			}
			return listen.Wait
		}}
	})
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for range 4 {
		greedy := dial(t, addr)
		wg.Go(func() {
			p := bytes.Repeat([]byte("g"), 1<<16)
			for {
				select {
				case <-stop:
					return
				default:
				}
				if _, err := greedy.Write(p); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	c := dial(t, addr)
	for range 200 {
		if got := ask(t, c, "hello"); got != "ok" {
			t.Error(got)
			break
		}
	}
	close(stop)
	wg.Wait()
}

// A peer that does not read: the writer blocks at the limit, nothing is lost
// when the peer reads on, and memory stays bounded meanwhile.
func TestSlowReaderBlocksTheWriterAndLosesNothing(t *testing.T) {
	const pieces, piece = 2000, 10000 // more than sockets hold
	var wrote atomic.Int32
	tr := newTransport(t, Options{Rings: 1})
	accept, links := acceptLines(func(c *lines, s string) listen.Verdict {
		for i := range pieces {
			p := bytes.Repeat([]byte{byte(i)}, piece)
			switch s {
			case "write":
				if n, err := c.Write(p); n != piece || err != nil {
					return listen.Abort
				}
			case "flush":
				c.End(append(c.Begin(), p...))
				if c.Flush() != nil {
					return listen.Abort
				}
			}
			wrote.Add(1)
		}
		return listen.Close
	})
	addr := serve(t, tr, listen.Options{SendBuffer: 20000}, accept)
	for _, how := range []string{"write", "flush"} {
		t.Run(how, func(t *testing.T) {
			wrote.Store(0)
			c := dial(t, addr)
			c.SetReadBuffer(32 << 10)
			fmt.Fprintln(c, how)
			k := get(t, "accept", links).Link.(*link)
			unix.SetsockoptInt(int(k.fd), unix.SOL_SOCKET, unix.SO_SNDBUF, 32<<10)
			for last := int32(-1); ; time.Sleep(50 * time.Millisecond) {
				now := wrote.Load()
				if now == last {
					break
				}
				last = now
			}
			if n := wrote.Load(); n >= pieces {
				t.Fatal("the writer did not block; the sockets hold everything")
			}
			k.mu.Lock()
			if n := k.unsent(); n > 20000+piece {
				t.Errorf("%d bytes are queued", n)
			}
			k.mu.Unlock()
			got, err := io.ReadAll(c)
			if err != nil || len(got) != pieces*piece {
				t.Fatalf("%d bytes, %v", len(got), err)
			}
			for i, b := range got {
				if b != byte(i/piece) {
					t.Fatalf("byte %d is %d", i, b)
				}
			}
		})
	}
}

func TestSlowReaderIsCutOffByTheSendRate(t *testing.T) {
	tr := newTransport(t, Options{Rings: 1})
	accept, links := acceptLines(func(c *lines, s string) listen.Verdict {
		c.SetSendRate(1e9, 50*time.Millisecond)
		_, err := c.Write(make([]byte, 64<<20))
		if !errors.Is(err, listen.ErrSlowPeer) {
			t.Errorf("write: %v", err)
		}
		return listen.Wait
	})
	c := dial(t, serve(t, tr, listen.Options{}, accept))
	fmt.Fprintln(c, "go")
	if err := get(t, "Lost", get(t, "accept", links).lost); !errors.Is(err, listen.ErrSlowPeer) {
		t.Fatalf("Lost(%v)", err)
	}
}

func TestWriteDeadlineEndsABlockedWriter(t *testing.T) {
	tr := newTransport(t, Options{Rings: 1})
	result := make(chan error, 1)
	accept, _ := acceptLines(func(c *lines, s string) listen.Verdict {
		c.SetWriteDeadline(time.Now().Add(30 * time.Millisecond))
		_, err := c.Write(make([]byte, 64<<20))
		result <- err
		return listen.Abort
	})
	c := dial(t, serve(t, tr, listen.Options{}, accept))
	fmt.Fprintln(c, "go")
	if err := get(t, "end of write", result); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatal(err)
	}
}

// A client that is stopped keeps what it has been sent from arriving, holds up
// nobody else, and gets the rest when it goes on.
func TestStoppedClientGetsTheRestWhenItGoesOn(t *testing.T) {
	const size = 64 << 20
	tr := newTransport(t, Options{Rings: 1})
	started := make(chan struct{}, 1)
	accept, links := acceptLines(func(c *lines, s string) listen.Verdict {
		if s != "download" {
			c.say(s + "\n")
			return listen.Wait
		}
		started <- struct{}{}
		for range size >> 20 {
			if n, err := c.Write(make([]byte, 1<<20)); n != 1<<20 || err != nil {
				t.Errorf("write: %d, %v", n, err)
			}
		}
		return listen.Close
	})
	addr := serve(t, tr, listen.Options{}, accept)
	cmd := exec.Command("/proc/self/exe", "-test.run=^$")
	cmd.Env = append(os.Environ(), childEnv+"=client", childAddrEnv+"="+addr)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	get(t, "download", started)
	if err := cmd.Process.Signal(unix.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	k := get(t, "accept", links).Link.(*link)
	waiting := func() bool {
		k.mu.Lock()
		defer k.mu.Unlock()
		return k.writer != nil
	}
	for end := time.Now().Add(limit); !waiting(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("the writer does not block")
		}
	}
	c := dial(t, addr)
	for range 100 {
		if got := ask(t, c, "hello"); got != "hello" {
			t.Fatal(got)
		}
	}
	if err := cmd.Process.Signal(unix.SIGCONT); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Fatal(err, out.String())
	}
	if want := fmt.Sprintln(size, error(nil)); out.String() != want {
		t.Fatalf("client read %q, want %q", out.String(), want)
	}
}

// reset closes c so that the peer gets a RST.
func reset(c *net.TCPConn) {
	c.SetLinger(0)
	c.Close()
}

// The peer resets the connection, in every state that a link can be in. It must
// be told to the protocol once, with the reason where there is one, and a call
// under way must be ended by it.
func TestResetInEveryState(t *testing.T) {
	entered := make(chan string, 8)
	tr := newTransport(t, Options{Rings: 1})
	accept, links := acceptLines(func(c *lines, s string) listen.Verdict {
		entered <- s
		switch s {
		case "busy":
			get(t, "Gone", c.gone)
		case "reading":
			if _, err := c.Read(make([]byte, 10)); err == nil {
				t.Error("read bytes that nobody sent")
			}
		case "mid-body":
			if n, err := io.ReadFull(c, make([]byte, 10)); n >= 10 || err == nil {
				t.Errorf("read %d of 4 bytes, %v", n, err)
			}
		case "writing":
			if _, err := c.Write(make([]byte, 64<<20)); err == nil {
				t.Error("wrote to nobody")
			}
		case "queued":
			c.say(strings.Repeat("x", 32<<20))
		case "lingering":
			c.say("bye\n")
			return listen.Close
		}
		return listen.Wait
	})
	bounded := serve(t, tr, listen.Options{}, accept)
	unbounded := serve(t, tr, listen.Options{SendBuffer: -1}, accept) // a call that queues returns
	has := func(s status) func(k *link) bool {
		return func(k *link) bool { return k.status&s == s }
	}
	for _, state := range []struct {
		name    string
		send    string
		settled func(k *link) bool
	}{
		{"fresh", "", has(armed)},
		{"mid-head", "mid-hea", has(armed | fed)},
		{"idle", "idle\n", func(k *link) bool { return k.status&(running|fed) == fed }},
		{"busy", "busy\n", has(running)},
		{"reading", "reading\n", func(k *link) bool { return k.reader != nil }},
		{"mid-body", "mid-body\n", func(k *link) bool { return k.reader != nil && k.status&fed != 0 }},
		{"writing", "writing\n", has(polling)},
		{"queued", "queued\n", func(k *link) bool { return k.status&running == 0 && k.flight != nil }},
		{"lingering", "lingering\n", has(lingering)},
	} {
		t.Run(state.name, func(t *testing.T) {
			for i := range 10 {
				addr := bounded
				if state.name == "queued" {
					addr = unbounded
				}
				c := dial(t, addr)
				l := get(t, "accept", links)
				io.WriteString(c, state.send)
				if strings.Contains(state.send, "\n") {
					get(t, state.name, entered)
				}
				if state.name == "mid-body" {
					io.WriteString(c, "half")
				}
				if i%2 == 1 { // half of the times just before
					k := l.Link.(*link)
					eventually(t, k, state.name, func() bool { return state.settled(k) })
				}
				reset(c)
				get(t, "Lost in state "+state.name, l.lost)
				select {
				case err := <-l.lost:
					t.Fatalf("%s: Lost again: %v", state.name, err)
				default:
				}
			}
		})
	}
}

// Connections that are reset before they are accepted, or before the loop has
// seen them.
func TestResetBeforeTheLoopKnowsTheConnection(t *testing.T) {
	tr := newTransport(t, Options{Rings: 1})
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	first, release := make(chan struct{}), make(chan struct{})
	once := sync.OnceFunc(func() { close(first); <-release })
	var accepted, lost atomic.Int32
	serveOn(t, tr, ln, listen.Options{}, func(l listen.Link) listen.Protocol {
		accepted.Add(1)
		once() // the others are in the backlog meanwhile
		return &funcs{
			data: func(p []byte) listen.Verdict {
				l.End(append(l.Begin(), p...))
				return listen.Wait
			},
			lost: func(error) { lost.Add(1) },
		}
	})
	head := dial(t, ln.Addr().String())
	get(t, "accept", first)
	for i := range 40 {
		c := dial(t, ln.Addr().String())
		if i%2 == 0 {
			io.WriteString(c, "hello\n")
		}
		reset(c)
	}
	reset(head) // accepted, and not yet handed to the loop
	last := dial(t, ln.Addr().String())
	close(release)
	if got := ask(t, last, "still there"); got != "still there" {
		t.Fatal(got)
	}
	reset(last)
	for end := time.Now().Add(limit); lost.Load() < accepted.Load() || tr.loops[0].load.Load() > 0; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%d of %d connections ended; the loop counts %d", lost.Load(), accepted.Load(), tr.loops[0].load.Load())
		}
	}
}

func TestHalfCloseStillGetsTheAnswer(t *testing.T) {
	tr := newTransport(t, Options{Rings: 1})
	accept, links := acceptLines(func(c *lines, s string) listen.Verdict {
		if s == "wait" {
			if err := get(t, "Gone", c.gone); err != io.EOF {
				t.Errorf("Gone(%v)", err)
			}
		}
		c.say("answer\n")
		return listen.Wait
	})
	addr := serve(t, tr, listen.Options{}, accept)
	for _, s := range []string{"now", "wait"} {
		c := dial(t, addr)
		fmt.Fprintln(c, s)
		c.CloseWrite()
		if got := hear(t, c); got != "answer" {
			t.Fatal(got)
		}
		wantEnd(t, c)
		if err := get(t, "Lost", get(t, "accept", links).lost); err != nil {
			t.Fatalf("Lost(%v)", err)
		}
	}
}

// A completion that names a link which has left its slot must touch nobody.
func TestStaleCompletionsAreIgnored(t *testing.T) {
	tr := newTransport(t, Options{Rings: 1})
	l := &loop{t: tr}
	k := &link{loop: l}
	l.place(k)
	old := k.id
	if l.find(userData(old, opRecv)) != k {
		t.Fatal("a link is not found by its own user data")
	}
	l.vacate(k)
	l.place(&link{loop: l})
	if got := l.find(userData(old, opRecv)); got != nil {
		t.Fatal("a stale completion finds the slot's next link")
	}
	if got := l.find(1<<40 | opRecv); got != nil {
		t.Fatal("user data beyond the table finds a link")
	}
	if !l.complete(uring.CQE{UserData: userData(old, opSend), Res: 5}) {
		t.Fatal("a stale completion costs the leadership")
	}
}

func TestAcceptGoesOnAfterEMFILE(t *testing.T) {
	tr := newTransport(t, Options{Rings: 1})
	accept, _ := acceptLines(func(c *lines, s string) listen.Verdict { c.say(s + "\n"); return listen.Wait })
	failed := make(chan error, 100)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c := dial(t, ln.Addr().String()) // in the backlog
	var old unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &old); err != nil {
		t.Fatal(err)
	}
	low := old
	low.Cur = 3
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &low); err != nil {
		t.Fatal(err)
	}
	restore := sync.OnceFunc(func() { unix.Setrlimit(unix.RLIMIT_NOFILE, &old) })
	defer restore()
	serveOn(t, tr, ln, listen.Options{OnError: func(err error) { failed <- err }}, accept)
	for range 3 {
		if err := get(t, "failing accept", failed); !errors.Is(err, unix.EMFILE) {
			t.Fatal(err)
		}
	}
	restore()
	if got := ask(t, c, "hello"); got != "hello" {
		t.Fatal(got)
	}
}

// Every request that has been answered or sent completely before Shutdown gets
// its answer, then the end of the stream.
func TestShutdownUnderLoadLosesNoAnswer(t *testing.T) {
	tr := newTransport(t, Options{})
	var seen, answered atomic.Int64
	accept := func(l listen.Link) listen.Protocol {
		return &funcs{data: func(p []byte) listen.Verdict {
			seen.Add(int64(bytes.Count(p, []byte("\n"))))
			l.End(append(l.Begin(), p...))
			return listen.Wait
		}}
	}
	addr := serve(t, tr, listen.Options{}, accept)
	var wg sync.WaitGroup
	started := make(chan struct{}, 200)
	for range 50 {
		c := dial(t, addr)
		wg.Go(func() {
			defer c.Close()
			for n := 0; ; n++ {
				_, werr := io.WriteString(c, "ping\n")
				buf := make([]byte, 5)
				_, err := io.ReadFull(c, buf)
				if err == nil {
					answered.Add(1)
					if n == 3 {
						started <- struct{}{}
					}
					continue
				}
				// The end: an orderly one, unless our request crossed it.
				if werr == nil && !errors.Is(err, io.EOF) && !errors.Is(err, unix.ECONNRESET) {
					t.Error(err)
				}
				return
			}
		})
	}
	for range 50 {
		get(t, "start", started)
	}
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	if err := tr.Shutdown(ctx); err != nil {
		t.Fatal(err)
	}
	wg.Wait()
	if seen.Load() != answered.Load() {
		t.Fatalf("%d requests reached the protocol, %d answers the clients", seen.Load(), answered.Load())
	}
}

func TestShutdownServesTheBacklog(t *testing.T) {
	tr := newTransport(t, Options{Rings: 1})
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	const n = 200
	begun, block := make(chan struct{}), make(chan struct{})
	var accepted atomic.Int32
	serveOn(t, tr, ln, listen.Options{}, func(l listen.Link) listen.Protocol {
		if accepted.Add(1) == 1 {
			close(begun)
			<-block // the others wait in the backlog
		}
		return &funcs{data: func(p []byte) listen.Verdict {
			l.End(append(l.Begin(), p...))
			return listen.Close
		}}
	})
	var conns []*net.TCPConn
	for range n {
		c := dial(t, ln.Addr().String())
		io.WriteString(c, "hello\n")
		conns = append(conns, c)
	}
	get(t, "accept", begun) // a Serve that begins after Shutdown accepts nothing
	done := make(chan error, 1)
	go func() { done <- tr.Shutdown(context.Background()) }()
	for tr.phase.Load() == open {
		runtime.Gosched()
	}
	close(block)
	answers := 0
	for _, c := range conns {
		b, err := io.ReadAll(c)
		c.Close()
		if err == nil && (string(b) == "hello\n" || len(b) == 0) {
			if len(b) > 0 {
				answers++
			}
		} else {
			t.Errorf("%q, %v", b, err)
		}
	}
	if err := get(t, "Shutdown", done); err != nil {
		t.Fatal(err)
	}
	if int(accepted.Load()) != n {
		t.Errorf("%d of %d connections were accepted", accepted.Load(), n)
	}
}

// churnCount connections are opened and closed; a million with
// WINDHOVER_CHURN=1000000.
func churnCount() int {
	if n, err := strconv.Atoi(os.Getenv("WINDHOVER_CHURN")); err == nil {
		return n
	}
	return 10000
}

func TestChurnLeavesNothingBehind(t *testing.T) {
	tr := newTransport(t, Options{})
	var accepted, lost atomic.Int64
	addr := serve(t, tr, listen.Options{}, func(l listen.Link) listen.Protocol {
		accepted.Add(1)
		return &funcs{
			data: func(p []byte) listen.Verdict {
				l.End(append(l.Begin(), p...))
				if p[0] == 'c' {
					return listen.Close
				}
				return listen.Wait
			},
			lost: func(error) { lost.Add(1) },
		}
	})
	round := func(n int) {
		var wg sync.WaitGroup
		for w := range 8 {
			wg.Go(func() {
				buf := make([]byte, 16)
				for i := range n / 8 {
					c, err := net.Dial("tcp", addr)
					if err != nil {
						t.Error(err)
						return
					}
					switch (i + w) % 4 {
					case 0: // nothing said
					case 1: // the server closes
						io.WriteString(c, "close")
						io.ReadFull(c, buf[:5])
					case 2: // the client closes
						io.WriteString(c, "hello")
						io.ReadFull(c, buf[:5])
					case 3: // … in the middle of things
						io.WriteString(c, "hello")
						c.(*net.TCPConn).SetLinger(0)
					}
					c.(*net.TCPConn).SetLinger(0) // no TIME-WAIT: the ports are needed again
					c.Close()
				}
			})
		}
		wg.Wait()
	}
	settle := func() { // a connection that was reset early may never be accepted
		for end := time.Now().Add(limit); lost.Load() < accepted.Load(); time.Sleep(time.Millisecond) {
			if time.Now().After(end) {
				t.Fatalf("%d of %d connections ended", lost.Load(), accepted.Load())
			}
		}
	}
	n := churnCount()
	round(800)
	settle()
	files, goroutines, heap := openFiles(), runtime.NumGoroutine(), heapInUse()
	round(n)
	settle()
	if a := accepted.Load(); a < int64(n)/2 {
		t.Errorf("only %d of %d connections were accepted", a, n)
	}
	filesAfter, goroutinesAfter := openFiles(), runtime.NumGoroutine()
	if filesAfter > files+8 {
		t.Errorf("%d descriptors, %d before", filesAfter, files)
	}
	if goroutinesAfter > goroutines+20 {
		t.Errorf("%d goroutines, %d before", goroutinesAfter, goroutines)
	}
	h := heapInUse()
	if h > heap+4<<20 {
		t.Errorf("%d KiB of heap, %d before", h>>10, heap>>10)
	}
	tr.Close()
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	if err := tr.Shutdown(ctx); err != nil {
		t.Fatal(err)
	}
	slots := 0
	for _, l := range tr.loops {
		slots += len(l.slots)
	}
	if slots > n/4 {
		t.Errorf("the loops have made %d places for connections of which a few were open at a time", slots)
	}
	t.Logf("%d connections, %d accepted; before and after: descriptors %d, %d; goroutines %d, %d; heap %d, %d KiB",
		n, accepted.Load(), files, filesAfter, goroutines, goroutinesAfter, heap>>10, h>>10)
	t.Logf("%d places for connections", slots)
}

func heapInUse() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}
