package proto

import (
	"sync"
	"time"

	"github.com/windhover-server/windhover/proto/wire"
)

// Sizes of the buffers that hold input beyond a call, or that bodies are read
// through.
const (
	smallBuffer = 4 << 10
	largeBuffer = 32 << 10
)

var (
	smallBuffers = sync.Pool{New: func() any { return new([smallBuffer]byte) }}
	largeBuffers = sync.Pool{New: func() any { return new([largeBuffer]byte) }}
)

// getBuffer returns an empty slice with a capacity of at least n if n is at
// most largeBuffer, else of largeBuffer.
func getBuffer(n int) []byte {
	if n <= smallBuffer {
		return smallBuffers.Get().(*[smallBuffer]byte)[:0]
	}
	return largeBuffers.Get().(*[largeBuffer]byte)[:0]
}

// putBuffer recycles b if it came from getBuffer; others (nil, or grown by
// append) are left to the collector.
func putBuffer(b []byte) {
	switch cap(b) {
	case smallBuffer:
		poison(b)
		smallBuffers.Put((*[smallBuffer]byte)(b[:smallBuffer]))
	case largeBuffer:
		poison(b)
		largeBuffers.Put((*[largeBuffer]byte)(b[:largeBuffer]))
	}
}

// turn is the scratch space of a connection while a call of its transport
// runs. An idle connection has none.
type turn struct {
	now  time.Time // see Conn.now
	head wire.Head
	body body
	resp response
	ex   Exchange

	reader *bodyReader // of the http.Request, nil without a body

	fresh         bool   // nothing that may take long came after now was read
	headOwned     bool   // head.Raw lies in Conn.buf
	headBuf       []byte // the buffer that holds head.Raw, when Conn.buf had to move on
	writeDeadline bool   // one is set on the link
	ownRate       bool   // the handler has set a send rate of its own
	lastHead      string // see headText
}

var turns = sync.Pool{New: func() any { return new(turn) }}

func getTurn() *turn { return turns.Get().(*turn) }

// keepScratch bounds what a recycled turn may hold on to.
const keepScratch = 16 << 10

func putTurn(t *turn) {
	putBuffer(t.headBuf)
	t.headBuf = nil
	t.headOwned, t.writeDeadline, t.ownRate = false, false, false
	t.head.Raw, t.head.TrailerRaw = nil, nil
	t.body.reset()
	t.resp.reset()
	t.ex.reset()
	turns.Put(t)
}

// freeHead ends the life of the request head.
func (c *Conn) freeHead() {
	if c.s.headBuf != nil {
		putBuffer(c.s.headBuf)
		c.s.headBuf = nil
	}
}
