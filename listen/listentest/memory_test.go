package listentest

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/net/nettest"
)

func TestMemoryIsANetConn(t *testing.T) {
	nettest.TestConn(t, func() (c1, c2 net.Conn, stop func(), err error) {
		ln := NewMemory(0)
		c1, err = ln.Dial()
		if err != nil {
			return nil, nil, nil, err
		}
		c2, err = ln.Accept()
		return c1, c2, func() { c1.Close(); c2.Close(); ln.Close() }, err
	})
}

func TestMemoryHalfClose(t *testing.T) {
	ln := NewMemory(0)
	defer ln.Close()
	c, _ := ln.Dial()
	s, _ := ln.Accept()
	defer c.Close()
	defer s.Close()
	if _, err := io.WriteString(c, "question"); err != nil {
		t.Fatal(err)
	}
	c.(*MemoryConn).CloseWrite()
	if b, err := io.ReadAll(s); string(b) != "question" || err != nil {
		t.Fatalf("server read %q, %v", b, err)
	}
	if _, err := io.WriteString(s, "answer"); err != nil {
		t.Fatal(err)
	}
	s.Close()
	if b, err := io.ReadAll(c); string(b) != "answer" || err != nil {
		t.Fatalf("client read %q, %v", b, err)
	}
	if _, err := c.Write([]byte("x")); !errors.Is(err, net.ErrClosed) {
		t.Errorf("write after CloseWrite: %v", err)
	}
}

func TestMemoryWriteToClosedPeer(t *testing.T) {
	ln := NewMemory(0)
	defer ln.Close()
	c, _ := ln.Dial()
	s, _ := ln.Accept()
	s.Close()
	if _, err := c.Write([]byte("x")); !errors.Is(err, ErrPeerClosed) {
		t.Errorf("write: %v", err)
	}
	c.Close()
}

func TestMemoryDeadlinesFollowTheBubblesClock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ln := NewMemory(4)
		defer ln.Close()
		c, _ := ln.Dial()
		s, _ := ln.Accept()
		defer c.Close()
		defer s.Close()
		start := time.Now()
		c.SetReadDeadline(start.Add(time.Hour))
		if _, err := c.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("read: %v", err)
		}
		if d := time.Since(start); d != time.Hour {
			t.Errorf("read ended after %v", d)
		}
		c.SetWriteDeadline(start.Add(2 * time.Hour))
		if n, err := c.Write(make([]byte, 5)); n != 4 || !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("write: %d, %v", n, err)
		}
		if d := time.Since(start); d != 2*time.Hour {
			t.Errorf("write ended after %v", d)
		}
	})
}

func TestMemoryListenerEnds(t *testing.T) {
	ln := NewMemory(0)
	waiting, _ := ln.Dial()
	ln.Close()
	if _, err := ln.Accept(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Accept: %v", err)
	}
	if _, err := ln.Dial(); !errors.Is(err, ErrRefused) {
		t.Errorf("Dial: %v", err)
	}
	if _, err := waiting.Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("a connection that was not accepted reads %v", err)
	}
}

// An http.Transport or a dialer with a context needs this form.
func ExampleMemory() {
	ln := NewMemory(0)
	dial := func(context.Context, string, string) (net.Conn, error) { return ln.Dial() }
	go func() {
		c, _ := ln.Accept()
		io.WriteString(c, "hello")
		c.Close()
	}()
	c, _ := dial(context.Background(), "memory", "")
	io.Copy(os.Stdout, c)
	// Output: hello
}
