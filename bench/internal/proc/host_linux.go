//go:build linux

package proc

import (
	"bytes"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// Host tells the kernel's release, the processor's name and the bytes of
// memory; what is not known is empty.
func Host() (kernel, cpu string, memory int64) {
	var u unix.Utsname
	if err := unix.Uname(&u); err == nil {
		kernel = unix.ByteSliceToString(u.Sysname[:]) + " " + unix.ByteSliceToString(u.Release[:])
	}
	if b, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		for line := range bytes.Lines(b) {
			if name, value, ok := strings.Cut(string(line), ":"); ok && strings.TrimSpace(name) == "model name" {
				cpu = strings.TrimSpace(value)
				break
			}
		}
	}
	var si unix.Sysinfo_t
	if err := unix.Sysinfo(&si); err == nil {
		memory = int64(si.Totalram) * int64(si.Unit)
	}
	return kernel, cpu, memory
}
