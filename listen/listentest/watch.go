package listentest

import (
	"errors"
	"fmt"
	"io"
	"os"
	"sync/atomic"
	"testing"
	"time"

	"github.com/windhover-server/windhover/listen"
)

var watchCases = []testCase{
	{"GoneAfterHalfClose", testGoneAfterHalfClose},
	{"GoneAfterClose", testGoneAfterClose},
	{"GoneAfterReset", testGoneAfterReset},
	{"GoneBehindInput", testGoneBehindInput},
	{"GoneBeforeWatch", testGoneBeforeWatch},
	{"GoneAfterReads", testGoneAfterReads},
	{"GoneWhileHalfClosedPeerStillListens", testGoneThenAnswer},
	{"WatchLosesNoInput", testWatchLosesNoInput},
	{"WatchThenRead", testWatchThenRead},
	{"WatchThenReadTimesOut", testWatchThenReadTimesOut},
	{"WatchEndsWithTheCall", testWatchEndsWithTheCall},
	{"WatchAndDeadline", testWatchAndDeadline},
	{"WatchAndDrain", testWatchAndDrain},
}

// busy makes the script watch and then wait for Gone.
func busy(t testing.TB, s *script, then func()) {
	s.data = func([]byte) listen.Verdict {
		s.link.Watch()
		s.link.Leave()
		wait(t, s.goneOnce, "Gone was not called")
		if then != nil {
			then()
		}
		return listen.Wait
	}
}

func testGoneAfterHalfClose(t *testing.T, e env) {
	r := serve(t, e, listen.Options{}, func(s *script) { busy(t, s, nil) })
	c, s := r.connect()
	say(t, c, "go")
	halfClose(t, c)
	s.lost()
	if s.goneErr != io.EOF {
		t.Errorf("Gone(%v)", s.goneErr)
	}
	if s.eofs.Load() != 1 {
		t.Error("EOF was not called after Gone")
	}
}

func testGoneAfterClose(t *testing.T, e env) {
	r := serve(t, e, listen.Options{}, func(s *script) { busy(t, s, nil) })
	c, s := r.connect()
	say(t, c, "go")
	c.Close()
	s.lost()
}

func testGoneAfterReset(t *testing.T, e env) {
	if !e.network.Resets {
		t.Skip("no resets on this network")
	}
	inside := make(chan struct{})
	r := serve(t, e, listen.Options{}, func(s *script) {
		busy(t, s, nil)
		data := s.data
		s.data = func(p []byte) listen.Verdict { close(inside); return data(p) }
	})
	c, s := r.connect()
	say(t, c, "go")
	wait(t, inside, "Data was not called")
	reset(c)
	if err := s.lost(); err == nil {
		t.Error("Lost(nil) after a reset")
	}
	if s.goneErr == io.EOF {
		t.Errorf("Gone(%v)", s.goneErr)
	}
}

// A pipelined request does not hide the close behind it, and is delivered.
func testGoneBehindInput(t *testing.T, e env) {
	var got string
	inside := make(chan struct{})
	r := serve(t, e, listen.Options{}, func(s *script) {
		calls := 0
		busy(t, s, nil)
		data := s.data
		s.data = func(p []byte) listen.Verdict {
			if calls++; calls == 1 {
				close(inside)
				return data(p)
			}
			got += string(p)
			return listen.Wait
		}
	})
	c, s := r.connect()
	say(t, c, "first")
	wait(t, inside, "Data was not called")
	say(t, c, "second")
	halfClose(t, c)
	if err := s.lost(); err != nil {
		t.Errorf("Lost(%v)", err)
	}
	if got != "second" || s.eofs.Load() != 1 {
		t.Errorf("got %q, EOF %d times", got, s.eofs.Load())
	}
}

// Watch reports a half-close that Read has found before.
func testGoneBeforeWatch(t *testing.T, e env) {
	r := serve(t, e, listen.Options{}, func(s *script) {
		s.data = func([]byte) listen.Verdict {
			if _, err := s.link.Read(make([]byte, 1)); err != io.EOF {
				t.Errorf("Read: %v", err)
			}
			s.link.Watch()
			wait(t, s.goneOnce, "Gone was not called")
			return listen.Close
		}
	})
	c, s := r.connect()
	say(t, c, "go")
	halfClose(t, c)
	s.lost()
}

// Watch goes on when Reads have come between.
func testGoneAfterReads(t *testing.T, e env) {
	r := serve(t, e, listen.Options{}, func(s *script) {
		s.data = func([]byte) listen.Verdict {
			s.link.Watch()
			buf := make([]byte, 1)
			for range 5 {
				s.send("?")
				if _, err := io.ReadFull(readerOf(s.link), buf); err != nil {
					t.Errorf("Read: %v", err)
				}
			}
			s.send("!")
			s.link.Leave()
			if err := s.link.Flush(); err != nil {
				t.Errorf("Flush: %v", err)
			}
			wait(t, s.goneOnce, "Gone was not called")
			return listen.Close
		}
	})
	c, s := r.connect()
	say(t, c, "go")
	for range 5 {
		hear(t, c, "?")
		say(t, c, ".")
	}
	hear(t, c, "!")
	halfClose(t, c)
	s.lost()
}

