package listentest

import (
	"errors"
	"os"
	"testing"
	"time"

	"github.com/windhover-server/windhover/listen"
)

const short = 30 * time.Millisecond

var deadlineCases = []testCase{
	{"Expired", testExpired},
	{"ExpiredBeforeData", testExpiredBeforeData},
	{"ExpiredAfterBusy", testExpiredAfterBusy},
	{"ExpiredNeverWithoutDeadline", testNoExpiryWithoutDeadline},
	{"DeadlineMovedOn", testDeadlineMovedOn},
	{"DeadlineMovedBack", testDeadlineMovedBack},
	{"ReadTimesOut", testReadTimesOut},
	{"ReadTimesOutFromElsewhere", testReadTimesOutFromElsewhere},
	{"WriteTimesOut", testWriteTimesOut},
	{"WriteTimesOutFromElsewhere", testWriteTimesOutFromElsewhere},
	{"WriteAfterDeadline", testWriteAfterDeadline},
	{"SlowPeer", testSlowPeer},
	{"SlowPeerOfQueuedBytes", testSlowPeerOfQueuedBytes},
	{"SteadyPeer", testSteadyPeer},
}

// Expired comes once for each deadline, not before its time, and the
// connection goes on.
func testExpired(t *testing.T, e env) {
	var due time.Time
	times := 0
	set := func(s *script) { due = time.Now().Add(short); s.link.SetReadDeadline(due) }
	r := serve(t, e, listen.Options{}, func(s *script) {
		s.data = func([]byte) listen.Verdict { set(s); return listen.Wait }
		s.expired = func() listen.Verdict {
			if early := time.Until(due); early > 0 {
				t.Errorf("Expired came %v early", early)
			}
			if times++; times == 3 {
				s.send("expired")
				return listen.Wait // and no deadline
			}
			set(s)
			return listen.Wait
		}
	})
	c, _ := r.connect()
	for range 2 {
		say(t, c, "go")
		hear(t, c, "expired")
		if times != 3 {
			t.Fatalf("Expired was called %d times", times)
		}
		times = 0
	}
}

// A deadline that the Acceptor sets counts.
func testExpiredBeforeData(t *testing.T, e env) {
	r := serve(t, e, listen.Options{}, func(s *script) {
		s.link.SetReadDeadline(time.Now().Add(short))
		s.expired = func() listen.Verdict { s.send("too late"); return listen.Close }
	})
	c, s := r.connect()
	hear(t, c, "too late")
	hearEnd(t, c, false)
	c.Close()
	if err := s.lost(); err != nil {
		t.Errorf("Lost(%v)", err)
	}
}

// A deadline that passes during a call counts when the call returns.
func testExpiredAfterBusy(t *testing.T, e env) {
	r := serve(t, e, listen.Options{}, func(s *script) {
		s.data = func([]byte) listen.Verdict {
			s.link.SetReadDeadline(time.Now().Add(-time.Second))
			return listen.Wait
		}
		s.expired = func() listen.Verdict { s.send("too late"); return listen.Close }
	})
	c, _ := r.connect()
	say(t, c, "go")
	hear(t, c, "too late")
}

func testNoExpiryWithoutDeadline(t *testing.T, e env) {
	r := serve(t, e, listen.Options{}, func(s *script) {
		s.data = func(p []byte) listen.Verdict {
			s.link.SetReadDeadline(time.Now().Add(short))
			s.link.SetReadDeadline(time.Time{})
			s.send(string(p))
			return listen.Wait
		}
		s.expired = func() listen.Verdict { t.Error("Expired without a deadline"); return listen.Close }
	})
	c, _ := r.connect()
	say(t, c, "a")
	hear(t, c, "a")
	_ = c.SetReadDeadline(time.Now().Add(3 * short))
	if _, err := c.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("read: %v", err)
	}
	_ = c.SetReadDeadline(time.Now().Add(patience))
	say(t, c, "b")
	hear(t, c, "b")
}

// Each request moves the deadline on, as a keep-alive timeout does.
func testDeadlineMovedOn(t *testing.T, e env) {
	const timeout = 10 * short
	r := serve(t, e, listen.Options{}, func(s *script) {
		last := time.Now()
		s.link.SetReadDeadline(last.Add(timeout))
		s.data = func(p []byte) listen.Verdict {
			last = time.Now()
			s.link.SetReadDeadline(last.Add(timeout))
			s.send(string(p))
			return listen.Wait
		}
		s.expired = func() listen.Verdict {
			if d := time.Since(last); d < timeout {
				t.Errorf("expired %v after the last request, the timeout is %v", d, timeout)
			}
			return listen.Close
		}
	})
	c, _ := r.connect()
	for end := time.Now().Add(timeout + 4*short); time.Now().Before(end); {
		say(t, c, "x")
		hear(t, c, "x")
		_ = c.SetReadDeadline(time.Now().Add(2 * time.Millisecond))
		_, _ = c.Read(make([]byte, 1)) // pause
		_ = c.SetReadDeadline(time.Now().Add(patience))
	}
	hearEnd(t, c, false)
}

// A deadline that is set while the connection waits holds, too.
func testDeadlineMovedBack(t *testing.T, e env) {
	r := serve(t, e, listen.Options{}, func(s *script) {
		s.link.SetReadDeadline(time.Now().Add(time.Hour))
		s.expired = func() listen.Verdict { return listen.Close }
	})
	c, s := r.connect()
	say(t, c, "x")
	hear(t, c, "x")
	s.link.SetReadDeadline(time.Now().Add(short))
	hearEnd(t, c, false)
}

