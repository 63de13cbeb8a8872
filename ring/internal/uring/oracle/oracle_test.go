//go:build linux

package oracle

import (
	"reflect"
	"strings"
	"testing"
	"unsafe"

	"github.com/pawelgaczynski/giouring"
	"golang.org/x/sys/unix"

	"github.com/windhover-server/windhover/ring/internal/uring"
)

type bytes64 = [64]byte

// Each entry prepared by both, with values that fill every field they set.
func TestEntries(t *testing.T) {
	compared := 0
	buf := make([]byte, 777)
	addr := uintptr(unsafe.Pointer(unsafe.SliceData(buf)))
	const fd = 0x01234567
	for _, c := range []struct {
		name   string
		ours   func(*uring.SQE)
		theirs func(*giouring.SubmissionQueueEntry)
	}{
		{"nop",
			func(e *uring.SQE) { e.PrepNop() },
			func(e *giouring.SubmissionQueueEntry) { e.PrepareNop() }},
		{"accept multishot",
			func(e *uring.SQE) { e.PrepMultishotAccept(fd, unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC) },
			func(e *giouring.SubmissionQueueEntry) {
				e.PrepareMultishotAccept(fd, 0, 0, unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC)
			}},
		{"recv multishot with buffer selection",
			func(e *uring.SQE) { e.PrepRecvMultishot(fd, 0x1234, unix.MSG_TRUNC) },
			func(e *giouring.SubmissionQueueEntry) {
				e.PrepareRecvMultishot(fd, 0, 0, unix.MSG_TRUNC)
				e.Flags |= giouring.SqeBufferSelect
				e.BufIG = 0x1234
			}},
		{"recv with buffer selection",
			func(e *uring.SQE) { e.PrepRecv(fd, 0x1234, unix.MSG_TRUNC) },
			func(e *giouring.SubmissionQueueEntry) {
				e.PrepareRecv(fd, 0, 0, unix.MSG_TRUNC)
				e.Flags |= giouring.SqeBufferSelect
				e.BufIG = 0x1234
			}},
		{"send",
			func(e *uring.SQE) { e.PrepSend(fd, buf, unix.MSG_NOSIGNAL) },
			func(e *giouring.SubmissionQueueEntry) {
				e.PrepareSend(fd, addr, uint32(len(buf)), unix.MSG_NOSIGNAL)
			}},
		{"close",
			func(e *uring.SQE) { e.PrepClose(fd) },
			func(e *giouring.SubmissionQueueEntry) { e.PrepareClose(fd) }},
		{"shutdown",
			func(e *uring.SQE) { e.PrepShutdown(fd, unix.SHUT_RDWR) },
			func(e *giouring.SubmissionQueueEntry) { e.PrepareShutdown(fd, unix.SHUT_RDWR) }},
		{"cancel by user data",
			func(e *uring.SQE) { e.PrepCancel64(0x0123456789abcdef, uring.AsyncCancelAll) },
			func(e *giouring.SubmissionQueueEntry) {
				e.PrepareCancel64(0x0123456789abcdef, int(giouring.AsyncCancelAll))
			}},
		{"poll",
			func(e *uring.SQE) { e.PrepPollAdd(fd, unix.POLLOUT|unix.POLLRDHUP) },
			func(e *giouring.SubmissionQueueEntry) { e.PreparePollAdd(fd, unix.POLLOUT|unix.POLLRDHUP) }},
	} {
		var ours uring.SQE
		var theirs giouring.SubmissionQueueEntry
		c.ours(&ours)
		c.theirs(&theirs)
		ours.UserData, theirs.UserData = 0xfedcba9876543210, 0xfedcba9876543210
		a, b := *(*bytes64)(unsafe.Pointer(&ours)), *(*bytes64)(unsafe.Pointer(&theirs))
		if a != b {
			t.Errorf("%s:\nours   %x\ntheirs %x", c.name, a, b)
		}
		compared++
	}
	prepared := 0
	for m := range reflect.TypeFor[*uring.SQE]().Methods() {
		if strings.HasPrefix(m.Name, "Prep") {
			prepared++
		}
	}
	if compared != prepared {
		t.Errorf("compared %d entries; %d kinds can be prepared", compared, prepared)
	}
}

// A buffer published by us is the entry giouring would have written, at every
// place of a ring small enough for giouring's 16-bit arithmetic.
func TestBufferEntries(t *testing.T) {
	const n = 64
	r, err := uring.New(uring.Config{Entries: 8})
	if err != nil {
		t.Skipf("no io_uring here: %v", err)
	}
	defer r.Close()
	ours, err := r.NewBufRing(n, 3, false)
	if err != nil {
		t.Skipf("no buffer rings here: %v", err)
	}
	t.Cleanup(func() { _ = ours.Close() }) // lets the buffers go
	theirs := make([]giouring.BufAndRing, n)
	theirs[0].BufRingInit()
	mem := make([]byte, n*16)
	for i := range n {
		b := mem[i*16 : i*16+16-i%3]
		ours.Add(b, uint16(i))
		theirs[0].BufRingAdd(uintptr(unsafe.Pointer(&b[0])), uint32(len(b)), uint16(i), giouring.BufRingMask(n), 0)
		theirs[0].BufRingAdvance(1)
		shared := reflect.ValueOf(ours).Elem().FieldByName("mem").Bytes()
		got := unsafe.Slice((*giouring.BufAndRing)(unsafe.Pointer(unsafe.SliceData(shared))), n)
		for j := range n {
			if got[j] != theirs[j] {
				t.Fatalf("after buffer %d, entry %d: ours %+v, theirs %+v", i, j, got[j], theirs[j])
			}
		}
	}
}

// giouring's probe and ours agree on every operation.
func TestProbe(t *testing.T) {
	r, err := uring.New(uring.Config{Entries: 8})
	if err != nil {
		t.Skipf("no io_uring here: %v", err)
	}
	defer r.Close()
	ours, err := r.Probe()
	if err != nil {
		t.Fatal(err)
	}
	g, err := giouring.CreateRing(8)
	if err != nil {
		t.Fatal(err)
	}
	defer g.QueueExit()
	theirs, err := g.GetProbeRing()
	if err != nil {
		t.Fatal(err)
	}
	for op := range uint8(giouring.OpLast) {
		if ours.Has(op) != theirs.IsSupported(op) {
			t.Errorf("operation %d: supported %v here, %v by giouring", op, ours.Has(op), theirs.IsSupported(op))
		}
	}
}
