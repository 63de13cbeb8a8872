//go:build linux

package uring

import (
	"bytes"
	"errors"
	"runtime"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// newRing makes a ring or skips with the reason the kernel gave.
func newRing(t *testing.T, cfg Config) *Ring {
	t.Helper()
	r, err := New(cfg)
	if errors.Is(err, unix.ENOSYS) || errors.Is(err, unix.EPERM) || errors.Is(err, unix.EINVAL) {
		t.Skipf("no such io_uring here: %v", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	})
	return r
}

func wait(t *testing.T, r *Ring) CQE {
	t.Helper()
	for {
		if c, ok := r.PeekCQE(); ok {
			r.CQAdvance()
			return c
		}
		if err := r.SubmitAndWaitTimeout(1, 5*time.Second); err != nil && !errors.Is(err, unix.EINTR) {
			t.Fatal(err)
		}
	}
}

func socketpair(t *testing.T) (a, b int) {
	t.Helper()
	fd, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fd[0]); unix.Close(fd[1]) })
	return fd[0], fd[1]
}

func TestOffsets(t *testing.T) {
	var (
		e SQE
		c CQE
		p params
		b bufEntry
		g bufReg
		o probe
		v geteventsArg
		u rsrcUpdate
	)
	for _, f := range []struct {
		name      string
		got, want uintptr
	}{
		{"sqe.flags", unsafe.Offsetof(e.Flags), 1},
		{"sqe.ioprio", unsafe.Offsetof(e.IoPrio), 2},
		{"sqe.fd", unsafe.Offsetof(e.Fd), 4},
		{"sqe.off", unsafe.Offsetof(e.Off), 8},
		{"sqe.addr", unsafe.Offsetof(e.Addr), 16},
		{"sqe.len", unsafe.Offsetof(e.Len), 24},
		{"sqe.msg_flags", unsafe.Offsetof(e.OpFlags), 28},
		{"sqe.user_data", unsafe.Offsetof(e.UserData), 32},
		{"sqe.buf_group", unsafe.Offsetof(e.BufIG), 40},
		{"sqe.personality", unsafe.Offsetof(e.Personality), 42},
		{"sqe.splice_fd_in", unsafe.Offsetof(e.SpliceFdIn), 44},
		{"sqe.addr3", unsafe.Offsetof(e.Addr3), 48},
		{"cqe.res", unsafe.Offsetof(c.Res), 8},
		{"cqe.flags", unsafe.Offsetof(c.Flags), 12},
		{"params.features", unsafe.Offsetof(p.features), 20},
		{"params.sq_off", unsafe.Offsetof(p.sqOff), 40},
		{"params.sq_off.flags", unsafe.Offsetof(p.sqOff) + unsafe.Offsetof(p.sqOff.flags), 56},
		{"params.sq_off.array", unsafe.Offsetof(p.sqOff) + unsafe.Offsetof(p.sqOff.array), 64},
		{"params.cq_off", unsafe.Offsetof(p.cqOff), 80},
		{"params.cq_off.cqes", unsafe.Offsetof(p.cqOff) + unsafe.Offsetof(p.cqOff.cqes), 100},
		{"params.cq_off.flags", unsafe.Offsetof(p.cqOff) + unsafe.Offsetof(p.cqOff.flags), 104},
		{"buf.len", unsafe.Offsetof(b.len), 8},
		{"buf.bid", unsafe.Offsetof(b.bid), 12},
		{"buf_ring.tail", unsafe.Offsetof(b.tail), 14},
		{"buf_reg.ring_entries", unsafe.Offsetof(g.ringEntries), 8},
		{"buf_reg.bgid", unsafe.Offsetof(g.bgid), 12},
		{"buf_reg.flags", unsafe.Offsetof(g.flags), 14},
		{"probe.ops", unsafe.Offsetof(o.ops), 16},
		{"probe_op.flags", unsafe.Offsetof(o.ops[0].flags), 2},
		{"getevents_arg.ts", unsafe.Offsetof(v.ts), 16},
		{"rsrc_update.data", unsafe.Offsetof(u.data), 8},
	} {
		if f.got != f.want {
			t.Errorf("%s at offset %d, the kernel has it at %d", f.name, f.got, f.want)
		}
	}
}

