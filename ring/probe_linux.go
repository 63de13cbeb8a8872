//go:build linux && !noring

package ring

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/windhover-server/windhover/ring/internal/uring"
)

// host is the part of the system that probing asks, so that tests can stand in
// for systems they do not run on.
type host struct {
	release  func() string
	setup    func(uring.Config) (*uring.Ring, error)
	disabled func() string // content of /proc/sys/kernel/io_uring_disabled
}

var thisHost = host{
	release: func() string {
		var u unix.Utsname
		if unix.Uname(&u) != nil {
			return ""
		}
		return unix.ByteSliceToString(u.Release[:])
	},
	setup: uring.New,
	disabled: func() string {
		b, _ := os.ReadFile("/proc/sys/kernel/io_uring_disabled") // absent before 6.6
		return strings.TrimSpace(string(b))
	},
}

// Probe finds out whether and how well io_uring works here. It makes a ring
// and receives something through it: what a kernel announces, a sandbox may
// still forbid.
func Probe() *Report { return probe(thisHost) }

func probe(h host) *Report {
	r := &Report{Kernel: h.release()}
	ring, err := h.setup(uring.Config{Entries: 8, Want: wantFlags})
	if err != nil {
		return r.fail(h, err)
	}
	defer ring.Close()
	var refused error
	r.Features, refused = features(ring)
	for _, f := range r.Features {
		if f.Need && !f.Found {
			if refused != nil {
				return r.fail(h, refused)
			}
			return r.fail(h, fmt.Errorf("%w: no %s", errTooOld, f.Name))
		}
	}
	if err := roundTrip(ring); err != nil {
		return r.fail(h, err)
	}
	return r
}

func (r *Report) fail(h host, err error) *Report {
	e := unavailable(h, err)
	r.Cause, r.Err = e.Cause, e
	return r
}

var errTooOld = errors.New("a needed feature is missing")

// unavailable finds the cause behind an error.
func unavailable(h host, err error) *UnavailableError {
	cause := Failed
	switch {
	case errors.Is(err, unix.ENOSYS):
		cause = NoSystemCall
	case errors.Is(err, unix.EPERM), errors.Is(err, unix.EACCES):
		cause = Denied
		if d := h.disabled(); d == "1" || d == "2" {
			cause = Disabled
		}
	case errors.Is(err, unix.EINVAL), errors.Is(err, errTooOld), errors.Is(err, unix.EOPNOTSUPP):
		cause = TooOld
	case errors.Is(err, unix.ENOMEM):
		cause = LockedMemory
	case errors.Is(err, unix.EMFILE), errors.Is(err, unix.ENFILE):
		cause = FileLimit
	}
	return &UnavailableError{Cause: cause, Err: err}
}

// features looks for everything the ring can use. refused is why looking
// failed, if not because the kernel does not know what was asked for.
func features(r *uring.Ring) (found []Feature, refused error) {
	ops, err := r.Probe()
	if err != nil {
		ops = new(uring.Ops)
	}
	bufs, inc := false, false
	b, bufErr := r.NewBufRing(2, 1, true)
	if bufErr == nil {
		bufs, inc = true, b.Incremental()
		_ = b.Close() // only made to see
	}
	if err = cmp.Or(err, bufErr); err != nil && !errors.Is(err, unix.EINVAL) {
		refused = err
	}
	has := func(flag uint32) bool { return r.Flags()&flag != 0 }
	found = []Feature{
		{Name: "receive and send", Since: "5.6", Need: true, Found: ops.Has(uring.OpRecv) && ops.Has(uring.OpSend)},
		{Name: "provided buffer rings", Since: "5.19", Need: true, Found: bufs},
		{Name: "completions kept on overflow", Since: "5.5", Need: true, Found: r.Features()&uring.FeatNoDrop != 0},
		{Name: "cooperative task running", Since: "5.19", Found: has(uring.SetupCoopTaskrun),
			Cost: "an interrupt for every batch of completions, up to twice the CPU time per request"},
		{Name: "submission goes on after an error", Since: "5.18", Found: has(uring.SetupSubmitAll),
			Cost: "one more system call per failed operation"},
		{Name: "silent success", Since: "5.17", Found: r.Features()&uring.FeatCQESkip != 0,
			Cost: "one more completion per closed connection"},
		{Name: "submission queue without index", Since: "6.6", Found: has(uring.SetupNoSQArray),
			Cost: "a memory access per operation"},
		{Name: "incremental buffer consumption", Since: "6.12", Found: inc,
			Cost: "more and smaller receive buffers, shorter receptions"},
	}
	return found, refused
}

// roundTrip sends a few bytes over a socket pair and receives them with what
// the transport uses: a multishot receive into a buffer ring (since 6.0).
func roundTrip(r *uring.Ring) error {
	fd, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return os.NewSyscallError("socketpair", err)
	}
	bufs, err := r.NewBufRing(2, 0, true)
	if err != nil {
		_ = unix.Close(fd[0])
		_ = unix.Close(fd[1])
		return err
	}
	for i := range uint16(2) {
		bufs.Add(make([]byte, 64), i)
	}
	r.GetSQE().PrepRecvMultishot(fd[0], bufs.Group(), 0)
	err = exchange(r, bufs, fd[1])
	_ = unix.Close(fd[1]) // ends the receive
	if err == nil {
		var c uring.CQE
		if c, err = await(r); err == nil && c.Res != 0 {
			err = fmt.Errorf("%w: end of stream was received as %d", errTooOld, c.Res)
		}
	}
	_ = unix.Close(fd[0])
	return errors.Join(err, bufs.Close())
}

func exchange(r *uring.Ring, bufs *uring.BufRing, peer int) error {
	for _, msg := range []string{"wind", "hover"} { // twice: multishot must live on
		if _, err := unix.Write(peer, []byte(msg)); err != nil {
			return os.NewSyscallError("write", err)
		}
		c, err := await(r)
		switch {
		case err != nil:
			return err
		case c.Res < 0:
			return os.NewSyscallError("recv", unix.Errno(-c.Res))
		case c.Flags&uring.CQEFBuffer == 0 || c.Flags&uring.CQEFMore == 0:
			return fmt.Errorf("%w: no multishot receive", errTooOld)
		}
		p, done := bufs.Take(c)
		if string(p) != msg {
			return fmt.Errorf("received %q instead of %q", p, msg)
		}
		if done {
			bufs.Add(bufs.Mem(c.BufferID()), c.BufferID())
		}
	}
	return nil
}

// await returns the next completion, or an error when none comes.
func await(r *uring.Ring) (uring.CQE, error) {
	for range 10 {
		if c, ok := r.PeekCQE(); ok {
			r.CQAdvance()
			return c, nil
		}
		err := r.SubmitAndWaitTimeout(1, time.Second)
		if err != nil && !errors.Is(err, unix.EINTR) {
			return uring.CQE{}, os.NewSyscallError("io_uring_enter", err)
		}
	}
	return uring.CQE{}, errors.New("ring: no completion")
}
