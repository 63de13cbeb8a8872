//go:build linux && !noring

package ring

import "sync"

const (
	bufferSize = 4 << 10  // what a fresh buffer holds
	bufferKeep = 64 << 10 // buffers grown beyond this are kept apart
	bufferMost = 4 << 20  // a buffer grown beyond this goes to the collector
)

// buffer holds bytes on their way: b[off:] is still to be sent or delivered.
type buffer struct {
	b   []byte
	off int
}

var (
	buffers = sync.Pool{New: func() any { return &buffer{b: make([]byte, 0, bufferSize)} }}
	// grown holds the memory of large buffers: a body that comes faster than
	// its handler reads would otherwise grow one for each request.
	grown sync.Pool // of *[]byte
)

func newBuffer() *buffer { return buffers.Get().(*buffer) }

// free gives the buffer back. The caller must hold the only reference.
func (b *buffer) free() {
	poison(b.b)
	if cap(b.b) > bufferKeep {
		b.dropMemory()
		return
	}
	b.b, b.off = b.b[:0], 0
	buffers.Put(b)
}

// dropMemory keeps large memory for the next buffer that grows.
func (b *buffer) dropMemory() {
	if m := b.b[:0]; cap(m) > bufferKeep && cap(m) <= bufferMost {
		grown.Put(&m)
	}
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

// add appends p. The used front is reclaimed instead of growing only when at
// least as much is free there as has to be moved, so that adding costs a
// bounded number of copies per byte however far the reader is behind.
func (b *buffer) add(p []byte) {
	if need := len(b.b) + len(p); need > cap(b.b) {
		rest := b.b[b.off:]
		if len(rest)+len(p) <= cap(b.b) && b.off >= len(rest) {
			b.b = b.b[:copy(b.b, rest)]
		} else {
			b.grow(rest, len(rest)+len(p))
		}
		b.off = 0
	}
	b.b = append(b.b, p...)
}

// grow moves rest to memory for at least n bytes.
func (b *buffer) grow(rest []byte, n int) {
	var m []byte
	if n > bufferKeep/2 {
		if g, ok := grown.Get().(*[]byte); ok && cap(*g) >= n {
			m = *g
		}
	}
	if m == nil {
		size := 2 * bufferSize
		for size < n+n/2 {
			size *= 2
		}
		m = make([]byte, 0, size)
	}
	m = append(m, rest...)
	b.dropMemory()
	b.b = m
}
