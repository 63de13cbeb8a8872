package listentest

import (
	"errors"
	"io"
	"net"
	"os"
	"sync/atomic"
	"testing"
	"time"

	"github.com/windhover-server/windhover/listen"
)

var readCases = []testCase{
	{"EOFAfterData", testEOFAfterData},
	{"EOFWithoutData", testEOFWithoutData},
	{"EOFThenWait", testEOFThenWait},
	{"ReadReturnsEOF", testReadReturnsEOF},
	{"ReadSeesNoByteTwice", testReadSeesNoByteTwice},
	{"ResetWhileWaiting", testResetWhileWaiting},
	{"ResetWhileReading", testResetWhileReading},
	{"ReceiveBackPressure", testReceiveBackPressure},
	{"Addresses", testAddresses},
}

func testEOFAfterData(t *testing.T, e env) {
	var got []byte
	r := serve(t, e, listen.Options{}, func(s *script) {
		s.data = func(p []byte) listen.Verdict { got = append(got, p...); return listen.Wait }
		s.eof = func() listen.Verdict { s.send("got " + string(got)); return listen.Close }
	})
	c, s := r.connect()
	say(t, c, "everything")
	halfClose(t, c)
	hear(t, c, "got everything")
	hearEnd(t, c, false)
	c.Close()
	if err := s.lost(); err != nil {
		t.Errorf("Lost(%v)", err)
	}
}

func testEOFWithoutData(t *testing.T, e env) {
	r := serve(t, e, listen.Options{}, echo)
	c, s := r.connect()
	halfClose(t, c)
	hearEnd(t, c, false)
	if err := s.lost(); err != nil {
		t.Errorf("Lost(%v)", err)
	}
	if s.eofs.Load() != 1 {
		t.Error("EOF was not called")
	}
}

// After EOF a protocol may wait: the deadline and a drain still reach it.
func testEOFThenWait(t *testing.T, e env) {
	expired := make(chan struct{})
	r := serve(t, e, listen.Options{}, func(s *script) {
		s.eof = func() listen.Verdict {
			s.send("wait")
			s.link.SetReadDeadline(time.Now().Add(20 * time.Millisecond))
			return listen.Wait
		}
		s.expired = func() listen.Verdict { close(expired); return listen.Wait }
		s.drain = func() listen.Verdict { s.send(" end"); return listen.Close }
	})
	c, s := r.connect()
	halfClose(t, c)
	hear(t, c, "wait")
	wait(t, expired, "Expired was not called")
	r.tr.DrainIdle()
	hear(t, c, " end")
	hearEnd(t, c, false)
	c.Close()
	if err := s.lost(); err != nil {
		t.Errorf("Lost(%v)", err)
	}
}

func testReadReturnsEOF(t *testing.T, e env) {
	r := serve(t, e, listen.Options{}, func(s *script) {
		s.data = func(p []byte) listen.Verdict {
			all := append([]byte(nil), p...)
			buf := make([]byte, 3)
			for {
				n, err := s.link.Read(buf)
				all = append(all, buf[:n]...)
				if err == io.EOF {
					break
				}
				if err != nil {
					t.Errorf("Read: %v", err)
					return listen.Abort
				}
			}
			if _, err := s.link.Read(buf); err != io.EOF {
				t.Errorf("second Read at the end: %v", err)
			}
			s.send(string(all))
			return listen.Close
		}
		s.eof = func() listen.Verdict { t.Error("EOF was called after Read had returned it"); return listen.Close }
	})
	c, _ := r.connect()
	say(t, c, "to the end")
	halfClose(t, c)
	hear(t, c, "to the end")
	hearEnd(t, c, false)
}

// Data and Read take turns, and every byte comes once and in order.
func testReadSeesNoByteTwice(t *testing.T, e env) {
	want := noise(200000)
	var got []byte
	r := serve(t, e, listen.Options{}, func(s *script) {
		s.data = func(p []byte) listen.Verdict {
			got = append(got, p...)
			if len(got) < len(want) && len(got)%3 > 0 {
				buf := make([]byte, 1+len(got)%5000)
				n, err := s.link.Read(buf)
				if err != nil {
					t.Errorf("Read: %v", err)
				}
				got = append(got, buf[:n]...)
			}
			if len(got) == len(want) {
				s.send("done")
			}
			return listen.Wait
		}
	})
	c, _ := r.connect()
	go func() {
		for b := want; len(b) > 0; {
			n := min(len(b), 1+len(b)%3000)
			if _, err := c.Write(b[:n]); err != nil {
				return
			}
			b = b[n:]
		}
	}()
	hear(t, c, "done")
	if string(got) != string(want) {
		t.Error("what arrived is not what was sent")
	}
}

func testResetWhileWaiting(t *testing.T, e env) {
	if !e.network.Resets {
		t.Skip("no resets on this network")
	}
	r := serve(t, e, listen.Options{}, echo)
	c, s := r.connect()
	say(t, c, "hello")
	hear(t, c, "hello")
	reset(c)
	if err := s.lost(); err == nil || errors.Is(err, net.ErrClosed) {
		t.Errorf("Lost(%v) after the peer's reset", err)
	}
}

func testResetWhileReading(t *testing.T, e env) {
	if !e.network.Resets {
		t.Skip("no resets on this network")
	}
	inside := make(chan struct{})
	r := serve(t, e, listen.Options{}, func(s *script) {
		s.data = func([]byte) listen.Verdict {
			close(inside)
			if n, err := s.link.Read(make([]byte, 10)); err == nil || err == io.EOF || errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("Read: %d, %v", n, err)
			}
			return listen.Abort
		}
	})
	c, s := r.connect()
	say(t, c, "hello")
	wait(t, inside, "Data was not called")
	reset(c)
	s.lost()
}

// While the protocol takes nothing, the client can send no more than some
// buffers hold.
func testReceiveBackPressure(t *testing.T, e env) {
	release := make(chan struct{})
	var once atomic.Bool
	var total atomic.Int64
	r := serve(t, e, listen.Options{ReceiveBuffer: 64 << 10}, func(s *script) {
		s.data = func(p []byte) listen.Verdict {
			if once.CompareAndSwap(false, true) {
				s.link.Watch()
				s.link.Leave()
				<-release
			}
			if total.Add(int64(len(p))) == huge {
				s.send("done")
			}
			return listen.Wait
		}
	})
	c, _ := r.connect()
	b := make([]byte, huge)
	_ = c.SetWriteDeadline(time.Now().Add(300 * time.Millisecond))
	n, err := c.Write(b)
	close(release)
	if !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("a client could send %d bytes to a protocol that reads none: %v", n, err)
	}
	_ = c.SetWriteDeadline(time.Now().Add(patience))
	if _, err := c.Write(b[n:]); err != nil {
		t.Fatal(err)
	}
	hear(t, c, "done")
}

func testAddresses(t *testing.T, e env) {
	r := serve(t, e, listen.Options{}, echo)
	c, s := r.connect()
	if got, want := s.link.LocalAddr().String(), c.RemoteAddr().String(); got != want {
		t.Errorf("LocalAddr %q, the client dialed %q", got, want)
	}
	if got, want := s.link.RemoteAddr().String(), c.LocalAddr().String(); e.network.Name != "unix" && got != want {
		t.Errorf("RemoteAddr %q, the client is %q", got, want)
	}
	if got, want := s.link.NetConn().LocalAddr().String(), s.link.LocalAddr().String(); got != want {
		t.Errorf("NetConn's LocalAddr %q, the link's %q", got, want)
	}
	say(t, c, "x")
	hear(t, c, "x")
}
