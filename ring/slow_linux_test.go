//go:build linux && !noring

package ring

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/windhover-server/windhover/listen"
)

// A client that pipelines requests and reads no answer: what is queued for it
// stays within the response buffer limit and one answer, and so does what is
// taken from it.
func TestPipeliningWithoutReadingIsBounded(t *testing.T) {
	const (
		limitBytes = 20000
		answer     = 5000
	)
	for _, d := range []Dispatch{Adaptive, Inline, Workers} {
		t.Run(fmt.Sprint(d), func(t *testing.T) {
			tr := newTransport(t, Options{Rings: 1, Dispatch: d})
			long := strings.Repeat("x", answer-1) + "\n"
			most := 0
			accept, links := acceptLines(func(c *lines, s string) listen.Verdict {
				c.say(long)
				k := c.Link.(*link)
				k.mu.Lock()
				most = max(most, k.unsent())
				k.mu.Unlock()
				return listen.Wait
			})
			addr := serve(t, tr, listen.Options{SendBuffer: limitBytes, ReceiveBuffer: limitBytes}, accept)
			c := dial(t, addr)
			const requests = 8000 // 40 MB of answers: more than sockets hold
			wrote := make(chan error, 1)
			go func() {
				_, err := io.WriteString(c, strings.Repeat("?\n", requests))
				wrote <- err
			}()
			k := get(t, "accept", links).Link.(*link)
			for end := time.Now().Add(limit); ; time.Sleep(time.Millisecond) {
				k.mu.Lock()
				waits := k.writer != nil
				k.mu.Unlock()
				if waits {
					break
				}
				if time.Now().After(end) {
					t.Fatal("the protocol goes on, though the client does not read")
				}
			}
			c.SetReadDeadline(time.Now().Add(2 * limit))
			got, err := io.ReadAll(io.LimitReader(c, requests*answer))
			if err != nil || len(got) != requests*answer || bytes.Count(got, []byte("\n")) != requests {
				t.Fatalf("%d bytes, %v", len(got), err)
			}
			if err := get(t, "end of writing", wrote); err != nil && !os.IsTimeout(err) {
				t.Error(err)
			}
			fmt.Fprintln(c, "?") // the call that set most has ended when this is answered
			hear(t, c)
			if most > limitBytes+answer {
				t.Errorf("%d bytes were queued with a limit of %d", most, limitBytes)
			}
		})
	}
}
