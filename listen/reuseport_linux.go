package listen

import (
	"runtime"
	"strings"
)

// reusePort is SO_REUSEPORT, which package syscall lacks on the older
// architectures.
var reusePort = func() int {
	if strings.HasPrefix(runtime.GOARCH, "mips") {
		return 0x200
	}
	return 0xf
}()
