package listentest

import (
	"io"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/windhover-server/windhover/listen"
)

var writeCases = []testCase{
	{"QueueKeepsOrder", testQueueKeepsOrder},
	{"QueueOfManyGoroutines", testQueueOfManyGoroutines},
	{"EmptyCommit", testEmptyCommit},
	{"SentBeforeRead", testSentBeforeRead},
	{"SentOnLeave", testSentOnLeave},
	{"SentWhileTheNextBlocks", testSentWhileTheNextBlocks},
	{"BlockedCallDelaysNoOther", testBlockedCallDelaysNoOther},
	{"SendBackPressure", testSendBackPressure},
	{"QueueBackPressure", testQueueBackPressure},
	{"UnboundedSendBuffer", testUnboundedSendBuffer},
	{"CloseWrite", testCloseWrite},
	{"WriteToResetPeer", testWriteToResetPeer},
}

func testQueueKeepsOrder(t *testing.T, e env) {
	r := serve(t, e, listen.Options{}, func(s *script) {
		s.data = func([]byte) listen.Verdict {
			s.send("1")
			s.send("2")
			if n, err := s.link.Write([]byte("3")); n != 1 || err != nil {
				t.Errorf("Write: %d, %v", n, err)
			}
			s.send("4")
			if err := s.link.Flush(); err != nil {
				t.Errorf("Flush: %v", err)
			}
			if err := s.link.Flush(); err != nil {
				t.Errorf("empty Flush: %v", err)
			}
			b := s.link.Begin()
			b = append(b, "5"...)
			b = append(b, "6"...)
			s.link.End(b)
			return listen.Wait
		}
	})
	c, _ := r.connect()
	for range 3 {
		say(t, c, "go")
		hear(t, c, "123456")
	}
}

// Lines of several goroutines mix, but each stays whole.
func testQueueOfManyGoroutines(t *testing.T, e env) {
	const writers, lines = 4, 500
	r := serve(t, e, listen.Options{}, func(s *script) {
		s.data = func([]byte) listen.Verdict {
			var wg sync.WaitGroup
			for i := range writers {
				wg.Go(func() {
					for range lines {
						s.send(string([]byte{'a' + byte(i), 'a' + byte(i), '\n'}))
					}
				})
			}
			wg.Wait()
			return listen.Close
		}
	})
	c, _ := r.connect()
	say(t, c, "go")
	count := make(map[string]int)
	line := make([]byte, 3)
	for range writers * lines {
		if _, err := io.ReadFull(c, line); err != nil {
			t.Fatal(err)
		}
		count[string(line)]++
	}
	for _, want := range []string{"aa\n", "bb\n", "cc\n", "dd\n"} {
		if count[want] != lines {
			t.Errorf("%d times %q", count[want], want)
		}
	}
}

func testEmptyCommit(t *testing.T, e env) {
	r := serve(t, e, listen.Options{}, func(s *script) {
		s.data = func(p []byte) listen.Verdict {
			s.link.End(s.link.Begin())
			s.send(string(p))
			s.link.End(s.link.Begin())
			return listen.Wait
		}
	})
	c, _ := r.connect()
	say(t, c, "x")
	hear(t, c, "x")
	say(t, c, "y")
	hear(t, c, "y")
}

func testSentBeforeRead(t *testing.T, e env) {
	r := serve(t, e, listen.Options{}, func(s *script) {
		s.data = func([]byte) listen.Verdict {
			s.send("send me more")
			buf := make([]byte, 10)
			n, err := s.link.Read(buf)
			if string(buf[:n]) != "more" || err != nil {
				t.Errorf("Read: %q, %v", buf[:n], err)
			}
			return listen.Close
		}
	})
	c, _ := r.connect()
	say(t, c, "go")
	hear(t, c, "send me more")
	say(t, c, "more")
	hearEnd(t, c, false)
}

func testSentOnLeave(t *testing.T, e env) {
	release := make(chan struct{})
	r := serve(t, e, listen.Options{}, func(s *script) {
		s.data = func([]byte) listen.Verdict {
			s.send("first")
			s.link.Leave()
			<-release
			s.send("second")
			return listen.Wait
		}
	})
	c, _ := r.connect()
	say(t, c, "go")
	hear(t, c, "first")
	close(release)
	hear(t, c, "second")
}

// A pipelined request that takes long does not hold up the response before it.
// The protocol shows that it goes on by another commit, here an empty one.
func testSentWhileTheNextBlocks(t *testing.T, e env) {
	release := make(chan struct{})
	r := serve(t, e, listen.Options{}, func(s *script) {
		s.data = func([]byte) listen.Verdict {
			s.send("first")
			s.link.End(s.link.Begin())
			<-release
			s.send("second")
			return listen.Wait
		}
	})
	c, _ := r.connect()
	say(t, c, "go")
	hear(t, c, "first")
	close(release)
	hear(t, c, "second")
}