// A Read that timed out may be tried again, and loses nothing.
func testReadTimesOut(t *testing.T, e env) {
	r := serve(t, e, listen.Options{}, func(s *script) {
		s.data = func([]byte) listen.Verdict {
			buf := make([]byte, 10)
			due := time.Now().Add(short)
			s.link.SetReadDeadline(due)
			if n, err := s.link.Read(buf); n != 0 || !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("Read: %d, %v", n, err)
			}
			if early := time.Until(due); early > 0 {
				t.Errorf("Read ended %v early", early)
			}
			if n, err := s.link.Read(buf); n != 0 || !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("Read after the deadline: %d, %v", n, err)
			}
			s.link.SetReadDeadline(time.Now().Add(patience))
			s.send("next")
			n, err := s.link.Read(buf)
			if string(buf[:n]) != "more" || err != nil {
				t.Errorf("Read: %q, %v", buf[:n], err)
			}
			s.link.SetReadDeadline(time.Time{})
			s.send("thanks")
			return listen.Wait
		}
	})
	c, _ := r.connect()
	say(t, c, "go")
	hear(t, c, "next")
	say(t, c, "more")
	hear(t, c, "thanks")
}

func testReadTimesOutFromElsewhere(t *testing.T, e env) {
	inside := make(chan struct{})
	r := serve(t, e, listen.Options{}, func(s *script) {
		s.data = func([]byte) listen.Verdict {
			close(inside)
			if n, err := s.link.Read(make([]byte, 1)); n != 0 || !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("Read: %d, %v", n, err)
			}
			return listen.Close
		}
	})
	c, s := r.connect()
	say(t, c, "go")
	wait(t, inside, "Data was not called")
	s.link.SetReadDeadline(time.Unix(1, 0))
	s.lost()
}

func testWriteTimesOut(t *testing.T, e env) {
	r := serve(t, e, listen.Options{}, func(s *script) {
		s.data = func([]byte) listen.Verdict {
			due := time.Now().Add(2 * short)
			s.link.SetWriteDeadline(due)
			n, err := s.link.Write(make([]byte, huge))
			if n >= huge || !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("Write: %d, %v", n, err)
			}
			if early := time.Until(due); early > 0 {
				t.Errorf("Write ended %v early", early)
			}
			return listen.Abort
		}
	})
	c, s := r.connect()
	say(t, c, "go")
	s.lost()
}

func testWriteTimesOutFromElsewhere(t *testing.T, e env) {
	inside := make(chan struct{})
	r := serve(t, e, listen.Options{}, func(s *script) {
		s.data = func([]byte) listen.Verdict {
			close(inside)
			if _, err := s.link.Write(make([]byte, huge)); !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("Write: %v", err)
			}
			return listen.Abort
		}
	})
	c, s := r.connect()
	say(t, c, "go")
	wait(t, inside, "Data was not called")
	s.link.SetWriteDeadline(time.Now())
	s.lost()
}

// What is queued when the write deadline has passed is not sent, however
// willing the peer.
func testWriteAfterDeadline(t *testing.T, e env) {
	r := serve(t, e, listen.Options{}, func(s *script) {
		s.data = func([]byte) listen.Verdict {
			s.link.SetWriteDeadline(time.Now().Add(-time.Second))
			s.send("too late")
			if err := s.link.Flush(); !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("Flush: %v", err)
			}
			return listen.Close
		}
	})
	c, s := r.connect()
	say(t, c, "go")
	hearEnd(t, c, true)
	s.lost()
}

func testSlowPeer(t *testing.T, e env) {
	r := serve(t, e, listen.Options{}, func(s *script) {
		s.link.SetSendRate(1e9, 2*short)
		s.data = func([]byte) listen.Verdict {
			start := time.Now()
			_, err := s.link.Write(make([]byte, huge))
			if !errors.Is(err, listen.ErrSlowPeer) {
				t.Errorf("Write: %v", err)
			}
			if d := time.Since(start); d < 2*short {
				t.Errorf("Write ended after %v, the grace period is %v", d, 2*short)
			}
			return listen.Abort
		}
	})
	c, s := r.connect()
	say(t, c, "go")
	if err := s.lost(); !errors.Is(err, listen.ErrSlowPeer) {
		t.Errorf("Lost(%v)", err)
	}
	wait(t, s.goneOnce, "Gone was not called")
}

func testSlowPeerOfQueuedBytes(t *testing.T, e env) {
	r := serve(t, e, listen.Options{SendBuffer: 2 * huge}, func(s *script) {
		s.link.SetSendRate(1e9, 2*short)
		s.data = func([]byte) listen.Verdict {
			s.link.End(append(s.link.Begin(), make([]byte, huge)...))
			return listen.Wait
		}
	})
	c, s := r.connect()
	say(t, c, "go")
	if err := s.lost(); !errors.Is(err, listen.ErrSlowPeer) {
		t.Errorf("Lost(%v)", err)
	}
}

// A peer that is fast enough on average is kept, though it pauses.
func testSteadyPeer(t *testing.T, e env) {
	b := noise(large)
	r := serve(t, e, listen.Options{}, func(s *script) {
		s.link.SetSendRate(1e6, short)
		s.data = func([]byte) listen.Verdict {
			if err := pieces(s.link, b, 64<<10); err != nil {
				t.Errorf("write: %v", err)
			}
			return listen.Wait
		}
	})
	c, _ := r.connect()
	say(t, c, "go")
	for i := range 4 {
		hear(t, c, string(b[i<<20:(i+1)<<20]))
		if i%3 == 0 {
			pause(2 * short)
		}
	}
	say(t, c, "go")
	hear(t, c, string(b))
}

// pause lets time pass where a test is about time.
func pause(d time.Duration) { <-time.After(d) }
