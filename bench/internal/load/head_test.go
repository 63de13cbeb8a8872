package load

import (
	"strings"
	"testing"
	"time"
)

const head = "HTTP/1.1 200 OK\r\nServer: x\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\nContent-Length: 13\r\n\r\n"

func TestHeadIsParsedAtEverySplit(t *testing.T) {
	for i := range len(head) {
		p := headParser{status: 200, length: 13}
		if n, err := p.parse([]byte(head[:i])); n != 0 || err != nil {
			t.Fatalf("first %d bytes: %d, %v", i, n, err)
		}
		if n, err := p.parse([]byte(head + "Hello")); n != len(head) || err != nil {
			t.Fatalf("whole head: %d, %v", n, err)
		}
	}
}

// TestRememberedHeadHidesNothing changes every byte of a head that equals the
// last one: only a change in the Date's value may pass.
func TestRememberedHeadHidesNothing(t *testing.T) {
	p := headParser{status: 200, length: 13}
	if _, err := p.parse([]byte(head)); err != nil {
		t.Fatal(err)
	}
	date := strings.Index(head, "Sun")
	for i := range len(head) {
		b := []byte(head)
		b[i]++
		inDate := i >= date && i < date+dateLen
		if p.matches(b) != inDate {
			t.Errorf("a change of byte %d (%q): matches %v", i, head[i], p.matches(b))
		}
	}
}

func TestReadHead(t *testing.T) {
	cases := []struct {
		head   string
		status int
		length int64
		ok     bool
	}{
		{"HTTP/1.1 101 Switching Protocols\r\nUpgrade: echo\r\n\r\n", 101, -1, true},
		{"HTTP/1.1 200 OK\r\ncontent-length:5\r\n\r\n", 200, 5, true},
		{"HTTP/1.1 204 No Content\r\n\r\n", 204, -1, true},
		{"HTTP/1.1 200 OK\r\nContent-Length: five\r\n\r\n", 0, 0, false},
		{"HTTP/1.1 2OO OK\r\n\r\n", 0, 0, false},
		{"HTTP/1.0 200 OK\r\n\r\n", 0, 0, false},
		{"garbage\r\n\r\n", 0, 0, false},
	}
	for _, c := range cases {
		status, length, _, err := readHead([]byte(c.head))
		if (err == nil) != c.ok || c.ok && (status != c.status || length != c.length) {
			t.Errorf("%q: %d, %d, %v", c.head, status, length, err)
		}
	}
}

func TestScheduleKeepsItsRate(t *testing.T) {
	s := newSchedule(40000, 2500*time.Millisecond)
	n, last := 0, int64(-1)
	for {
		at, ok := s.arrival()
		if !ok {
			break
		}
		if at <= last {
			t.Fatalf("arrival %d at %d ns, after one at %d ns", n, at, last)
		}
		n, last = n+1, at
		s.take()
	}
	if n != 100000 {
		t.Errorf("%d arrivals, want 100000", n)
	}
}
