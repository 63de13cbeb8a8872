package listentest

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/windhover-server/windhover/listen"
)

const (
	large = 4 << 20
	huge  = 32 << 20
)

var transferCases = []testCase{
	{"Echo", testEcho},
	{"LargeEcho", testLargeEcho},
	{"LargeDownload", testLargeDownload},
	{"LargeUpload", testLargeUpload},
	{"FullDuplex", testFullDuplex},
	{"OneByteAtATime", testOneByteAtATime},
	{"ManyConnections", testManyConnections},
	{"Disorder", testDisorder},
	{"ReadFromFile", testReadFromFile},
	{"ReadFromOther", testReadFromOther},
}

// noise returns n bytes that differ from place to place.
func noise(n int) []byte {
	b := make([]byte, n)
	r := rand.New(rand.NewPCG(1, uint64(n)))
	for i := 0; i+8 <= n; i += 8 {
		v := r.Uint64()
		for j := range 8 {
			b[i+j] = byte(v >> (8 * j))
		}
	}
	return b
}

func echo(*script) {}

func testEcho(t *testing.T, e env) {
	r := serve(t, e, listen.Options{}, echo)
	c, _ := r.connect()
	for _, text := range []string{"a", "bc", string(noise(1000)), string(noise(5000)), string(noise(20000)), "last"} {
		say(t, c, text)
		hear(t, c, text)
	}
}

func testLargeEcho(t *testing.T, e env) {
	r := serve(t, e, listen.Options{}, echo)
	c, _ := r.connect()
	exchange(t, c, noise(large))
}

// exchange sends b while it reads the same back.
func exchange(t testing.TB, c net.Conn, b []byte) {
	t.Helper()
	sent := make(chan error, 1)
	go func() {
		_, err := c.Write(b)
		sent <- err
	}()
	got := make([]byte, len(b))
	if n, err := io.ReadFull(c, got); err != nil {
		t.Fatalf("read %d of %d bytes: %v", n, len(b), err)
	}
	if !bytes.Equal(got, b) {
		t.Fatal("what came back is not what was sent")
	}
	if err := <-sent; err != nil {
		t.Fatal(err)
	}
}

func testLargeDownload(t *testing.T, e env) {
	b := noise(large)
	for name, send := range map[string]func(l listen.Link) error{
		"Write":  func(l listen.Link) error { _, err := l.Write(b); return err },
		"Pieces": func(l listen.Link) error { return pieces(l, b, 10000) },
		"Queue":  func(l listen.Link) error { l.End(append(l.Begin(), b...)); return nil },
	} {
		t.Run(name, func(t *testing.T) {
			r := serve(t, e, listen.Options{}, func(s *script) {
				s.data = func([]byte) listen.Verdict {
					s.send("head ")
					if err := send(s.link); err != nil {
						t.Errorf("write: %v", err)
					}
					s.send(" tail")
					return listen.Close
				}
			})
			c, s := r.connect()
			say(t, c, "go")
			got, err := io.ReadAll(c)
			if err != nil || !bytes.Equal(got, []byte("head "+string(b)+" tail")) {
				t.Fatalf("got %d bytes, %v; want %d", len(got), err, len(b)+10)
			}
			c.Close()
			if err := s.lost(); err != nil {
				t.Errorf("Lost(%v)", err)
			}
		})
	}
}

// pieces alternates between the two ways to send.
func pieces(l listen.Link, b []byte, size int) error {
	for i := 0; len(b) > 0; i++ {
		n := min(len(b), size)
		if i%3 == 0 {
			l.End(append(l.Begin(), b[:n]...))
		} else if m, err := l.Write(b[:n]); err != nil || m != n {
			return errors.Join(err, io.ErrShortWrite)
		}
		b = b[n:]
	}
	return nil
}

func testLargeUpload(t *testing.T, e env) {
	b := noise(large)
	got := make(chan []byte, 1)
	r := serve(t, e, listen.Options{}, func(s *script) {
		s.data = func(p []byte) listen.Verdict {
			all := append([]byte(nil), p...)
			buf := make([]byte, 30000)
			for len(all) < len(b) {
				n, err := s.link.Read(buf)
				all = append(all, buf[:n]...)
				if err != nil {
					t.Errorf("Read: %v", err)
					return listen.Abort
				}
			}
			got <- all
			s.send("thanks")
			return listen.Wait
		}
	})
	c, _ := r.connect()
	if _, err := c.Write(b); err != nil {
		t.Fatal(err)
	}
	hear(t, c, "thanks")
	if !bytes.Equal(<-got, b) {
		t.Error("what arrived is not what was sent")
	}
}

