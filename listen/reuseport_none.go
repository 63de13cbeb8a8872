//go:build !linux && !freebsd && !darwin && !dragonfly && !netbsd && !openbsd

package listen

// reusePort is not an option of this system.
const reusePort = 0