func TestNopRoundTripsUserData(t *testing.T) {
	for _, flags := range []uint32{0, SetupSubmitAll | SetupCoopTaskrun | SetupTaskrunFlag | SetupNoSQArray} {
		r := newRing(t, Config{Entries: 8, Want: flags})
		for i := range uint64(50) { // around the queue several times
			e := r.GetSQE()
			e.PrepNop()
			e.UserData = i
			if c := wait(t, r); c.UserData != i || c.Res != 0 {
				t.Fatalf("flags %#x, nop %d: completion %+v", flags, i, c)
			}
		}
	}
}

func TestGetSQEReturnsNilWhenFull(t *testing.T) {
	r := newRing(t, Config{Entries: 4})
	for range 4 {
		r.GetSQE().PrepNop()
	}
	if r.GetSQE() != nil {
		t.Fatal("a fifth entry from a queue of four")
	}
	if n, err := r.SubmitAndGetEvents(); n != 4 || err != nil {
		t.Fatalf("submitted %d, %v", n, err)
	}
	if r.SQSpaceLeft() != 4 {
		t.Fatalf("%d free after submission", r.SQSpaceLeft())
	}
}

func TestOverflowedCompletionsAreKept(t *testing.T) {
	r := newRing(t, Config{Entries: 4, CQEntries: 4})
	if r.Features()&FeatNoDrop == 0 {
		t.Skip("kernel before 5.5: completions are dropped when the queue is full")
	}
	const n = 20
	for i := range uint64(n) {
		e := r.GetSQE()
		e.PrepNop()
		e.UserData = i
		if i%4 == 3 {
			_, _ = r.SubmitAndGetEvents() // EBUSY once completions have piled up
		}
		if r.SQSpaceLeft() == 0 {
			break
		}
	}
	if !r.NeedsEnter() {
		t.Fatal("overflow is not reported")
	}
	seen := uint64(0)
	for seen < n && (r.CQReady() > 0 || r.NeedsEnter() || r.SQReady() > 0) {
		for c, ok := r.PeekCQE(); ok; c, ok = r.PeekCQE() {
			if c.UserData != seen {
				t.Fatalf("completion %d where %d was due", c.UserData, seen)
			}
			seen++
		}
		r.CQAdvance()
		if _, err := r.SubmitAndGetEvents(); err != nil && !errors.Is(err, unix.EBUSY) {
			t.Fatal(err)
		}
	}
	if seen < 8 || r.CQOverflow() != 0 {
		t.Fatalf("saw %d completions, %d lost", seen, r.CQOverflow())
	}
}