// One goroutine of the protocol reads, another writes, and neither waits for
// the other.
func testFullDuplex(t *testing.T, e env) {
	up, down := noise(large), noise(large+1)
	r := serve(t, e, listen.Options{}, func(s *script) {
		s.data = func(p []byte) listen.Verdict {
			var wg sync.WaitGroup
			wg.Go(func() {
				if err := pieces(s.link, down, 7000); err != nil {
					t.Errorf("write: %v", err)
				}
			})
			all := append([]byte(nil), p...)
			buf := make([]byte, 4000)
			for len(all) < len(up) {
				n, err := s.link.Read(buf)
				all = append(all, buf[:n]...)
				if err != nil {
					t.Errorf("Read after %d bytes: %v", len(all), err)
					break
				}
			}
			wg.Wait()
			if !bytes.Equal(all, up) {
				t.Error("what arrived is not what was sent")
			}
			return listen.Close
		}
	})
	c, _ := r.connect()
	// The client writes everything before it reads: a reader that waited for
	// the writer would hang.
	sent := make(chan error, 1)
	go func() {
		_, err := c.Write(up)
		sent <- err
	}()
	if err := receive(t, sent, "the server does not read while it writes"); err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(c)
	if err != nil || !bytes.Equal(got, down) {
		t.Fatalf("got %d bytes, %v", len(got), err)
	}
}

func testOneByteAtATime(t *testing.T, e env) {
	r := serve(t, e, listen.Options{}, echo)
	c, _ := r.connect()
	want := noise(300)
	go func() {
		for i := range want {
			if _, err := c.Write(want[i : i+1]); err != nil {
				return
			}
		}
	}()
	hear(t, c, string(want))
}

func testManyConnections(t *testing.T, e env) {
	const n = 1000
	r := serve(t, e, listen.Options{}, echo)
	clients := make([]net.Conn, n)
	for i := range clients {
		clients[i] = r.dial()
		say(t, clients[i], "first")
		hear(t, clients[i], "first")
	}
	var wg sync.WaitGroup
	for _, c := range clients {
		wg.Go(func() {
			b := make([]byte, 6)
			for range 10 {
				if _, err := io.WriteString(c, "second"); err != nil {
					t.Errorf("write: %v", err)
					return
				}
				if _, err := io.ReadFull(c, b); err != nil || string(b) != "second" {
					t.Errorf("read %q, %v", b, err)
					return
				}
			}
			c.Close()
		})
	}
	wg.Wait()
	for range n {
		receive(t, r.protos, "a connection is missing").lost()
	}
}

// Everything at once: messages split anywhere and pipelined, taken by Data or by
// Read, with and without Watch, with deadlines that pass, answered at once or
// late. What comes back must be what was sent.
func testDisorder(t *testing.T, e env) {
	const clients, messages = 20, 60
	var seed atomic.Uint64
	r := serve(t, e, listen.Options{}, func(s *script) { disorderly(s, seed.Add(1)) })
	var wg sync.WaitGroup
	for i := range clients {
		c := r.dial()
		wg.Go(func() {
			defer c.Close()
			dice := rand.New(rand.NewPCG(2, uint64(i)))
			var out []byte
			for range messages {
				n := 1 + dice.IntN(1<<dice.IntN(14))
				out = append(out, byte(n>>8), byte(n))
				out = append(out, noise(n)...)
			}
			go func() {
				dice := rand.New(rand.NewPCG(3, uint64(i)))
				for b := out; len(b) > 0; {
					n := min(len(b), 1+dice.IntN(1<<dice.IntN(15)))
					if _, err := c.Write(b[:n]); err != nil {
						return
					}
					b = b[n:]
					if dice.IntN(8) == 0 {
						pause(time.Duration(dice.IntN(3000)) * time.Microsecond)
					}
				}
			}()
			got := make([]byte, len(out))
			if n, err := io.ReadFull(c, got); err != nil || !bytes.Equal(got, out) {
				t.Errorf("client %d: %d of %d bytes, %v", i, n, len(out), err)
			}
		})
	}
	wg.Wait()
	for range clients {
		receive(t, r.protos, "a connection is missing").lost()
	}
}

