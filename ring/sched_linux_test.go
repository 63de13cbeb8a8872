//go:build linux && !noring

package ring

import (
	"fmt"
	"io"
	"os"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/windhover-server/windhover/listen"
)

// A handler that blocks must not keep the loop's other connections waiting.
// The tests use one ring, so that all connections share the loop.

func TestBlockedCallsHoldUpNobodyElse(t *testing.T) {
	for _, d := range []Dispatch{Adaptive, Inline, Workers} {
		t.Run(fmt.Sprint(d), func(t *testing.T) {
			release := make(chan struct{})
			tr := newTransport(t, Options{Rings: 1, Dispatch: d})
			accept, _ := acceptLines(func(c *lines, s string) listen.Verdict {
				if s == "block" {
					<-release
				}
				c.say("done " + s + "\n")
				return listen.Wait
			})
			addr := serve(t, tr, listen.Options{}, accept)
			var blocked []func()
			for range 50 {
				c := dial(t, addr)
				fmt.Fprintln(c, "block")
				blocked = append(blocked, func() {
					if got := hear(t, c); got != "done block" {
						t.Errorf("blocked connection heard %q", got)
					}
				})
			}
			light := dial(t, addr)
			for i := range 100 {
				if got := ask(t, light, fmt.Sprint(i)); got != fmt.Sprint("done ", i) {
					t.Fatal(got)
				}
			}
			close(release)
			for _, f := range blocked {
				f()
			}
		})
	}
}

func TestLeaveHandsTheLoopOnAtOnce(t *testing.T) {
	release := make(chan struct{})
	tr := newTransport(t, Options{Rings: 1, Dispatch: Inline})
	accept, _ := acceptLines(func(c *lines, s string) listen.Verdict {
		if s == "leave" {
			generation := tr.loops[0].word.Load() >> 32
			c.Leave()
			if g := tr.loops[0].word.Load() >> 32; g != generation+1 {
				t.Errorf("generation %d after Leave in generation %d", g, generation)
			}
			c.Leave() // no longer leads: nothing happens
			if g := tr.loops[0].word.Load() >> 32; g != generation+1 {
				t.Errorf("generation %d after a second Leave", g)
			}
			<-release
		}
		c.say(s + "\n")
		return listen.Wait
	})
	addr := serve(t, tr, listen.Options{}, accept)
	a, b := dial(t, addr), dial(t, addr)
	fmt.Fprintln(a, "leave")
	ask(t, b, "hello")
	close(release)
	if got := hear(t, a); got != "leave" {
		t.Fatal(got)
	}
}

// What was answered before a handler blocks must not wait for it.
func TestAnswersBeforeABlockedCallAreSent(t *testing.T) {
	for _, d := range []Dispatch{Adaptive, Inline, Workers} {
		t.Run(fmt.Sprint(d), func(t *testing.T) {
			release := make(chan struct{})
			tr := newTransport(t, Options{Rings: 1, Dispatch: d})
			accept, _ := acceptLines(func(c *lines, s string) listen.Verdict {
				if s == "block" {
					<-release
				}
				c.say(s + "\n")
				return listen.Wait
			})
			c := dial(t, serve(t, tr, listen.Options{}, accept))
			for range 3 {
				fmt.Fprint(c, "one\ntwo\nblock\nthree\n")
				for _, want := range []string{"one", "two"} {
					if got := hear(t, c); got != want {
						t.Fatalf("%q instead of %q", got, want)
					}
				}
				release <- struct{}{}
				for _, want := range []string{"block", "three"} {
					if got := hear(t, c); got != want {
						t.Fatalf("%q instead of %q", got, want)
					}
				}
			}
		})
	}
}

