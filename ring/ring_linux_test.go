//go:build linux && !noring

package ring

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"testing"
	"time"

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

func newTransport(t *testing.T, opt Options) *Transport {
	t.Helper()
	tr, err := New(opt)
	if err != nil {
		t.Skipf("no io_uring here: %v", err)
	}
	t.Cleanup(func() {
		tr.Close()
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := tr.Shutdown(ctx); err != nil {
			t.Errorf("connections left after Close: %v", err)
		}
	})
	return tr
}

// serve serves a fresh loopback listener and returns its address.
func serve(t *testing.T, tr *Transport, opt listen.Options, accept listen.Acceptor) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- tr.Serve(ln, opt, accept) }()
	t.Cleanup(func() {
		tr.Close()
		if err := <-done; !errors.Is(err, listen.ErrServerClosed) && !errors.Is(err, net.ErrClosed) {
			t.Errorf("Serve: %v", err)
		}
	})
	return ln.Addr().String()
}

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
