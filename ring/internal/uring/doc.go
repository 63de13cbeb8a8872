// Package uring is the io_uring system call interface: memory layout, queues,
// provided buffer rings, probing. It is the only package of Windhover that
// uses unsafe, and it holds nothing else: no policy, no goroutine, no lock.
//
//	      GetSQE + Prep…                     PeekCQE, CQAdvance
//	           │                                  ▲
//	┌──────────▼──────────┐   Submit    ┌─────────┴───────────┐
//	│ submission queue    ├────────────▶│ completion queue    │
//	└─────────────────────┘   kernel    └─────────────────────┘
//	┌─────────────────────┐                  bid, offset
//	│ BufRing: buffers the kernel may fill ├──────▲
//	└─────────────────────┘
//
// Names follow liburing (io_uring_get_sqe is GetSQE, io_uring_prep_send is
// PrepSend), and each feature says since which kernel it exists. The nested
// module oracle compares entries, flags and offsets with
// github.com/pawelgaczynski/giouring; docs/adr/0001-our-own-uring.md tells why that
// library is the judge and not the dependency.
//
// # Ownership
//
// The kernel holds addresses that the garbage collector cannot see. What a
// Prep method takes by slice must stay reachable, and unwritten while the
// operation reads it, until its completion has been seen. BufRing keeps the
// buffers it lends to the kernel reachable and pinned by itself.
//
// A Ring is for one goroutine at a time. The exceptions are NeedsEnter and
// CQPending, which read shared words atomically and may be called from
// anywhere while the ring is open.
package uring
