package proto

import (
	"bytes"
	"io"
	"net"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/windhover-server/windhover/listen"
)

// testLink is a listen.Link without a transport: the test plays the
// transport's part on the same goroutine. more is what Read delivers.
type testLink struct {
	mu      sync.Mutex
	out     []byte
	more    [][]byte
	eof     bool // Read ends with io.EOF instead of a timeout
	read    time.Time
	left    int
	watched int
	aborted bool
	werr    error
}

func (l *testLink) Begin() []byte { l.mu.Lock(); return l.out }
func (l *testLink) End(b []byte)  { l.out = b; l.mu.Unlock() }
func (l *testLink) Flush() error  { return l.werr }
func (l *testLink) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.werr != nil {
		return 0, l.werr
	}
	l.out = append(l.out, p...)
	return len(p), nil
}

func (l *testLink) Read(p []byte) (int, error) {
	if len(l.more) == 0 {
		if l.eof {
			return 0, io.EOF
		}
		return 0, os.ErrDeadlineExceeded
	}
	n := copy(p, l.more[0])
	if l.more[0] = l.more[0][n:]; len(l.more[0]) == 0 {
		l.more = l.more[1:]
	}
	return n, nil
}
func (l *testLink) SetReadDeadline(t time.Time)        { l.read = t }
func (l *testLink) SetWriteDeadline(time.Time)         {}
func (l *testLink) SetSendRate(float64, time.Duration) {}
func (l *testLink) Watch()                             { l.watched++ }
func (l *testLink) Leave()                             { l.left++ }
func (l *testLink) Detach() (net.Conn, []byte, error)  { return nil, nil, net.ErrClosed }
func (l *testLink) NetConn() net.Conn                  { return nil }
func (l *testLink) CloseWrite() error                  { return nil }
func (l *testLink) Abort()                             { l.aborted = true }
func (l *testLink) LocalAddr() net.Addr                { return testAddr("local") }
func (l *testLink) RemoteAddr() net.Addr               { return testAddr("remote") }

type testAddr string

func (testAddr) Network() string  { return "test" }
func (a testAddr) String() string { return string(a) }

// open makes a connection of svc on a testLink.
func open(t testing.TB, svc *Service) (*Conn, *testLink) {
	t.Helper()
	if err := svc.Prepare(); err != nil {
		t.Fatal(err)
	}
	l := new(testLink)
	return svc.Accept(l).(*Conn), l
}

// play feeds input cut at the offsets, each piece in memory of its own that is
// overwritten afterwards, and returns the output and the last verdict.
func play(t testing.TB, svc *Service, input string, cuts ...int) (string, listen.Verdict) {
	t.Helper()
	c, l := open(t, svc)
	v := listen.Wait
	prev := 0
	for _, cut := range append(cuts, len(input)) {
		if cut <= prev && cut != len(input) || v != listen.Wait {
			continue
		}
		piece := bytes.Clone([]byte(input[prev:cut]))
		piece = piece[:len(piece):len(piece)]
		prev = cut
		if len(piece) == 0 {
			continue
		}
		v = c.Data(piece)
		for i := range piece {
			piece[i] = 0xEE
		}
	}
	return string(l.out), v
}
