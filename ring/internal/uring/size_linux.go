//go:build linux

package uring

import "unsafe"

// Compile-time checks against the kernel's ABI: a wrong size makes a negative
// array length. TestOffsets checks the fields.
//
// SAFETY: Sizeof of a value that is never read.
var (
	_ [64 - unsafe.Sizeof(SQE{})]struct{}
	_ [unsafe.Sizeof(SQE{}) - 64]struct{}
	_ [16 - unsafe.Sizeof(CQE{})]struct{}
	_ [unsafe.Sizeof(CQE{}) - 16]struct{}
	_ [40 - unsafe.Sizeof(sqringOffsets{})]struct{}
	_ [unsafe.Sizeof(sqringOffsets{}) - 40]struct{}
	_ [40 - unsafe.Sizeof(cqringOffsets{})]struct{}
	_ [unsafe.Sizeof(cqringOffsets{}) - 40]struct{}
	_ [120 - unsafe.Sizeof(params{})]struct{}
	_ [unsafe.Sizeof(params{}) - 120]struct{}
	_ [16 - unsafe.Sizeof(bufEntry{})]struct{}
	_ [unsafe.Sizeof(bufEntry{}) - 16]struct{}
	_ [40 - unsafe.Sizeof(bufReg{})]struct{}
	_ [unsafe.Sizeof(bufReg{}) - 40]struct{}
	_ [8 - unsafe.Sizeof(probeOp{})]struct{}
	_ [unsafe.Sizeof(probeOp{}) - 8]struct{}
	_ [16 + 256*8 - unsafe.Sizeof(probe{})]struct{}
	_ [unsafe.Sizeof(probe{}) - 16 - 256*8]struct{}
	_ [24 - unsafe.Sizeof(geteventsArg{})]struct{}
	_ [unsafe.Sizeof(geteventsArg{}) - 24]struct{}
	_ [16 - unsafe.Sizeof(rsrcUpdate{})]struct{}
	_ [unsafe.Sizeof(rsrcUpdate{}) - 16]struct{}
)
