//go:build darwin || dragonfly || netbsd || openbsd

package listen

import "syscall"

const reusePort = syscall.SO_REUSEPORT