// disorderly makes a protocol that echoes messages of a length and bytes.
func disorderly(s *script, seed uint64) {
	dice := rand.New(rand.NewPCG(4, seed))
	var in []byte
	more := func() bool { // by Read
		buf := make([]byte, 1+dice.IntN(5000))
		for {
			s.link.SetReadDeadline(time.Now().Add(time.Duration(dice.IntN(2000)) * time.Microsecond))
			n, err := s.link.Read(buf)
			in = append(in, buf[:n]...)
			if n > 0 || !errors.Is(err, os.ErrDeadlineExceeded) {
				s.link.SetReadDeadline(time.Time{})
				return n > 0
			}
		}
	}
	s.expired = func() listen.Verdict { return listen.Wait }
	s.data = func(p []byte) listen.Verdict {
		in = append(in, p...)
		if dice.IntN(3) == 0 {
			s.link.Watch()
		}
		for {
			for len(in) < 2 || len(in) < 2+int(in[0])<<8+int(in[1]) {
				if dice.IntN(2) == 0 {
					s.link.SetReadDeadline(time.Now().Add(time.Duration(dice.IntN(3000)) * time.Microsecond))
					return listen.Wait
				}
				if !more() {
					return listen.Close
				}
			}
			n := 2 + int(in[0])<<8 + int(in[1])
			if dice.IntN(5) == 0 {
				pause(time.Duration(dice.IntN(4000)) * time.Microsecond)
			}
			if dice.IntN(2) == 0 {
				s.link.End(append(s.link.Begin(), in[:n]...))
			} else if _, err := s.link.Write(in[:n]); err != nil {
				return listen.Abort
			}
			in = in[n:]
			if len(in) == 0 {
				return listen.Wait
			}
		}
	}
}

// readFrom uses the Link's io.ReaderFrom, or what takes its place.
func readFrom(l listen.Link, src io.Reader) (int64, error) {
	if rf, ok := l.(io.ReaderFrom); ok {
		if n, err := rf.ReadFrom(src); !errors.Is(err, errors.ErrUnsupported) {
			return n, err
		} else if n != 0 {
			return n, errors.New("unsupported, but some bytes are sent")
		}
	}
	return io.Copy(struct{ io.Writer }{l}, src)
}

func testReadFromFile(t *testing.T, e env) {
	b := noise(large)
	name := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(name, b, 0o600); err != nil {
		t.Fatal(err)
	}
	r := serve(t, e, listen.Options{}, func(s *script) {
		s.data = func([]byte) listen.Verdict {
			f, err := os.Open(name)
			if err != nil {
				t.Error(err)
				return listen.Abort
			}
			defer f.Close()
			s.send("head ")
			part := &io.LimitedReader{R: f, N: 100000}
			if n, err := readFrom(s.link, part); n != 100000 || err != nil || part.N != 0 {
				t.Errorf("part: %d, %v, %d left", n, err, part.N)
			}
			s.send(" middle ")
			if n, err := readFrom(s.link, f); n != int64(len(b)-100000) || err != nil {
				t.Errorf("rest: %d, %v", n, err)
			}
			s.send(" tail")
			return listen.Close
		}
	})
	c, _ := r.connect()
	say(t, c, "go")
	got, err := io.ReadAll(c)
	if want := "head " + string(b[:100000]) + " middle " + string(b[100000:]) + " tail"; err != nil || string(got) != want {
		t.Fatalf("got %d bytes, %v; want %d", len(got), err, len(want))
	}
}

// A source that is no file is sent, or left untouched.
func testReadFromOther(t *testing.T, e env) {
	r := serve(t, e, listen.Options{}, func(s *script) {
		s.data = func([]byte) listen.Verdict {
			if n, err := readFrom(s.link, bytes.NewReader([]byte("content"))); n != 7 || err != nil {
				t.Errorf("%d, %v", n, err)
			}
			return listen.Close
		}
	})
	c, _ := r.connect()
	say(t, c, "go")
	hear(t, c, "content")
	hearEnd(t, c, false)
}
