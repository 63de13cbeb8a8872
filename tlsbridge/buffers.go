package tlsbridge

import "sync"

// Sizes of the buffers that running calls borrow; a waiting connection has
// none of them.
const (
	smallPlain = 4 << 10  // plaintext of a call that was lent little
	largePlain = 16 << 10 // the most plaintext that one record holds
	// oneRecord is what crypto/tls always puts into one record.
	oneRecord = 1 << 10
	// writeChunk is how much of a Write is encrypted before it is sent: a few
	// records in one system call, near the amount at which the outer link
	// makes the writer wait.
	writeChunk = 64 << 10
	// chunkCap leaves room for record headers and tags of a writeChunk in
	// small records, as crypto/tls starts with.
	chunkCap = writeChunk + 4<<10
)

var (
	smallPool = sync.Pool{New: func() any { b := make([]byte, smallPlain); return &b }}
	largePool = sync.Pool{New: func() any { b := make([]byte, largePlain); return &b }}
	// outPool holds plaintext between Begin and End of the inner link.
	outPool = sync.Pool{New: func() any { b := make([]byte, 0, smallPlain); return &b }}
	// chunkPool holds the ciphertext of a large Write.
	chunkPool = sync.Pool{New: func() any { b := make([]byte, 0, chunkCap); return &b }}
)

// plainPool returns the pool for the plaintext of n bytes of ciphertext.
func plainPool(n int) *sync.Pool {
	if n <= smallPlain {
		return &smallPool
	}
	return &largePool
}

// putOut gives back a buffer of outPool, unless it has grown large.
func putOut(p *[]byte, b []byte) {
	if cap(b) > writeChunk {
		return
	}
	*p = b[:0]
	outPool.Put(p)
}