// The memory lent to a call that lost the loop must not be written to by the
// kernel, however long the call reads from it.
func TestLentBytesStayWhileABlockedCallReadsThem(t *testing.T) {
	tr := newTransport(t, Options{Rings: 1, Dispatch: Inline})
	entered, release := make(chan struct{}), make(chan struct{})
	check := make(chan error, 64)
	accept := func(l listen.Link) listen.Protocol {
		return &funcs{data: func(p []byte) listen.Verdict {
			before := string(p)
			if strings.HasPrefix(before, "hold") {
				entered <- struct{}{}
				<-release
				if before != string(p) {
					check <- fmt.Errorf("lent bytes %q have become %q", before, p)
				} else {
					check <- nil
				}
			}
			l.End(append(l.Begin(), "ok\n"...))
			return listen.Wait
		}}
	}
	addr := serve(t, tr, listen.Options{}, accept)
	const holders = 20
	for i := range holders {
		fmt.Fprintf(dial(t, addr), "hold %d\n", i)
		get(t, "call", entered)
	}
	other := dial(t, addr)
	for range 300 { // several times around the buffers
		if got := ask(t, other, strings.Repeat("x", 20000)); got != "ok" {
			t.Fatal(got)
		}
		drainOK(t, other)
	}
	close(release)
	for range holders {
		if err := get(t, "check", check); err != nil {
			t.Error(err)
		}
	}
}

// A handler may lock its thread and let its goroutine end with it: the kernel
// then cancels what that thread had asked for.
func TestThreadExitLosesNoConnection(t *testing.T) {
	for _, d := range []Dispatch{Adaptive, Inline, Workers} {
		t.Run(fmt.Sprint(d), func(t *testing.T) {
			tr := newTransport(t, Options{Rings: 1, Dispatch: d})
			accept, _ := acceptLines(func(c *lines, s string) listen.Verdict {
				switch s {
				case "lock":
					runtime.LockOSThread()
				case "exit":
					runtime.LockOSThread()
					c.say("exit\n")
					c.Flush()
					runtime.Goexit()
				}
				c.say(s + "\n")
				return listen.Wait
			})
			addr := serve(t, tr, listen.Options{}, accept)
			others := make([]interface {
				Read([]byte) (int, error)
				Write([]byte) (int, error)
			}, 20)
			for i := range others {
				c := dial(t, addr)
				ask(t, c, "hello")
				others[i] = c
			}
			for range 10 {
				if got := ask(t, dial(t, addr), "lock"); got != "lock" {
					t.Fatal(got)
				}
				gone := dial(t, addr)
				if got := ask(t, gone, "exit"); got != "exit" {
					t.Fatal(got)
				}
				wantReset(t, gone)
				for _, c := range others {
					fmt.Fprintln(c, "still there")
					buf := make([]byte, 64)
					if n, err := c.Read(buf); err != nil || string(buf[:n]) != "still there\n" {
						t.Fatalf("%q, %v", buf[:n], err)
					}
				}
			}
		})
	}
}

// Connections whose calls have been long are served off the loop, and on it
// again when they are short.
func TestLongCallsAreLearnedAndForgotten(t *testing.T) {
	tr := newTransport(t, Options{Rings: 1})
	accept, links := acceptLines(func(c *lines, s string) listen.Verdict {
		if s == "burn" {
			for start := time.Now(); time.Since(start) < 5*time.Millisecond; {
			}
		}
		c.say(s + "\n")
		return listen.Wait
	})
	c := dial(t, serve(t, tr, listen.Options{}, accept))
	k := get(t, "accept", links).Link.(*link)
	credit := func() uint16 {
		k.mu.Lock()
		defer k.mu.Unlock()
		return k.credit
	}
	deadline := time.Now().Add(limit)
	for credit() == 0 { // a call ends before it is seen twice only now and then
		ask(t, c, "burn")
		if time.Now().After(deadline) {
			t.Fatal("long calls go on being made on the loop")
		}
	}
	for credit() > 0 {
		ask(t, c, "short")
		if time.Now().After(deadline) {
			t.Fatal("short calls go on being made off the loop")
		}
	}
}

func TestManyGoroutinesUseOneLink(t *testing.T) {
	tr := newTransport(t, Options{})
	accept, _ := acceptLines(func(c *lines, s string) listen.Verdict {
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() {
				c.Leave()
				c.SetReadDeadline(time.Now().Add(time.Minute))
				c.SetWriteDeadline(time.Now().Add(time.Minute))
				c.Watch()
				_, _ = c.LocalAddr(), c.RemoteAddr()
			})
		}
		wg.Wait()
		c.say(s + "\n")
		return listen.Wait
	})
	c := dial(t, serve(t, tr, listen.Options{}, accept))
	for i := range 200 {
		if got := ask(t, c, fmt.Sprint(i)); got != fmt.Sprint(i) {
			t.Fatal(got)
		}
	}
}

