package windhover

import (
	"github.com/windhover-server/windhover/listen"
	"github.com/windhover-server/windhover/ring"
)

// newRing starts the io_uring transport. fallback serves the listeners that
// are not sockets.
func newRing(rings int, fallback listen.Transport) (listen.Transport, error) {
	return ring.New(ring.Options{Rings: rings, Fallback: fallback})
}
