//go:build linux

package uring

import (
	"os"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"
)

// register is io_uring_register(2). arg must point to what opcode expects.
func (r *Ring) register(opcode uint, arg unsafe.Pointer, n int) error {
	// SAFETY: each caller passes a pointer to a live variable of the type that
	// the opcode names; the conversion happens in the call, as unsafe requires.
	_, _, errno := unix.Syscall6(unix.SYS_IO_URING_REGISTER, uintptr(r.fd), uintptr(opcode), uintptr(arg), uintptr(n), 0, 0)
	if errno != 0 {
		return errno
	}
	return nil
}

// Ops is the set of operations a kernel supports.
type Ops [probeOps]bool

// Has reports whether operation op is supported.
func (o *Ops) Has(op uint8) bool { return o[op] }

// Probe asks the kernel which operations it knows (io_uring_get_probe_ring;
// since 5.6).
func (r *Ring) Probe() (*Ops, error) {
	var p probe
	// SAFETY: p is a live struct io_uring_probe with room for probeOps.
	if err := r.register(registerProbe, unsafe.Pointer(&p), probeOps); err != nil {
		return nil, os.NewSyscallError("io_uring_register", err)
	}
	var o Ops
	for _, op := range p.ops[:p.opsLen] {
		o[op.op] = op.flags&probeOpSupported != 0
	}
	return &o, nil
}

// RegisterRingFd lets the calling thread enter the ring by an index, which
// spares the kernel a descriptor look-up (io_uring_register_ring_fd; since
// 5.18). The index is the thread's own: the goroutine must be locked to its
// thread from here until UnregisterRingFd or Close.
func (r *Ring) RegisterRingFd() error {
	up := rsrcUpdate{offset: ^uint32(0), data: uint64(r.fd)}
	// SAFETY: up is one live struct io_uring_rsrc_update.
	if err := r.register(registerRingFds, unsafe.Pointer(&up), 1); err != nil {
		return os.NewSyscallError("io_uring_register", err)
	}
	r.enterFd, r.enterAdd = int(up.offset), enterRegisteredRing
	return nil
}

// UnregisterRingFd undoes RegisterRingFd (io_uring_unregister_ring_fd).
func (r *Ring) UnregisterRingFd() error {
	up := rsrcUpdate{offset: uint32(r.enterFd)}
	// SAFETY: up is one live struct io_uring_rsrc_update.
	if err := r.register(unregisterRingFds, unsafe.Pointer(&up), 1); err != nil {
		return os.NewSyscallError("io_uring_register", err)
	}
	r.enterFd, r.enterAdd = r.fd, 0
	return nil
}

// RegisterEventfd makes the kernel signal the eventfd fd when it posts a
// completion, unless SetEventfd has switched that off
// (io_uring_register_eventfd; since 5.2).
func (r *Ring) RegisterEventfd(fd int) error {
	n := int32(fd)
	// SAFETY: n is one live descriptor number.
	if err := r.register(registerEventfd, unsafe.Pointer(&n), 1); err != nil {
		return os.NewSyscallError("io_uring_register", err)
	}
	return nil
}

// SetEventfd switches eventfd signals on or off by a word of shared memory
// (io_uring_cq_eventfd_toggle; since 5.8). It is ordered before the loads that
// follow: completions posted before a signal could be sent are seen by a
// CQPending after SetEventfd(true).
func (r *Ring) SetEventfd(on bool) {
	if on {
		atomic.StoreUint32(r.cqFlags, 0)
	} else {
		atomic.StoreUint32(r.cqFlags, cqEventfdDisabled)
	}
}
