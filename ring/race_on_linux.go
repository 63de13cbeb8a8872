//go:build linux && !noring && race

package ring

import (
	"os"
	"sync"
	"syscall"
)

// The race detector learns that bytes sent by one goroutine and received by
// another order what the two do from package syscall, whose Read and Write the
// ring bypasses. In race builds a system call of no effect stands in.
var null = sync.OnceValue(func() *os.File {
	f, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		panic(err)
	}
	return f
})

// raceAcquire orders what follows after every earlier send of this process.
func raceAcquire() {
	var b [1]byte
	_, _ = syscall.Read(int(null().Fd()), b[:])
}

// raceRelease orders what came before ahead of every later reception.
func raceRelease() { _, _ = syscall.Write(int(null().Fd()), []byte{0}) }
