//go:build linux && !noring && (race || windhoverdebug)

package ring

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/windhover-server/windhover/listen"
)

// In these builds, bytes that are kept longer than they are lent become
// unreadable: in the kernel's buffers as soon as the call has returned, in
// those of the ring when they go back to their pool.
func TestBytesKeptTooLongAreOverwritten(t *testing.T) {
	for _, d := range []Dispatch{Inline, Workers} { // lent by the kernel; by the pool
		t.Run(fmt.Sprint(d), func(t *testing.T) {
			var kept []byte
			verdict := make(chan string, 1)
			tr := newTiny(t, Options{Rings: 1, Dispatch: d}, tinyWhole)
			addr := serve(t, tr, listen.Options{}, func(l listen.Link) listen.Protocol {
				return &funcs{data: func(p []byte) listen.Verdict {
					if kept == nil {
						kept = p
					} else {
						verdict <- string(kept)
					}
					l.End(append(l.Begin(), "ok\n"...))
					return listen.Wait
				}}
			})
			c := dial(t, addr)
			ask(t, c, "secret")
			ask(t, c, "") // one byte, which may be put over the first
			if got := get(t, "second call", verdict)[1:]; got != string(bytes.Repeat([]byte{0xdb}, len("ecret\n"))) {
				t.Errorf("kept bytes are %q", got)
			}
		})
	}
}
