//go:build linux && !noring

package ring

import "github.com/windhover-server/windhover/ring/internal/uring"

const bufGroup = 0

// pool is a loop's receive buffers: which are with the kernel and which parts
// of them are lent to protocols. Only the loop's leader uses it.
type pool struct {
	ring *uring.BufRing
	size int
	used int    // buffer IDs in use: 0 to used-1
	most int    // … can become
	held []bool // by buffer ID: a call that lost the loop still reads from it
}

func newPool(r *uring.Ring, size sizes) (*pool, error) {
	ring, err := r.NewBufRing(max(size.piecewise.most, size.whole.most), bufGroup, size.piecewise.most > 0)
	if err != nil {
		return nil, err
	}
	s := size.whole
	if ring.Incremental() {
		s = size.piecewise
	}
	p := &pool{ring: ring, size: s.bytes, most: s.most, held: make([]bool, s.most)}
	p.grow(s.first)
	return p, nil
}

// grow adds up to n buffers and reports whether it could add any.
func (p *pool) grow(n int) bool {
	n = min(n, p.most-p.used)
	for range n {
		p.ring.Add(make([]byte, p.size), uint16(p.used))
		p.used++
	}
	return n > 0
}

// take returns the bytes that a completion received.
func (p *pool) take(c uring.CQE) (b []byte, done bool) { return p.ring.Take(c) }

// recycle gives the buffer of a completion back once its bytes are used.
func (p *pool) recycle(c uring.CQE) {
	p.giveBack(c.BufferID(), c.Flags&uring.CQEFBufMore == 0)
}

// giveBack notes that the bytes of a completion are used; done says that it
// was the kernel's last for the buffer, which then goes back to the kernel.
func (p *pool) giveBack(bid uint16, done bool) {
	if !done {
		return
	}
	if p.held[bid] {
		p.held[bid] = false
		p.ring.Add(make([]byte, p.size), bid)
		return
	}
	mem := p.ring.Mem(bid)
	poison(mem)
	p.ring.Add(mem, bid)
}

// abandon is giveBack for bytes that a protocol may go on reading: the memory
// stays with the protocol, and the buffer ID gets fresh memory when the kernel
// is done with the old.
func (p *pool) abandon(bid uint16, done bool) {
	p.held[bid] = true
	p.giveBack(bid, done)
}

func (p *pool) close() error { return p.ring.Close() }
