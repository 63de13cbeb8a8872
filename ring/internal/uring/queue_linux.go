//go:build linux

package uring

import (
	"errors"
	"os"
	"runtime"
	"sync/atomic"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Config says what kind of ring New makes.
type Config struct {
	// Entries is the size of the submission queue, rounded up to a power of
	// two; at most 32,768.
	Entries uint32
	// CQEntries is the size of the completion queue; 0 is twice Entries.
	CQEntries uint32
	// Need are setup flags without which New fails.
	Need uint32
	// Want are setup flags that are given up, the newest first, when the
	// kernel refuses them with EINVAL.
	Want uint32
}

// Ring is an io_uring instance with its queues mapped.
type Ring struct {
	fd       int
	enterFd  int
	enterAdd uint32 // enterRegisteredRing when enterFd is an index
	params   params // as the kernel answered

	rings  []byte // mapping of both queues (or of the submission queue)
	cqMap  []byte // mapping of the completion queue where it is separate
	sqeMap []byte

	sqHead    *uint32 // written by the kernel
	sqTail    *uint32
	sqFlags   *uint32 // written by the kernel
	sqMask    uint32
	sqEntries uint32
	sqes      *SQE
	tail      uint32 // our copy of *sqTail, ahead of it until flushed

	cqHead     *uint32
	cqTail     *uint32 // written by the kernel
	cqOverflow *uint32 // written by the kernel
	cqMask     uint32
	cqes       *CQE
	cqFlags    *uint32
	head       uint32 // our copy of *cqHead, ahead of it until CQAdvance

	timeout unix.Timespec // of SubmitAndWaitTimeout, at a fixed address
}

// New creates a ring (io_uring_queue_init_params) and maps its queues. The
// error is the system call's.
func New(cfg Config) (*Ring, error) {
	want := cfg.Want
	for {
		p := params{flags: cfg.Need | want}
		if cfg.CQEntries != 0 {
			p.flags |= SetupCQSize
			p.cqEntries = cfg.CQEntries
		}
		fd, err := setup(cfg.Entries, &p)
		if err == nil {
			return mapRing(fd, &p)
		}
		if !errors.Is(err, unix.EINVAL) || want == 0 {
			return nil, os.NewSyscallError("io_uring_setup", err)
		}
		want = dropNewest(want)
	}
}

// dropNewest clears the highest bit: setup flags were numbered as kernels
// learned them. SetupTaskrunFlag is refused without one of the task-run modes.
func dropNewest(flags uint32) uint32 {
	top := uint32(1) << 31
	for flags&top == 0 {
		top >>= 1
	}
	return flags &^ top
}

func setup(entries uint32, p *params) (int, error) {
	// SAFETY: p outlives the call, which reads and writes exactly its 120 bytes.
	fd, _, errno := unix.Syscall(unix.SYS_IO_URING_SETUP, uintptr(entries), uintptr(unsafe.Pointer(p)), 0)
	if errno != 0 {
		return -1, errno
	}
	unix.CloseOnExec(int(fd))
	return int(fd), nil
}

func mapRing(fd int, p *params) (*Ring, error) {
	r := &Ring{fd: fd, enterFd: fd, params: *p}
	sqSize := int(p.sqOff.array) + int(p.sqEntries)*4
	if p.flags&SetupNoSQArray != 0 {
		sqSize = 0 // the head and tail words lie in front of the completions
	}
	cqSize := int(p.cqOff.cqes) + int(p.cqEntries)*int(unsafe.Sizeof(CQE{}))
	if p.features&FeatSingleMmap != 0 || sqSize == 0 {
		sqSize = max(sqSize, cqSize)
	}
	const prot, flags = unix.PROT_READ | unix.PROT_WRITE, unix.MAP_SHARED | unix.MAP_POPULATE
	var err error
	if r.rings, err = unix.Mmap(fd, offSQRing, sqSize, prot, flags); err != nil {
		return nil, r.fail("mmap", err)
	}
	cq := r.rings
	if p.features&FeatSingleMmap == 0 {
		if r.cqMap, err = unix.Mmap(fd, offCQRing, cqSize, prot, flags); err != nil {
			return nil, r.fail("mmap", err)
		}
		cq = r.cqMap
	}
	if r.sqeMap, err = unix.Mmap(fd, offSQEs, int(p.sqEntries)*int(unsafe.Sizeof(SQE{})), prot, flags); err != nil {
		return nil, r.fail("mmap", err)
	}
	r.point(p, cq)
	return r, nil
}

func (r *Ring) fail(call string, err error) error {
	_ = r.Close() // the first error is the one to report
	return os.NewSyscallError(call, err)
}

// point finds the shared words inside the mappings.
func (r *Ring) point(p *params, cq []byte) {
	r.sqHead = word(r.rings, p.sqOff.head)
	r.sqTail = word(r.rings, p.sqOff.tail)
	r.sqFlags = word(r.rings, p.sqOff.flags)
	r.sqEntries = *word(r.rings, p.sqOff.ringEntries)
	r.sqMask = *word(r.rings, p.sqOff.ringMask)
	// SAFETY: the mapping is page-aligned and holds sqEntries entries.
	r.sqes = (*SQE)(unsafe.Pointer(unsafe.SliceData(r.sqeMap)))
	r.tail = *r.sqTail

	r.cqHead = word(cq, p.cqOff.head)
	r.cqTail = word(cq, p.cqOff.tail)
	r.cqOverflow = word(cq, p.cqOff.overflow)
	r.cqFlags = word(cq, p.cqOff.flags)
	r.cqMask = *word(cq, p.cqOff.ringMask)
	// SAFETY: the kernel gave the offset, 64-byte aligned, with room for cqEntries.
	r.cqes = (*CQE)(unsafe.Pointer(&cq[p.cqOff.cqes]))
	r.head = *r.cqHead

	if p.flags&SetupNoSQArray == 0 {
		// The index array is filled once: entry i is always in slot i.
		for i := uint32(0); i < r.sqEntries; i++ {
			*word(r.rings, p.sqOff.array+4*i) = i
		}
	}
}

// word returns the 32-bit word at offset off of a mapping, bounds-checked.
func word(m []byte, off uint32) *uint32 {
	_ = m[off+3]
	// SAFETY: in bounds by the line above; the kernel aligns its words.
	return (*uint32)(unsafe.Pointer(&m[off]))
}

// Close closes the ring and unmaps its queues (io_uring_queue_exit). Requests
// in flight are cancelled by the kernel, some time after Close returns: memory
// they use must be kept reachable by its owner.
func (r *Ring) Close() error {
	var first error
	for _, m := range []*[]byte{&r.sqeMap, &r.cqMap, &r.rings} {
		if *m != nil {
			if err := unix.Munmap(*m); first == nil {
				first = err
			}
			*m = nil
		}
	}
	if err := unix.Close(r.fd); first == nil {
		first = err
	}
	return first
}

// Fd is the ring's file descriptor. It polls readable when completions wait.
func (r *Ring) Fd() int { return r.fd }

// Flags are the setup flags the ring was made with.
func (r *Ring) Flags() uint32 { return r.params.flags }

// Features are the kernel's FeatXxx bits.
func (r *Ring) Features() uint32 { return r.params.features }

// GetSQE returns the next free submission entry, zeroed, or nil when the
// queue is full and must be submitted first (io_uring_get_sqe).
func (r *Ring) GetSQE() *SQE {
	if r.tail-atomic.LoadUint32(r.sqHead) >= r.sqEntries {
		return nil
	}
	// SAFETY: the masked index is below sqEntries, the length of the mapping.
	e := (*SQE)(unsafe.Add(unsafe.Pointer(r.sqes), uintptr(r.tail&r.sqMask)*unsafe.Sizeof(SQE{})))
	*e = SQE{}
	r.tail++
	return e
}

// SQReady counts entries prepared but not yet taken by the kernel
// (io_uring_sq_ready).
func (r *Ring) SQReady() uint32 { return r.tail - atomic.LoadUint32(r.sqHead) }

// SQSpaceLeft counts the entries GetSQE can still return
// (io_uring_sq_space_left).
func (r *Ring) SQSpaceLeft() uint32 { return r.sqEntries - r.SQReady() }

// SubmitAndGetEvents gives every prepared entry to the kernel and lets it run
// and post what is complete, without waiting (io_uring_submit_and_get_events).
// It returns how many entries the kernel took. EBUSY means that overflowed
// completions must be reaped first, EAGAIN that memory is short.
func (r *Ring) SubmitAndGetEvents() (int, error) {
	atomic.StoreUint32(r.sqTail, r.tail)
	// Raw: the call works but does not sleep, and Go's scheduler, if told of it,
	// would take the P away from a long batch and give it back right after.
	n, _, errno := unix.RawSyscall6(unix.SYS_IO_URING_ENTER, uintptr(r.enterFd), uintptr(r.SQReady()), 0,
		uintptr(enterGetevents|r.enterAdd), 0, 0)
	if errno != 0 {
		return 0, errno
	}
	return int(n), nil
}

// SubmitAndWaitTimeout submits as SubmitAndGetEvents does and waits until n
// completions are there or d has passed, which is reported as ETIME. EINTR is
// possible (io_uring_submit_and_wait_timeout; since 5.11).
func (r *Ring) SubmitAndWaitTimeout(n uint32, d time.Duration) error {
	atomic.StoreUint32(r.sqTail, r.tail)
	r.timeout = unix.NsecToTimespec(int64(d))
	// SAFETY: r is on the heap, so its field keeps the address that arg names
	// by number; arg itself is converted in the call.
	arg := geteventsArg{ts: uint64(uintptr(unsafe.Pointer(&r.timeout)))}
	_, _, errno := unix.Syscall6(unix.SYS_IO_URING_ENTER, uintptr(r.enterFd), uintptr(r.SQReady()), uintptr(n),
		uintptr(enterGetevents|enterExtArg|r.enterAdd), uintptr(unsafe.Pointer(&arg)), unsafe.Sizeof(arg))
	runtime.KeepAlive(r)
	if errno != 0 {
		return errno
	}
	return nil
}

// PeekCQE copies the oldest completion that has not been taken yet, without
// entering the kernel. The kernel may reuse its place only after CQAdvance.
func (r *Ring) PeekCQE() (CQE, bool) {
	if r.head == atomic.LoadUint32(r.cqTail) {
		return CQE{}, false
	}
	// SAFETY: the masked index is below cqEntries, the length of the mapping.
	e := *(*CQE)(unsafe.Add(unsafe.Pointer(r.cqes), uintptr(r.head&r.cqMask)*unsafe.Sizeof(CQE{})))
	r.head++
	return e, true
}

// CQAdvance gives the places of all taken completions back to the kernel
// (io_uring_cq_advance).
func (r *Ring) CQAdvance() { atomic.StoreUint32(r.cqHead, r.head) }

// CQReady counts the completions that PeekCQE would return (io_uring_cq_ready).
func (r *Ring) CQReady() uint32 { return atomic.LoadUint32(r.cqTail) - r.head }

// CQPending reports whether the kernel has posted completions whose places
// have not been given back. It may be called from any goroutine.
func (r *Ring) CQPending() bool {
	return atomic.LoadUint32(r.cqTail) != atomic.LoadUint32(r.cqHead)
}

// NeedsEnter reports whether completions wait inside the kernel: for a thread
// to run them (SetupTaskrunFlag) or for room in the queue. It may be called
// from any goroutine.
func (r *Ring) NeedsEnter() bool {
	return atomic.LoadUint32(r.sqFlags)&(SQTaskrun|SQCQOverflow) != 0
}

// CQOverflow counts completions that were lost for want of room; it stays 0
// on kernels with FeatNoDrop.
func (r *Ring) CQOverflow() uint32 { return atomic.LoadUint32(r.cqOverflow) }
