//go:build linux && !noring

package ring

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"testing"

	"github.com/windhover-server/windhover/listen"
)

// echo answers with what it gets.
type echo struct{ link listen.Link }

func (e *echo) Data(p []byte) listen.Verdict {
	b := e.link.Begin()
	b = append(b, p...)
	e.link.End(b)
	return listen.Wait
}
func (e *echo) EOF() listen.Verdict     { return listen.Close }
func (e *echo) Expired() listen.Verdict { return listen.Close }
func (e *echo) Drain() listen.Verdict   { return listen.Close }
func (e *echo) Lost(error)              {}
func (e *echo) Gone(error)              {}

func TestEcho(t *testing.T) {
	for _, d := range []Dispatch{Adaptive, Inline, Workers} {
		t.Run(fmt.Sprint(d), func(t *testing.T) {
			tr := newTransport(t, Options{Dispatch: d})
			addr := serve(t, tr, listen.Options{}, func(l listen.Link) listen.Protocol { return &echo{l} })
			c, err := net.Dial("tcp", addr)
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			br := bufio.NewReader(c)
			for i := range 200 {
				msg := fmt.Sprintf("message %d\n", i)
				io.WriteString(c, msg)
				if got, err := br.ReadString('\n'); got != msg || err != nil {
					t.Fatalf("%q, %v", got, err)
				}
			}
			big := bytes.Repeat([]byte("0123456789abcdef"), 1<<16)
			go c.Write(big)
			got := make([]byte, len(big))
			if _, err := io.ReadFull(br, got); err != nil || !bytes.Equal(got, big) {
				t.Fatal("big message differs", err)
			}
			c.(*net.TCPConn).CloseWrite()
			if n, err := br.Read(got); err != io.EOF {
				t.Fatalf("%d bytes, %v after close", n, err)
			}
		})
	}
}