func readerOf(l listen.Link) io.Reader { return struct{ io.Reader }{l} }

// The peer that has half-closed still gets its answer.
func testGoneThenAnswer(t *testing.T, e env) {
	r := serve(t, e, listen.Options{}, func(s *script) { busy(t, s, func() { s.send("answer") }) })
	c, _ := r.connect()
	say(t, c, "go")
	halfClose(t, c)
	hear(t, c, "answer")
	hearEnd(t, c, false)
}

// Every call watches and lasts a while, with input arriving all the time.
func testWatchLosesNoInput(t *testing.T, e env) {
	want := noise(500000)
	var got []byte
	r := serve(t, e, listen.Options{}, func(s *script) {
		s.data = func(p []byte) listen.Verdict {
			got = append(got, p...)
			s.link.Watch()
			pause(time.Duration(len(got)%5) * time.Millisecond)
			if len(got) == len(want) {
				s.send("done")
			}
			return listen.Wait
		}
	})
	c, _ := r.connect()
	go func() {
		for b := want; len(b) > 0; {
			n := min(len(b), 5000)
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

// Read takes over what Watch has read, or is about to.
func testWatchThenRead(t *testing.T, e env) {
	r := serve(t, e, listen.Options{}, func(s *script) {
		s.data = func(p []byte) listen.Verdict {
			s.link.Watch()
			if string(p) == "go on" {
				s.send("yes")
				return listen.Wait
			}
			var all []byte
			buf := make([]byte, 7)
			for i := range 20 {
				if i%2 == 0 {
					pause(3 * time.Millisecond) // for the transport to read ahead
				}
				s.send("?")
				n, err := s.link.Read(buf)
				if err != nil {
					t.Errorf("Read: %v", err)
					return listen.Abort
				}
				all = append(all, buf[:n]...)
			}
			s.send(string(all))
			return listen.Wait
		}
	})
	c, _ := r.connect()
	say(t, c, "go")
	want := ""
	for i := range 20 {
		hear(t, c, "?")
		text := fmt.Sprint(i)
		want += text
		say(t, c, text)
	}
	hear(t, c, want)
	say(t, c, "go on")
	hear(t, c, "yes")
}

func testWatchThenReadTimesOut(t *testing.T, e env) {
	r := serve(t, e, listen.Options{}, func(s *script) {
		s.data = func([]byte) listen.Verdict {
			s.link.Watch()
			pause(3 * time.Millisecond)
			buf := make([]byte, 10)
			for range 3 {
				s.link.SetReadDeadline(time.Now().Add(short))
				if n, err := s.link.Read(buf); n != 0 || !errors.Is(err, os.ErrDeadlineExceeded) {
					t.Errorf("Read: %d, %v", n, err)
				}
			}
			s.link.SetReadDeadline(time.Time{})
			s.send("?")
			n, err := s.link.Read(buf)
			if string(buf[:n]) != "more" || err != nil {
				t.Errorf("Read: %q, %v", buf[:n], err)
			}
			s.send("thanks")
			return listen.Wait
		}
	})
	c, _ := r.connect()
	say(t, c, "go")
	hear(t, c, "?")
	say(t, c, "more")
	hear(t, c, "thanks")
}

// A watched call leaves a connection like any other.
func testWatchEndsWithTheCall(t *testing.T, e env) {
	var done atomic.Bool
	r := serve(t, e, listen.Options{}, func(s *script) {
		calls := 0
		s.gone = func(err error) {
			if !done.Load() {
				t.Errorf("Gone(%v) though the peer is there", err)
			}
		}
		s.data = func(p []byte) listen.Verdict {
			s.link.Watch()
			if calls++; calls%2 == 0 {
				pause(3 * time.Millisecond)
			}
			s.send(string(p))
			return listen.Wait
		}
	})
	c, _ := r.connect()
	for i := range 30 {
		text := fmt.Sprint("request ", i)
		say(t, c, text)
		hear(t, c, text)
	}
	done.Store(true)
}

func testWatchAndDeadline(t *testing.T, e env) {
	r := serve(t, e, listen.Options{}, func(s *script) {
		s.data = func([]byte) listen.Verdict {
			s.link.SetReadDeadline(time.Now().Add(short))
			s.link.Watch()
			pause(2 * short) // passes while nobody waits for input
			s.send("answer")
			s.link.SetReadDeadline(time.Now().Add(short))
			return listen.Wait
		}
		s.expired = func() listen.Verdict { s.send("expired"); return listen.Close }
	})
	c, _ := r.connect()
	say(t, c, "go")
	hear(t, c, "answerexpired")
	hearEnd(t, c, false)
}

func testWatchAndDrain(t *testing.T, e env) {
	r := serve(t, e, listen.Options{}, func(s *script) {
		s.data = func([]byte) listen.Verdict {
			s.link.Watch()
			pause(3 * time.Millisecond)
			s.send("answer")
			return listen.Wait
		}
	})
	c, _ := r.connect()
	say(t, c, "go")
	hear(t, c, "answer")
	r.tr.DrainIdle()
	hearEnd(t, c, false)
}
