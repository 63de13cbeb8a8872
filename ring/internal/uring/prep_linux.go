//go:build linux

package uring

import "unsafe"

// PrepNop does nothing and completes with 0 (io_uring_prep_nop).
func (e *SQE) PrepNop() {
	e.Opcode = OpNop
	e.Fd = -1
}

// PrepMultishotAccept posts a completion with a new descriptor for each
// connection until cancelled; flags are accept4's
// (io_uring_prep_multishot_accept; since 5.19).
func (e *SQE) PrepMultishotAccept(fd int, flags uint32) {
	e.Opcode = OpAccept
	e.Fd = int32(fd)
	e.IoPrio = AcceptMultishot
	e.OpFlags = flags
}

// PrepRecv receives once, into a provided buffer of group (io_uring_prep_recv
// with IOSQE_BUFFER_SELECT; since 5.7).
func (e *SQE) PrepRecv(fd int, group uint16, flags uint32) {
	e.Opcode = OpRecv
	e.Flags = SQEBufferSelect
	e.Fd = int32(fd)
	e.OpFlags = flags
	e.BufIG = group
}

// PrepRecvMultishot posts a completion with a provided buffer of group each
// time data arrives, until the peer closes, an error, cancellation, or the
// group runs dry (io_uring_prep_recv_multishot; since 6.0).
func (e *SQE) PrepRecvMultishot(fd int, group uint16, flags uint32) {
	e.Opcode = OpRecv
	e.Flags = SQEBufferSelect
	e.Fd = int32(fd)
	e.IoPrio = RecvMultishot
	e.OpFlags = flags
	e.BufIG = group
}

// PrepSend sends p (io_uring_prep_send). p must stay reachable and unchanged
// until the completion.
func (e *SQE) PrepSend(fd int, p []byte, flags uint32) {
	e.Opcode = OpSend
	e.Fd = int32(fd)
	// SAFETY: the number is only given to the kernel; the caller keeps p
	// reachable until the completion, and the collector moves no heap object.
	e.Addr = uint64(uintptr(unsafe.Pointer(unsafe.SliceData(p))))
	e.Len = uint32(len(p))
	e.OpFlags = flags
}

// PrepClose closes a descriptor (io_uring_prep_close).
func (e *SQE) PrepClose(fd int) {
	e.Opcode = OpClose
	e.Fd = int32(fd)
}

// PrepShutdown is shutdown(2) (io_uring_prep_shutdown; since 5.11).
func (e *SQE) PrepShutdown(fd, how int) {
	e.Opcode = OpShutdown
	e.Fd = int32(fd)
	e.Len = uint32(how)
}

// PrepCancel64 cancels the request with this user data; flags are
// AsyncCancelXxx (io_uring_prep_cancel64).
func (e *SQE) PrepCancel64(userData uint64, flags uint32) {
	e.Opcode = OpAsyncCancel
	e.Fd = -1
	e.Addr = userData
	e.OpFlags = flags
}

// PrepPollAdd completes once when one of the poll(2) events in mask is there
// (io_uring_prep_poll_add).
func (e *SQE) PrepPollAdd(fd int, mask uint32) {
	e.Opcode = OpPollAdd
	e.Fd = int32(fd)
	e.OpFlags = pollMask(mask)
}