// funcs is a protocol made of functions; those that are nil do the obvious.
type funcs struct {
	data func([]byte) listen.Verdict
	eof  func() listen.Verdict
	lost func(error)
	gone func(error)
}

func (f *funcs) Data(p []byte) listen.Verdict { return f.data(p) }
func (f *funcs) EOF() listen.Verdict {
	if f.eof != nil {
		return f.eof()
	}
	return listen.Close
}
func (f *funcs) Expired() listen.Verdict { return listen.Close }
func (f *funcs) Drain() listen.Verdict   { return listen.Close }
func (f *funcs) Lost(err error) {
	if f.lost != nil {
		f.lost(err)
	}
}
func (f *funcs) Gone(err error) {
	if f.gone != nil {
		f.gone(err)
	}
}

// drainOK reads the rest of the answers that one message got because it came
// in several pieces.
func drainOK(t *testing.T, c interface {
	Read([]byte) (int, error)
	SetReadDeadline(time.Time) error
}) {
	t.Helper()
	c.SetReadDeadline(time.Now().Add(2 * time.Millisecond))
	buf := make([]byte, 1024)
	for {
		if _, err := c.Read(buf); err != nil {
			if !os.IsTimeout(err) {
				t.Fatal(err)
			}
			break
		}
	}
	c.SetReadDeadline(time.Now().Add(limit))
}

// Calls that block too briefly for the watchdog would keep the loop for as long
// as all of them together: they are learned, too.
func TestBriefBlockingIsLearned(t *testing.T) {
	tr := newTransport(t, Options{Rings: 1})
	accept, links := acceptLines(func(c *lines, s string) listen.Verdict {
		<-time.After(200 * time.Microsecond)
		c.say(s + "\n")
		return listen.Wait
	})
	addr := serve(t, tr, listen.Options{}, accept)
	var wg sync.WaitGroup
	for range 16 {
		c := dial(t, addr)
		k := get(t, "accept", links).Link.(*link)
		wg.Go(func() {
			buf := make([]byte, 2)
			for range 300 { // the watchdog needs thousands
				c.Write([]byte("x\n"))
				if _, err := io.ReadFull(c, buf); err != nil {
					t.Error(err)
					return
				}
				k.mu.Lock()
				learned := k.credit > 0
				k.mu.Unlock()
				if learned {
					return
				}
			}
			t.Error("calls that block go on being made on the loop")
		})
	}
	wg.Wait()
}

// What a link is punished for doubles only while its calls go on being long.
func TestLongCallsOfLongAgoAreForgotten(t *testing.T) {
	l := &loop{}
	k := &link{loop: l}
	wantCredit := func(what string, want uint16) {
		t.Helper()
		if k.wasLong(); k.credit != want {
			t.Errorf("%s: %d calls off the loop, want %d", what, k.credit, want)
		}
	}
	wantCredit("the first long call", minBackoff)
	k.calls += 2 * minBackoff
	wantCredit("another soon after", 2*minBackoff)
	k.calls += forgetAfter * 2 * minBackoff
	wantCredit("another a while later", 4*minBackoff)
	k.calls += forgetAfter*4*minBackoff + 1
	wantCredit("another after many short ones", minBackoff)
}

// One long call may be chance, two timed ones in a row are not.
func TestTwoLongCallsInARow(t *testing.T) {
	k := &link{loop: &loop{}}
	for i, c := range []struct {
		ns   int64
		want uint16
	}{
		{shortCall + 1, 0},
		{shortCall, 0},
		{shortCall + 1, 0},
		{shortCall + 1, minBackoff},
	} {
		if k.wasTimed(c.ns); k.credit != c.want {
			t.Fatalf("after call %d: %d calls off the loop, want %d", i, k.credit, c.want)
		}
	}
}
