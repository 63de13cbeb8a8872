//go:build linux

package uring

import (
	"os"
	"runtime"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"
)

// BufRing is a ring of provided buffers (io_uring_setup_buf_ring; since 5.19)
// from which receive operations pick. It remembers which memory each buffer ID
// names, and keeps that memory reachable and pinned while the kernel may write
// to it.
type BufRing struct {
	ring    *Ring
	mem     []byte // the shared ring of entries
	entries *bufEntry
	mask    uint16
	tail    uint16
	bid0    uint16 // the buffer ID in entry 0, whose word also holds the tail
	group   uint16
	inc     bool

	bufs []buffer // by buffer ID
}

type buffer struct {
	mem []byte
	off int // how much of mem the kernel has used up (incremental consumption)
	pin runtime.Pinner
}

// NewBufRing registers an empty buffer ring with n places (a power of two, at
// most 32,768) as buffer group. With incremental, buffers are consumed
// piecewise where the kernel can (since 6.12); see [BufRing.Incremental].
func (r *Ring) NewBufRing(n int, group uint16, incremental bool) (*BufRing, error) {
	mem, err := unix.Mmap(-1, 0, n*int(unsafe.Sizeof(bufEntry{})),
		unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON)
	if err != nil {
		return nil, os.NewSyscallError("mmap", err)
	}
	b := &BufRing{ring: r, mem: mem, mask: uint16(n - 1), group: group, bufs: make([]buffer, n)}
	// SAFETY: a fresh page-aligned mapping with room for n entries.
	b.entries = (*bufEntry)(unsafe.Pointer(unsafe.SliceData(mem)))
	reg := bufReg{
		ringAddr:    uint64(uintptr(unsafe.Pointer(b.entries))),
		ringEntries: uint32(n),
		bgid:        group,
	}
	if incremental {
		reg.flags = pbufRingInc
		if err = r.register(registerPbufRing, unsafe.Pointer(&reg), 1); err == nil {
			b.inc = true
			return b, nil
		}
		reg.flags = 0
	}
	if err = r.register(registerPbufRing, unsafe.Pointer(&reg), 1); err != nil {
		_ = unix.Munmap(mem) // the registration error is the one to report
		return nil, os.NewSyscallError("io_uring_register", err)
	}
	return b, nil
}

// Incremental reports whether the kernel fills buffers piecewise: a completion
// then uses up only what it received, and the buffer is the kernel's until a
// completion without CQEFBufMore.
func (b *BufRing) Incremental() bool { return b.inc }

// Group is the buffer group ID.
func (b *BufRing) Group() uint16 { return b.group }

// Add lends mem to the kernel as buffer bid (io_uring_buf_ring_add and
// _advance). The caller must not touch mem until Take has returned it. bid must
// be below the ring's size and not be lent already.
func (b *BufRing) Add(mem []byte, bid uint16) {
	buf := &b.bufs[bid]
	if unsafe.SliceData(buf.mem) != unsafe.SliceData(mem) {
		buf.pin.Unpin()
		buf.pin.Pin(unsafe.SliceData(mem))
	}
	buf.mem, buf.off = mem, 0

	i := b.tail & b.mask
	// SAFETY: i is masked, so the entry lies inside the mapping. The index is
	// widened before it is multiplied: 16 × 4,096 does not fit in 16 bits. buf
	// keeps mem reachable and pinned for as long as the kernel has its address.
	e := (*bufEntry)(unsafe.Add(unsafe.Pointer(b.entries), uintptr(i)*unsafe.Sizeof(bufEntry{})))
	e.addr = uint64(uintptr(unsafe.Pointer(unsafe.SliceData(mem))))
	e.len = uint32(len(mem))
	if i == 0 {
		b.bid0 = bid // stored together with the tail below
	} else {
		e.bid = bid
	}
	b.tail++
	b.publish()
}

// publish makes entries up to the tail visible. Go has no 16-bit release
// store, so the 32-bit word that holds entry 0's buffer ID and the tail is
// stored whole. That is sound because nobody else writes it, and the ID half
// changes only when entry 0 lies beyond the tail the kernel has seen.
func (b *BufRing) publish() {
	half := [2]uint16{b.bid0, b.tail}
	// SAFETY: bid lies 12 bytes into an 8-aligned entry, so the word is
	// 4-aligned; reading the pair through its own memory keeps byte order right.
	atomic.StoreUint32((*uint32)(unsafe.Pointer(&b.entries.bid)), *(*uint32)(unsafe.Pointer(&half)))
}

// Take returns the bytes that completion c received, and whether the kernel is
// done with the buffer, so that it may be added again once the bytes have been
// used. c must have CQEFBuffer set; its Res may be 0 or negative when a buffer
// is only handed back.
func (b *BufRing) Take(c CQE) (p []byte, done bool) {
	buf := &b.bufs[c.BufferID()]
	n := int(max(c.Res, 0))
	p = buf.mem[buf.off : buf.off+n : buf.off+n]
	buf.off += n
	return p, c.Flags&CQEFBufMore == 0
}

// Mem returns the whole memory last added as bid.
func (b *BufRing) Mem(bid uint16) []byte { return b.bufs[bid].mem }

// Close unregisters the buffer ring (io_uring_free_buf_ring). No receive
// operation may be using it.
func (b *BufRing) Close() error {
	reg := bufReg{bgid: b.group}
	// SAFETY: reg is one live struct io_uring_buf_reg.
	err := b.ring.register(unregisterPbufRing, unsafe.Pointer(&reg), 1)
	for i := range b.bufs {
		b.bufs[i].pin.Unpin()
	}
	if e := unix.Munmap(b.mem); err == nil {
		err = e
	}
	return err
}
