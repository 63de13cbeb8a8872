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
	}
}

func TestFlags(t *testing.T) {
	for _, c := range []struct {
		name         string
		ours, theirs uint64
	}{
		{"OpNop", uring.OpNop, uint64(giouring.OpNop)},
		{"OpPollAdd", uring.OpPollAdd, uint64(giouring.OpPollAdd)},
		{"OpAccept", uring.OpAccept, uint64(giouring.OpAccept)},
		{"OpAsyncCancel", uring.OpAsyncCancel, uint64(giouring.OpAsyncCancel)},
		{"OpClose", uring.OpClose, uint64(giouring.OpClose)},
		{"OpSend", uring.OpSend, uint64(giouring.OpSend)},
		{"OpRecv", uring.OpRecv, uint64(giouring.OpRecv)},
		{"OpShutdown", uring.OpShutdown, uint64(giouring.OpShutdown)},
		{"SQEIOLink", uring.SQEIOLink, uint64(giouring.SqeIOLink)},
		{"SQEBufferSelect", uring.SQEBufferSelect, uint64(giouring.SqeBufferSelect)},
		{"SQECQESkipSuccess", uring.SQECQESkipSuccess, uint64(giouring.SqeCQESkipSuccess)},
		{"SetupCQSize", uring.SetupCQSize, uint64(giouring.SetupCQSize)},
		{"SetupClamp", uring.SetupClamp, uint64(giouring.SetupClamp)},
		{"SetupSubmitAll", uring.SetupSubmitAll, uint64(giouring.SetupSubmitAll)},
		{"SetupCoopTaskrun", uring.SetupCoopTaskrun, uint64(giouring.SetupCoopTaskrun)},
		{"SetupTaskrunFlag", uring.SetupTaskrunFlag, uint64(giouring.SetupTaskrunFlag)},
		{"SetupSingleIssuer", uring.SetupSingleIssuer, uint64(giouring.SetupSingleIssuer)},
		{"SetupDeferTaskrun", uring.SetupDeferTaskrun, uint64(giouring.SetupDeferTaskrun)},
		{"FeatSingleMmap", uring.FeatSingleMmap, uint64(giouring.FeatSingleMMap)},
		{"FeatNoDrop", uring.FeatNoDrop, uint64(giouring.FeatNoDrop)},
		{"FeatFastPoll", uring.FeatFastPoll, uint64(giouring.FeatFastPoll)},
		{"FeatExtArg", uring.FeatExtArg, uint64(giouring.FeatExtArg)},
		{"FeatCQESkip", uring.FeatCQESkip, uint64(giouring.FeatCQESkip)},
		{"CQEFBuffer", uring.CQEFBuffer, uint64(giouring.CQEFBuffer)},
		{"CQEFMore", uring.CQEFMore, uint64(giouring.CQEFMore)},
		{"CQEFSockNonEmpty", uring.CQEFSockNonEmpty, uint64(giouring.CQEFSockNonempty)},
		{"RecvsendPollFirst", uring.RecvsendPollFirst, uint64(giouring.RecvsendPollFirst)},
		{"RecvMultishot", uring.RecvMultishot, uint64(giouring.RecvMultishot)},
		{"AcceptMultishot", uring.AcceptMultishot, uint64(giouring.AcceptMultishot)},
		{"AsyncCancelAll", uring.AsyncCancelAll, uint64(giouring.AsyncCancelAll)},
		{"AsyncCancelFd", uring.AsyncCancelFd, uint64(giouring.AsyncCancelFd)},
		{"AsyncCancelAny", uring.AsyncCancelAny, uint64(giouring.AsyncCancelAny)},
		{"SQCQOverflow", uring.SQCQOverflow, uint64(giouring.SQCQOverflow)},
		{"SQTaskrun", uring.SQTaskrun, uint64(giouring.SQTaskrun)},
	} {
		if c.ours != c.theirs {
			t.Errorf("%s is %#x here and %#x in giouring", c.name, c.ours, c.theirs)
		}
	}
}

// Every field of the shared structures lies where giouring has it.
func TestOffsets(t *testing.T) {
	compare(t, reflect.TypeFor[uring.SQE](), reflect.TypeFor[giouring.SubmissionQueueEntry](), map[string]string{"opflags": "opcodeflags"})
	compare(t, reflect.TypeFor[uring.CQE](), reflect.TypeFor[giouring.CompletionQueueEvent](), nil)
	params, theirs := field(t, reflect.TypeFor[uring.Ring](), "params"), reflect.TypeFor[giouring.Params]()
	compare(t, params, theirs, nil)
	compare(t, field(t, params, "sqOff"), field(t, theirs, "sqOff"), nil)
	compare(t, field(t, params, "cqOff"), field(t, theirs, "cqOff"), nil)
	compare(t, field(t, reflect.TypeFor[uring.BufRing](), "entries").Elem(), reflect.TypeFor[giouring.BufAndRing](), nil)
}

func field(t *testing.T, of reflect.Type, name string) reflect.Type {
	t.Helper()
	f, ok := of.FieldByName(name)
	if !ok {
		t.Fatalf("%v has no field %s", of, name)
	}
	return f.Type
}

func compare(t *testing.T, ours, theirs reflect.Type, rename map[string]string) {
	t.Helper()
	if ours.Size() != theirs.Size() {
		t.Errorf("%v has %d bytes, %v has %d", ours, ours.Size(), theirs, theirs.Size())
	}
	offsets := map[string]uintptr{}
	for i := range theirs.NumField() {
		f := theirs.Field(i)
		offsets[strings.ToLower(f.Name)] = f.Offset
	}
	for i := range ours.NumField() {
		f := ours.Field(i)
		if f.Name == "_" {
			continue
		}
		name := strings.ToLower(f.Name)
		if r, ok := rename[name]; ok {
			name = r
		}
		if want, ok := offsets[name]; !ok || want != f.Offset {
			t.Errorf("%v.%s lies at %d, in giouring at %d (known: %v)", ours, f.Name, f.Offset, want, ok)
		}
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