// A protocol that blocks without a word stops no other connection.
func testBlockedCallDelaysNoOther(t *testing.T, e env) {
	release := make(chan struct{})
	var first atomic.Bool
	r := serve(t, e, listen.Options{}, func(s *script) {
		blocks := first.CompareAndSwap(false, true)
		s.data = func(p []byte) listen.Verdict {
			if blocks {
				<-release
			}
			s.send(string(p))
			return listen.Wait
		}
	})
	blocked, _ := r.connect()
	say(t, blocked, "late")
	for range 20 {
		c, _ := r.connect()
		say(t, c, "prompt")
		hear(t, c, "prompt")
	}
	close(release)
	hear(t, blocked, "late")
}

// A peer that does not read stops the writer, who goes on when it does.
func testSendBackPressure(t *testing.T, e env) {
	var written atomic.Int64
	b := noise(1 << 20)
	r := serve(t, e, listen.Options{}, func(s *script) {
		s.data = func([]byte) listen.Verdict {
			for range huge / len(b) {
				n, err := s.link.Write(b)
				if err != nil {
					t.Errorf("Write: %v", err)
					return listen.Abort
				}
				written.Add(int64(n))
			}
			return listen.Close
		}
	})
	c, _ := r.connect()
	say(t, c, "go")
	hear(t, c, string(b[:1000]))
	settle(&written)
	if n := written.Load(); n > huge/2 {
		t.Errorf("%d bytes were taken for a peer that reads none", n)
	}
	hear(t, c, string(b[1000:]))
	for range huge/len(b) - 1 {
		hear(t, c, string(b))
	}
	hearEnd(t, c, false)
}

// settle waits until n has stopped growing.
func settle(n *atomic.Int64) {
	for last := int64(-1); last != n.Load(); pause(2 * short) {
		last = n.Load()
	}
}

// A protocol that only queues is stopped, too.
func testQueueBackPressure(t *testing.T, e env) {
	var queued atomic.Int64
	line := noise(1000)
	const lines = huge / 1000
	r := serve(t, e, listen.Options{}, func(s *script) {
		s.data = func([]byte) listen.Verdict {
			for range lines {
				s.link.End(append(s.link.Begin(), line...))
				queued.Add(1000)
				if err := s.link.Flush(); err != nil {
					t.Errorf("Flush: %v", err)
					return listen.Abort
				}
			}
			return listen.Close
		}
	})
	c, _ := r.connect()
	say(t, c, "go")
	hear(t, c, string(line))
	settle(&queued)
	if n := queued.Load(); n > huge/2 {
		t.Errorf("%d bytes were queued for a peer that reads none", n)
	}
	for range lines - 1 {
		hear(t, c, string(line))
	}
	hearEnd(t, c, false)
}

// With a negative SendBuffer no write waits for the peer.
func testUnboundedSendBuffer(t *testing.T, e env) {
	b := noise(large)
	done := make(chan struct{})
	r := serve(t, e, listen.Options{SendBuffer: -1}, func(s *script) {
		s.data = func([]byte) listen.Verdict {
			for range 3 {
				if n, err := s.link.Write(b); n != len(b) || err != nil {
					t.Errorf("Write: %d, %v", n, err)
				}
			}
			close(done)
			return listen.Close
		}
	})
	c, _ := r.connect()
	say(t, c, "go")
	wait(t, done, "Write waits for the peer")
	for range 3 {
		hear(t, c, string(b))
	}
	hearEnd(t, c, false)
}

func testCloseWrite(t *testing.T, e env) {
	r := serve(t, e, listen.Options{}, func(s *script) {
		s.data = func([]byte) listen.Verdict {
			s.send("that is all")
			if err := s.link.CloseWrite(); err != nil {
				t.Errorf("CloseWrite: %v", err)
			}
			buf := make([]byte, 10)
			n, err := s.link.Read(buf)
			if string(buf[:n]) != "more" || err != nil {
				t.Errorf("Read: %q, %v", buf[:n], err)
			}
			return listen.Wait
		}
	})
	c, s := r.connect()
	say(t, c, "go")
	hear(t, c, "that is all")
	hearEnd(t, c, false)
	say(t, c, "more")
	c.Close()
	s.lost()
}

// Writing to a peer that is gone fails sooner or later, stays failed, and
// harms nobody else.
func testWriteToResetPeer(t *testing.T, e env) {
	inside, release := make(chan struct{}), make(chan struct{})
	r := serve(t, e, listen.Options{}, func(s *script) {
		s.data = func([]byte) listen.Verdict {
			close(inside)
			<-release
			b := noise(100000)
			for {
				if _, err := s.link.Write(b); err != nil {
					break
				}
			}
			if _, err := s.link.Write(b); err == nil {
				t.Error("Write after a failure")
			}
			if err := s.link.Flush(); err == nil {
				t.Error("Flush after a failure")
			}
			s.send("queue")
			return listen.Wait
		}
	})
	c, s := r.connect()
	say(t, c, "go")
	wait(t, inside, "Data was not called")
	reset(c)
	close(release)
	if err := s.lost(); err == nil {
		t.Error("Lost(nil) after failed writes")
	}
}
