//go:build linux

package uring

import (
	"encoding/binary"
	"math/bits"
)

// pollMask arranges poll events as the kernel reads them: the two halves of
// poll32_events are swapped on big-endian machines
// (__io_uring_prep_poll_mask).
func pollMask(mask uint32) uint32 {
	if binary.NativeEndian.Uint16([]byte{0, 1}) == 1 {
		return bits.RotateLeft32(mask, 16)
	}
	return mask
}
