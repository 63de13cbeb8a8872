//go:build linux && !noring

package ring

import (
	"bytes"
	"errors"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/windhover-server/windhover/listen"
	"github.com/windhover-server/windhover/ring/internal/uring"
)

// refusingLoop is a loop whose submission queue is full and whose kernel takes
// nothing from it: a ring made disabled (IORING_SETUP_R_DISABLED) answers every
// submission with EBADFD. errs gets what the loop reports.
func refusingLoop(t *testing.T) (l *loop, k *link, peer int, errs *[]error) {
	t.Helper()
	const setupDisabled = 1 << 6
	r, err := uring.New(uring.Config{Entries: 2, Need: setupDisabled})
	if err != nil {
		t.Skipf("no io_uring here: %v", err)
	}
	t.Cleanup(func() {
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	})
	for e := r.GetSQE(); e != nil; e = r.GetSQE() {
		e.PrepNop()
	}
	errs = new([]error)
	onError := func(err error) { *errs = append(*errs, err) }
	tr := &Transport{}
	tr.onError.Store(&onError)
	l = &loop{t: tr, ring: r}
	fd, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fd[1]) })
	k = &link{loop: l, fd: int32(fd[0]), srv: &server{t: tr, opt: listen.Options{ReceiveBuffer: 1, SendBuffer: 1}}}
	l.place(k)
	return l, k, fd[1], errs
}

// What cannot be given to the kernel is not forgotten: the link comes back to
// the loop, in the state it was in.
func TestFullSubmissionQueueBringsTheLinkBack(t *testing.T) {
	for _, c := range []struct {
		name string
		try  func(l *loop, k *link)
		bad  status // must not be set by an attempt that failed
	}{
		{"receive", func(l *loop, k *link) { l.receive(k) }, armed},
		{"cancel", func(l *loop, k *link) { k.status |= armed | detaching; l.receive(k) }, cancelled},
		{"poll", func(l *loop, k *link) { l.poll(k) }, polling},
		{"send", func(l *loop, k *link) { k.flight = newBuffer(); k.flight.add([]byte("x")); l.fly(k) }, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			l, k, _, errs := refusingLoop(t)
			defer unix.Close(int(k.fd))
			k.mu.Lock()
			c.try(l, k)
			k.mu.Unlock()
			if k.status&c.bad != 0 {
				t.Errorf("status %b says that the kernel has the request", k.status)
			}
			if k.status&queued == 0 || len(l.inbox.links) != 1 || l.inbox.links[0] != k {
				t.Errorf("the link is not in the inbox")
			}
			if len(*errs) != 1 || !errors.Is((*errs)[0], unix.EBADFD) {
				t.Errorf("reported %v, want one EBADFD", *errs)
			}
		})
	}
}

func TestFullSubmissionQueueKeepsTheOrderOfBytes(t *testing.T) {
	l, k, _, _ := refusingLoop(t)
	defer unix.Close(int(k.fd))
	k.mu.Lock()
	defer k.mu.Unlock()
	k.flight, k.tail = newBuffer(), newBuffer()
	k.flight.add([]byte("sent first"))
	k.flight.off = len("sent ")
	k.tail.add([]byte(" second"))
	l.fly(k)
	if k.flight != nil || !bytes.Equal(k.tail.rest(), []byte("first second")) {
		t.Fatalf("queue %q, flight %v", k.tail.rest(), k.flight)
	}
}

func TestFullSubmissionQueueClosesDirectly(t *testing.T) {
	l, k, peer, _ := refusingLoop(t)
	l.close(k.fd)
	if n, err := unix.Read(peer, make([]byte, 1)); n != 0 || err != nil {
		t.Fatalf("the peer reads %d, %v: the socket is still open", n, err)
	}
}
