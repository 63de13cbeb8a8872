package portable_test

import (
	"context"
	"errors"
	"net"
	"os"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/windhover-server/windhover/listen"
	"github.com/windhover-server/windhover/listen/listentest"
	"github.com/windhover-server/windhover/portable"
)

// timed runs f in a bubble with a transport on a memory network. All that the
// transport has begun must end with it.
func timed(t *testing.T, opt listen.Options, configure func(*funcs), f func(t *testing.T, ln *listentest.Memory, protos <-chan *funcs)) {
	synctest.Test(t, func(t *testing.T) {
		ln := listentest.NewMemory(0)
		_, protos := serve(t, ln, opt, configure)
		f(t, ln, protos)
	})
}

func TestKeepAliveTimeoutIsExact(t *testing.T) {
	const timeout = 130 * time.Second
	timed(t, listen.Options{}, func(f *funcs) {
		f.link.SetReadDeadline(time.Now().Add(timeout))
		f.data = func(p []byte) listen.Verdict {
			f.link.SetReadDeadline(time.Now().Add(timeout))
			f.send(string(p))
			return listen.Wait
		}
	}, func(t *testing.T, ln *listentest.Memory, _ <-chan *funcs) {
		c := dial(t, ln)
		for range 5 {
			time.Sleep(timeout - 1)
			c.say("x")
			c.hear("x")
		}
		start := time.Now()
		c.hearEnd()
		if d := time.Since(start); d != timeout {
			t.Errorf("closed %v after the last request", d)
		}
	})
}

func TestQueuedBytesLeaveAfterAMillisecond(t *testing.T) {
	timed(t, listen.Options{}, func(f *funcs) {
		f.data = func([]byte) listen.Verdict {
			f.send("first")
			time.Sleep(10 * time.Microsecond)
			f.send("second")
			time.Sleep(time.Hour)
			f.send("third")
			time.Sleep(time.Hour)
			return listen.Wait
		}
	}, func(t *testing.T, ln *listentest.Memory, _ <-chan *funcs) {
		c := dial(t, ln)
		start := time.Now()
		c.say("go")
		for _, text := range []string{"firstsecond", "third"} {
			c.hear(text)
			if d := time.Since(start); d > 2*time.Millisecond {
				t.Errorf("%q came after %v", text, d)
			}
			start = start.Add(time.Hour)
		}
	})
}

func TestSendRateAverages(t *testing.T) {
	const rate, grace = 1000, 5 * time.Second
	errs := make(chan error, 1)
	var took time.Duration
	timed(t, listen.Options{}, func(f *funcs) {
		f.link.SetSendRate(rate, grace)
		f.data = func([]byte) listen.Verdict {
			start := time.Now()
			_, err := f.link.Write(make([]byte, 100_000))
			took = time.Since(start)
			errs <- err
			return listen.Abort
		}
	}, func(t *testing.T, ln *listentest.Memory, protos <-chan *funcs) {
		c := dial(t, ln)
		c.say("go")
		if err := <-(<-protos).lost; !errors.Is(err, listen.ErrSlowPeer) {
			t.Errorf("Lost(%v)", err)
		}
		if err := <-errs; !errors.Is(err, listen.ErrSlowPeer) {
			t.Errorf("Write: %v", err)
		}
		if want := grace + 100*time.Second; took != want {
			t.Errorf("given up after %v, want %v", took, want)
		}
	})
}

func TestLingerLasts(t *testing.T) {
	timed(t, listen.Options{}, func(f *funcs) {
		f.data = func([]byte) listen.Verdict { f.send("answer"); return listen.Close }
	}, func(t *testing.T, ln *listentest.Memory, protos <-chan *funcs) {
		c := dial(t, ln)
		c.say("go")
		c.hear("answer")
		c.hearEnd()
		start := time.Now()
		if err := <-(<-protos).lost; err != nil {
			t.Errorf("Lost(%v)", err)
		}
		if d := time.Since(start); d != 5*time.Second {
			t.Errorf("lingered %v", d)
		}
	})
}

// flaky fails to accept until it is told otherwise.
type flaky struct {
	net.Listener
	mu   sync.Mutex
	errs int // how often to fail
}

func (f *flaky) Accept() (net.Conn, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.errs > 0 {
		f.errs--
		return nil, &net.OpError{Op: "accept", Net: "memory", Err: tooManyFiles{}}
	}
	return f.Listener.Accept()
}

type tooManyFiles struct{}

func (tooManyFiles) Error() string   { return "too many open files" }
func (tooManyFiles) Temporary() bool { return true }

func TestAcceptIsTriedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mem := listentest.NewMemory(0)
		start := time.Now()
		var waits []time.Duration
		opt := listen.Options{OnError: func(err error) {
			if !errors.Is(err, tooManyFiles{}) {
				t.Errorf("OnError(%v)", err)
			}
			waits = append(waits, time.Since(start))
			start = time.Now()
		}}
		serve(t, &flaky{Listener: mem, errs: 11}, opt, nil)
		c := dial(t, mem)
		c.say("x")
		c.hear("x")
		want := []time.Duration{0, 5, 10, 20, 40, 80, 160, 320, 640, 1000, 1000}
		if len(waits) != len(want) {
			t.Fatalf("OnError was called after %v", waits)
		}
		for i, w := range want {
			if waits[i] != w*time.Millisecond {
				t.Errorf("wait %d was %v, want %v", i, waits[i], w*time.Millisecond)
			}
		}
	})
}

func TestShutdownEndsTheWaitToAcceptAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var tr portable.Transport
		served := make(chan error)
		go func() {
			served <- tr.Serve(&flaky{Listener: listentest.NewMemory(0), errs: 1 << 30}, listen.Options{}, nil)
		}()
		time.Sleep(10 * time.Second)
		start := time.Now()
		if err := tr.Shutdown(context.Background()); err != nil {
			t.Error(err)
		}
		if err := <-served; err != listen.ErrServerClosed {
			t.Errorf("Serve: %v", err)
		}
		if d := time.Since(start); d != 0 {
			t.Errorf("Serve went on for %v", d)
		}
	})
}

func TestFailedListenerEndsServe(t *testing.T) {
	var tr portable.Transport
	ln := listenTCP(t)
	ln.Close()
	if err := tr.Serve(ln, listen.Options{}, nil); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Serve: %v", err)
	}
}

// A read that a deadline ends loses nothing, also when it is moved from another
// goroutine while the read waits.
func TestReadDeadlineMovedWhileReading(t *testing.T) {
	timed(t, listen.Options{}, func(f *funcs) {
		f.data = func([]byte) listen.Verdict {
			start := time.Now()
			f.link.SetReadDeadline(start.Add(time.Hour))
			go func() {
				time.Sleep(time.Minute)
				f.link.SetReadDeadline(start.Add(2 * time.Minute))
				time.Sleep(30 * time.Second)
				f.link.SetReadDeadline(start.Add(3 * time.Minute))
			}()
			_, err := f.link.Read(make([]byte, 1))
			if d := time.Since(start); !errors.Is(err, os.ErrDeadlineExceeded) || d != 3*time.Minute {
				t.Errorf("Read: %v after %v", err, d)
			}
			return listen.Close
		}
	}, func(t *testing.T, ln *listentest.Memory, _ <-chan *funcs) {
		c := dial(t, ln)
		c.say("go")
		c.hearEnd()
	})
}