func TestMultishotRecvIntoBufferRing(t *testing.T) {
	for _, inc := range []bool{false, true} {
		r := newRing(t, Config{Entries: 8})
		b, err := r.NewBufRing(4, 7, inc)
		if err != nil {
			t.Skipf("no buffer ring (since 5.19): %v", err)
		}
		t.Cleanup(func() { _ = b.Close() }) // lets the buffers go
		if inc && !b.Incremental() {
			t.Skip("no incremental consumption (since 6.12)")
		}
		for i := range uint16(4) {
			b.Add(make([]byte, 64), i)
		}
		us, peer := socketpair(t)
		e := r.GetSQE()
		e.PrepRecvMultishot(us, b.Group(), 0)
		e.UserData = 1
		want := []byte("0123456789")
		for i := range 60 {
			if _, err := unix.Write(peer, want); err != nil {
				t.Fatal(err)
			}
			var got []byte
			for len(got) < len(want) {
				c := wait(t, r)
				if c.Res <= 0 || c.Flags&CQEFBuffer == 0 || c.Flags&CQEFMore == 0 {
					t.Fatalf("inc %v, message %d: completion %+v", inc, i, c)
				}
				p, done := b.Take(c)
				got = append(got, p...)
				if done {
					b.Add(b.Mem(c.BufferID()), c.BufferID())
				} else if !inc {
					t.Fatal("buffer not done without incremental consumption")
				}
			}
			if !bytes.Equal(got, want) {
				t.Fatalf("inc %v, message %d: %q", inc, i, got)
			}
		}
		unix.Shutdown(peer, unix.SHUT_WR)
		if c := wait(t, r); c.Res != 0 || c.Flags&CQEFMore != 0 {
			t.Fatalf("end of stream: %+v", c)
		}
		if err := b.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestBufferRingWithMoreThan4096Entries(t *testing.T) {
	r := newRing(t, Config{Entries: 8})
	const n = 8192
	b, err := r.NewBufRing(n, 1, false)
	if err != nil {
		t.Skipf("no buffer ring: %v", err)
	}
	t.Cleanup(func() { _ = b.Close() }) // lets the buffers go
	mem := make([]byte, n)
	for i := range n {
		b.Add(mem[i:i+1], uint16(i))
	}
	us, peer := socketpair(t)
	msg := make([]byte, n)
	for i := range msg {
		msg[i] = byte(i*7 + i>>8)
	}
	if _, err := unix.Write(peer, msg); err != nil {
		t.Fatal(err)
	}
	r.GetSQE().PrepRecvMultishot(us, 1, 0)
	for i := range n {
		c := wait(t, r)
		if c.Flags&CQEFMore == 0 {
			r.GetSQE().PrepRecvMultishot(us, 1, 0)
		}
		if p, _ := b.Take(c); len(p) != 1 || p[0] != msg[i] || int(c.BufferID()) != i {
			t.Fatalf("byte %d: buffer %d holds %v, want %d", i, c.BufferID(), p, msg[i])
		}
	}
}

func TestEmptyBufferRingEndsRecv(t *testing.T) {
	r := newRing(t, Config{Entries: 8})
	b, err := r.NewBufRing(4, 1, true)
	if err != nil {
		t.Skipf("no buffer ring: %v", err)
	}
	t.Cleanup(func() { _ = b.Close() }) // lets the buffers go
	us, peer := socketpair(t)
	r.GetSQE().PrepRecvMultishot(us, b.Group(), 0)
	unix.Write(peer, []byte("x"))
	if c := wait(t, r); c.Res != -int32(unix.ENOBUFS) || c.Flags&CQEFMore != 0 {
		t.Fatalf("completion %+v", c)
	}
}

func TestSendCloseShutdownPollCancelAccept(t *testing.T) {
	r := newRing(t, Config{Entries: 8})
	us, peer := socketpair(t)
	r.GetSQE().PrepSend(us, []byte("hello"), unix.MSG_NOSIGNAL)
	if c := wait(t, r); c.Res != 5 {
		t.Fatalf("send: %+v", c)
	}
	r.GetSQE().PrepPollAdd(peer, unix.POLLIN)
	if c := wait(t, r); c.Res&unix.POLLIN == 0 {
		t.Fatalf("poll: %+v", c)
	}
	e := r.GetSQE()
	e.PrepPollAdd(us, unix.POLLIN)
	e.UserData = 9
	e = r.GetSQE()
	e.PrepCancel64(9, 0)
	e.Flags |= SQECQESkipSuccess
	if c := wait(t, r); c.UserData != 9 || c.Res != -int32(unix.ECANCELED) {
		t.Fatalf("cancelled poll: %+v", c)
	}
	r.GetSQE().PrepShutdown(us, unix.SHUT_WR)
	if c := wait(t, r); c.Res != 0 {
		t.Fatalf("shutdown: %+v", c)
	}
	buf := make([]byte, 10)
	if n, err := unix.Read(peer, buf); n != 5 || err != nil {
		t.Fatalf("peer read %d, %v", n, err)
	}
	if n, err := unix.Read(peer, buf); n != 0 || err != nil {
		t.Fatalf("peer read %d, %v after shutdown", n, err)
	}

	ln, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(ln)
	if err := unix.Bind(ln, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		t.Fatal(err)
	}
	if err := unix.Listen(ln, 8); err != nil {
		t.Fatal(err)
	}
	addr, err := unix.Getsockname(ln)
	if err != nil {
		t.Fatal(err)
	}
	r.GetSQE().PrepMultishotAccept(ln, unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK)
	for range 3 {
		c, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer unix.Close(c)
		if err := unix.Connect(c, addr); err != nil {
			t.Fatal(err)
		}
		q := wait(t, r)
		if q.Res < 0 || q.Flags&CQEFMore == 0 {
			t.Fatalf("accept: %+v", q)
		}
		r.GetSQE().PrepClose(int(q.Res))
		if q := wait(t, r); q.Res != 0 {
			t.Fatalf("close: %+v", q)
		}
	}
}

func TestEventfdIsSilentWhileSwitchedOff(t *testing.T) {
	r := newRing(t, Config{Entries: 8})
	fd, err := unix.Eventfd(0, unix.EFD_NONBLOCK|unix.EFD_CLOEXEC)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	if err := r.RegisterEventfd(fd); err != nil {
		t.Fatal(err)
	}
	var b [8]byte
	for _, on := range []bool{true, false, true} {
		r.SetEventfd(on)
		r.GetSQE().PrepNop()
		wait(t, r)
		if n, err := unix.Read(fd, b[:]); (err == nil) != on {
			t.Fatalf("signals %v: read %d, %v", on, n, err)
		}
	}
}

func TestProbeKnowsWhatThePackageUses(t *testing.T) {
	r := newRing(t, Config{Entries: 8})
	ops, err := r.Probe()
	if err != nil {
		t.Fatal(err)
	}
	for _, op := range []uint8{OpNop, OpPollAdd, OpAccept, OpAsyncCancel, OpClose, OpSend, OpRecv, OpShutdown} {
		if !ops.Has(op) {
			t.Errorf("operation %d is missing", op)
		}
	}
	if ops.Has(255) {
		t.Error("operation 255 is reported as supported")
	}
}

func TestWaitTimesOut(t *testing.T) {
	r := newRing(t, Config{Entries: 8})
	if err := r.SubmitAndWaitTimeout(1, time.Millisecond); !errors.Is(err, unix.ETIME) {
		t.Fatalf("waited: %v", err)
	}
}

func TestSetupGivesUpOptionalFlags(t *testing.T) {
	r := newRing(t, Config{Entries: 8, Want: 1<<31 | SetupSubmitAll})
	if r.Flags()&(1<<31) != 0 {
		t.Fatal("a flag no kernel knows was accepted")
	}
	if _, err := New(Config{Entries: 8, Need: 1 << 31}); !errors.Is(err, unix.EINVAL) {
		t.Fatalf("a needed flag no kernel knows: %v", err)
	}
}

func TestSendDoesNotBlock(t *testing.T) {
	us, _ := socketpair(t)
	p := make([]byte, 1<<20)
	for {
		_, err := Send(us, p, 0)
		if errors.Is(err, unix.EAGAIN) {
			return
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}
func TestRegisteredRingFd(t *testing.T) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	r := newRing(t, Config{Entries: 8})
	if err := r.RegisterRingFd(); err != nil {
		t.Skipf("no registered ring descriptors (since 5.18): %v", err)
	}
	r.GetSQE().PrepNop()
	if c := wait(t, r); c.Res != 0 {
		t.Fatalf("completion %+v", c)
	}
	if err := r.UnregisterRingFd(); err != nil {
		t.Fatal(err)
	}
	r.GetSQE().PrepNop()
	if c := wait(t, r); c.Res != 0 {
		t.Fatalf("completion %+v after unregistering", c)
	}
}
