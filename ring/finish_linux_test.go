//go:build linux && !noring

package ring

import (
	"fmt"
	"runtime"
	"testing"

	"github.com/windhover-server/windhover/listen"
)

// The client never closes, and lingering has no bound.
func TestFinishDoesNotWaitForThePeer(t *testing.T) {
	for name, before := range map[string]int{"first request": 0, "later request": 2} {
		t.Run(name, func(t *testing.T) {
			tr := newTransport(t, Options{Rings: 1})
			accept, links := acceptLines(func(c *lines, s string) listen.Verdict {
				c.say(s + "\n")
				if s == "last" {
					return listen.Finish
				}
				return listen.Wait
			})
			c := dial(t, serve(t, tr, listen.Options{Linger: -1}, accept))
			for range before {
				ask(t, c, "hello")
			}
			if got := ask(t, c, "last"); got != "last" {
				t.Fatal(got)
			}
			wantEnd(t, c)
			if err := get(t, "Lost", get(t, "accept", links).lost); err != nil {
				t.Fatal(err)
			}
		})
	}
}

// A client that sends more than it has promised gets its answer all the same:
// what arrives behind the last request is discarded, not answered by a reset.
func TestFinishLingersIfSomethingHasCome(t *testing.T) {
	tr := newTransport(t, Options{Rings: 1})
	called, proceed := make(chan struct{}, 1), make(chan struct{})
	accept, links := acceptLines(func(c *lines, s string) listen.Verdict {
		called <- struct{}{}
		<-proceed
		c.say("last\n")
		return listen.Finish
	})
	c := dial(t, serve(t, tr, listen.Options{}, accept))
	fmt.Fprintln(c, "hello")
	get(t, "call", called)
	k := get(t, "accept", links).Link.(*link)
	fmt.Fprintln(c, "more")
	for n := 0; n == 0; runtime.Gosched() {
		k.mu.Lock()
		n = k.in.len()
		k.mu.Unlock()
	}
	close(proceed)
	if got := hear(t, c); got != "last" {
		t.Fatal(got)
	}
	wantEnd(t, c)
	for range 32 {
		if _, err := c.Write(make([]byte, 64<<10)); err != nil {
			t.Fatalf("the server does not linger: %v", err)
		}
	}
}

// What comes while the receive is being cancelled counts, too.
func TestBytesBehindTheLastRequestMakeALinkLinger(t *testing.T) {
	k := &link{status: closing | prompt}
	k.store([]byte("more"))
	if k.status&prompt != 0 {
		t.Error("the link would be closed with the peer still sending")
	}
}
