//go:build linux && !noring

package ring

import "sync"

const (
	bufferSize = 4 << 10  // what a fresh buffer holds
	bufferKeep = 64 << 10 // a buffer grown beyond this goes to the collector
)

// buffer holds bytes on their way: b[off:] is still to be sent or delivered.
type buffer struct {
	b   []byte
	off int
}

var buffers = sync.Pool{New: func() any { return &buffer{b: make([]byte, 0, bufferSize)} }}

func newBuffer() *buffer { return buffers.Get().(*buffer) }

// free gives the buffer back. The caller must hold the only reference.
func (b *buffer) free() {
	poison(b.b)
	if cap(b.b) > bufferKeep {
		return
	}
	b.b, b.off = b.b[:0], 0
	buffers.Put(b)
}

// rest is what is left; of a nil buffer, nothing.
func (b *buffer) rest() []byte {
	if b == nil {
		return nil
	}
	return b.b[b.off:]
}

func (b *buffer) len() int {
	if b == nil {
		return 0
	}
	return len(b.b) - b.off
}

// add appends p, reclaiming the used front instead of growing when that is
// enough.
func (b *buffer) add(p []byte) {
	if b.off > 0 && len(b.b)+len(p) > cap(b.b) {
		b.b = b.b[:copy(b.b, b.b[b.off:])]
		b.off = 0
	}
	b.b = append(b.b, p...)
}
