//go:build linux

package uring

// SQE is struct io_uring_sqe. Fields that are unions in C carry the name of
// the member that most operations use.
type SQE struct {
	Opcode      uint8
	Flags       uint8
	IoPrio      uint16
	Fd          int32
	Off         uint64 // also addr2
	Addr        uint64 // also splice_off_in
	Len         uint32
	OpFlags     uint32 // msg_flags, accept_flags, poll32_events, cancel_flags, …
	UserData    uint64
	BufIG       uint16 // buf_index or buf_group
	Personality uint16
	SpliceFdIn  int32 // also file_index
	Addr3       uint64
	_           uint64
}

// CQE is struct io_uring_cqe.
type CQE struct {
	UserData uint64
	Res      int32
	Flags    uint32
}

// BufferID is the provided buffer that the completion used; valid with
// CQEFBuffer (io_uring_cqe_get_flags >> IORING_CQE_BUFFER_SHIFT).
func (c CQE) BufferID() uint16 { return uint16(c.Flags >> cqeBufferShift) }

type sqringOffsets struct {
	head        uint32
	tail        uint32
	ringMask    uint32
	ringEntries uint32
	flags       uint32
	dropped     uint32
	array       uint32
	_           uint32
	userAddr    uint64
}

type cqringOffsets struct {
	head        uint32
	tail        uint32
	ringMask    uint32
	ringEntries uint32
	overflow    uint32
	cqes        uint32
	flags       uint32
	_           uint32
	userAddr    uint64
}

// params is struct io_uring_params.
type params struct {
	sqEntries    uint32
	cqEntries    uint32
	flags        uint32
	sqThreadCPU  uint32
	sqThreadIdle uint32
	features     uint32
	wqFd         uint32
	_            [3]uint32
	sqOff        sqringOffsets
	cqOff        cqringOffsets
}

// bufEntry is struct io_uring_buf. In entry 0 the last field is the tail of
// the ring.
type bufEntry struct {
	addr uint64
	len  uint32
	bid  uint16
	tail uint16
}

// bufReg is struct io_uring_buf_reg.
type bufReg struct {
	ringAddr    uint64
	ringEntries uint32
	bgid        uint16
	flags       uint16
	_           [3]uint64
}

type probeOp struct {
	op    uint8
	_     uint8
	flags uint16
	_     uint32
}

const probeOps = 256

type probe struct {
	lastOp uint8
	opsLen uint8
	_      uint16
	_      [3]uint32
	ops    [probeOps]probeOp
}

// geteventsArg is struct io_uring_getevents_arg.
type geteventsArg struct {
	sigmask     uint64
	sigmaskSize uint32
	minWaitUsec uint32
	ts          uint64
}

// rsrcUpdate is struct io_uring_rsrc_update.
type rsrcUpdate struct {
	offset uint32
	_      uint32
	data   uint64
}

// Operations that this package prepares.
const (
	OpNop         = 0
	OpPollAdd     = 6
	OpAccept      = 13 // since 5.5
	OpAsyncCancel = 14 // since 5.5
	OpClose       = 19 // since 5.6
	OpSend        = 26 // since 5.6
	OpRecv        = 27 // since 5.6
	OpShutdown    = 34 // since 5.11
)

// Flags of an SQE.
const (
	SQEIOLink         = 1 << 2 // since 5.3
	SQEBufferSelect   = 1 << 5 // since 5.7
	SQECQESkipSuccess = 1 << 6 // since 5.17
)

// Flags of ring creation.
const (
	SetupCQSize       = 1 << 3  // since 5.5
	SetupClamp        = 1 << 4  // since 5.6
	SetupSubmitAll    = 1 << 7  // since 5.18: an SQE that fails does not end the batch
	SetupCoopTaskrun  = 1 << 8  // since 5.19: completions wait for the thread's next system call
	SetupTaskrunFlag  = 1 << 9  // since 5.19: SQTaskrun tells that one is waiting
	SetupSingleIssuer = 1 << 12 // since 6.0
	SetupDeferTaskrun = 1 << 13 // since 6.1
	SetupNoSQArray    = 1 << 16 // since 6.6: no indirection between ring and entries
)

// Features the kernel reports at ring creation.
const (
	FeatSingleMmap = 1 << 0  // since 5.4
	FeatNoDrop     = 1 << 1  // since 5.5: completions are kept when the queue is full
	FeatFastPoll   = 1 << 5  // since 5.7
	FeatExtArg     = 1 << 8  // since 5.11
	FeatCQESkip    = 1 << 11 // since 5.17
)

// Flags of a CQE.
const (
	CQEFBuffer       = 1 << 0 // since 5.7
	CQEFMore         = 1 << 1 // since 5.13: the multishot request lives on
	CQEFSockNonEmpty = 1 << 2 // since 5.19: the socket had more than was received
	CQEFBufMore      = 1 << 4 // since 6.12: the kernel goes on filling the same buffer

	cqeBufferShift = 16
)

// Flags in IoPrio, OpFlags and Len of particular operations.
const (
	RecvsendPollFirst = 1 << 0 // since 5.19: wait for readiness before the first attempt
	RecvMultishot     = 1 << 1 // since 6.0
	AcceptMultishot   = 1 << 0 // since 5.19
	AsyncCancelAll    = 1 << 0 // since 5.19
	AsyncCancelFd     = 1 << 1 // since 5.19
	AsyncCancelAny    = 1 << 2 // since 5.19
)

// Bits of the submission queue's shared flags word.
const (
	SQCQOverflow = 1 << 1 // since 5.8: completions wait in the kernel for room
	SQTaskrun    = 1 << 2 // since 5.19: completions wait for a thread to enter the kernel
)

const (
	enterGetevents      = 1 << 0
	enterExtArg         = 1 << 3 // since 5.11
	enterRegisteredRing = 1 << 4 // since 5.18

	cqEventfdDisabled = 1 << 0 // since 5.8

	registerEventfd           = 4  // since 5.2
	registerProbe             = 8  // since 5.6
	registerRingFds           = 20 // since 5.18
	unregisterRingFds         = 21
	registerPbufRing          = 22 // since 5.19
	unregisterPbufRing        = 23
	probeOpSupported   uint16 = 1 << 0

	pbufRingInc = 2 // since 6.12: IOU_PBUF_RING_INC

	offSQRing = 0
	offCQRing = 0x8000000
	offSQEs   = 0x10000000
)
