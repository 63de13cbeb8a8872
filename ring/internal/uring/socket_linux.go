//go:build linux

package uring

import (
	"encoding/binary"
	"net/netip"
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

// Recv is recv(2) with MSG_DONTWAIT, without telling Go's scheduler.
func Recv(fd int, p []byte) (int, error) {
	// SAFETY: p is live for the call; nothing of it is kept by the kernel.
	n, _, errno := unix.RawSyscall6(unix.SYS_RECVFROM, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(p))),
		uintptr(len(p)), unix.MSG_DONTWAIT, 0, 0)
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

// Shutdown is shutdown(2) without telling Go's scheduler: it does not block, and
// each call that the scheduler hears of keeps its monitor from sleeping.
func Shutdown(fd, how int) error {
	if _, _, errno := unix.RawSyscall(unix.SYS_SHUTDOWN, uintptr(fd), uintptr(how), 0); errno != 0 {
		return errno
	}
	return nil
}

// SetTimer has a timerfd expire once, after ns nanoseconds, without telling Go's
// scheduler.
func SetTimer(fd int, ns int64) error {
	spec := unix.ItimerSpec{Value: unix.NsecToTimespec(ns)}
	// SAFETY: spec is live for the call, which only reads it.
	_, _, errno := unix.RawSyscall6(unix.SYS_TIMERFD_SETTIME, uintptr(fd), 0, uintptr(unsafe.Pointer(&spec)), 0, 0, 0)
	if errno != 0 {
		return errno
	}
	return nil
}

// Accept is accept4(2) on a non-blocking listener, without telling Go's
// scheduler. The new descriptor is non-blocking and closed on exec. peer is
// valid for TCP without a zone.
func Accept(fd int) (nfd int, peer netip.AddrPort, err error) {
	var raw [unix.SizeofSockaddrAny]byte
	size := uint32(len(raw))
	// SAFETY: raw and size are live for the call, and raw is as long as size says.
	n, _, errno := unix.RawSyscall6(unix.SYS_ACCEPT4, uintptr(fd), uintptr(unsafe.Pointer(&raw)), uintptr(unsafe.Pointer(&size)),
		unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0, 0)
	if errno != 0 {
		return -1, netip.AddrPort{}, errno
	}
	port := binary.BigEndian.Uint16(raw[2:])
	switch binary.NativeEndian.Uint16(raw[:]) {
	case unix.AF_INET:
		peer = netip.AddrPortFrom(netip.AddrFrom4([4]byte(raw[4:8])), port)
	case unix.AF_INET6:
		if binary.NativeEndian.Uint32(raw[24:]) == 0 {
			peer = netip.AddrPortFrom(netip.AddrFrom16([16]byte(raw[8:24])), port)
		}
	}
	return int(n), peer, nil
}
