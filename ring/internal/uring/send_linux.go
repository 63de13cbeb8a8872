//go:build linux

package uring

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// Send is send(2) with MSG_DONTWAIT and MSG_NOSIGNAL added, without telling
// Go's scheduler: the call cannot block, and it costs half of what
// [unix.SendmsgN] does.
func Send(fd int, p []byte, flags int) (int, error) {
	// SAFETY: p is live for the call; nothing of it is kept by the kernel.
	n, _, errno := unix.RawSyscall6(unix.SYS_SENDTO, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(p))),
		uintptr(len(p)), uintptr(flags|unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL), 0, 0)
	if errno != 0 {
		return 0, errno
	}
	return int(n), nil
}

// Reset ends a TCP connection with a RST at once, discarding what is unsent:
// connect(2) to AF_UNSPEC. The descriptor stays open; operations waiting on it
// fail.
func Reset(fd int) error {
	unspec := [16]byte{} // struct sockaddr with sa_family AF_UNSPEC
	// SAFETY: unspec is live for the call, which only reads it.
	_, _, errno := unix.RawSyscall(unix.SYS_CONNECT, uintptr(fd), uintptr(unsafe.Pointer(&unspec)), unsafe.Sizeof(unspec))
	if errno != 0 {
		return errno
	}
	return nil
}
