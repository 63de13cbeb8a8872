//go:build unix

package windhover

import "syscall"

// nonBlock keeps open from waiting for somebody to write into a named pipe.
// Regular files do not know it.
const nonBlock = syscall.O_NONBLOCK
