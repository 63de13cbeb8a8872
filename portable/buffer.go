package portable

import (
	"net"
	"sync"
)

const (
	// smallBuffer is the least size of the tail of a send queue, and of the
	// buffer in which a conn is read that cannot be waited for.
	smallBuffer = 4 << 10
	// inputBuffer is how much one read of a ready socket takes.
	inputBuffer = 16 << 10
	// maxPooled is the largest buffer that goes back to the pool: a queue that
	// has grown for one big response is not kept for small ones.
	maxPooled = 128 << 10
)

// buffer is a pooled slice. The box travels with the slice so that taking and
// giving back allocates nothing.
type buffer struct {
	b    []byte
	pair [2][]byte // b and what is to be sent with it
	bufs net.Buffers
}

var (
	smallBuffers = sync.Pool{New: func() any { return &buffer{b: make([]byte, 0, smallBuffer)} }}
	inputBuffers = sync.Pool{New: func() any { return &buffer{b: make([]byte, inputBuffer)} }}
)

// getSmall returns an empty slice with room for at least smallBuffer bytes.
func getSmall() *buffer { return smallBuffers.Get().(*buffer) }

func putSmall(b *buffer) {
	if cap(b.b) < smallBuffer || cap(b.b) > maxPooled {
		return
	}
	b.b = b.b[:0]
	smallBuffers.Put(b)
}

func getInput() *buffer  { return inputBuffers.Get().(*buffer) }
func putInput(b *buffer) { inputBuffers.Put(b) }
