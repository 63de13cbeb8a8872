package ring

import (
	"errors"
	"runtime"

	"github.com/windhover-server/windhover/listen"
)

// ErrUnsupported is wrapped by the error of [New] on systems without io_uring:
// other than Linux, or built with the noring tag.
var ErrUnsupported = errors.New("ring: io_uring is not supported by this build")

// Dispatch says where protocols, and with them handlers, run.
type Dispatch uint8

const (
	// Adaptive runs calls on the event loop while they are short, and moves
	// the loop to another goroutine as soon as one is not. Connections whose
	// calls have been long are served by pooled goroutines until they are
	// short again.
	Adaptive Dispatch = iota
	// Inline always begins on the event loop (Kestrel:
	// SchedulingMode.Inline). A call that turns out long still loses the
	// loop, but nothing is learned from it.
	Inline
	// Workers hands every call to a pooled goroutine (Kestrel:
	// SchedulingMode.ThreadPool).
	Workers
)

// Options configure a [Transport]. The zero value means the defaults.
type Options struct {
	// Rings is the number of rings, each with its own event loop (Kestrel's
	// ThreadCount). 0 means GOMAXPROCS; more than 256 is an error, and so is
	// less than 0.
	Rings int

	// Dispatch chooses where protocols run. The default adapts.
	Dispatch Dispatch

	// Fallback serves listeners whose connections are not kernel sockets of
	// this process, or are wrapped: everything but *net.TCPListener and
	// *net.UnixListener. Shutdown and Close are passed on to it. When it is
	// nil, Serve refuses such listeners with [ErrListener].
	Fallback listen.Transport
}

// ErrListener is returned by Serve for a listener that the ring cannot drive
// when there is no [Options].Fallback.
var ErrListener = errors.New("ring: listener is neither *net.TCPListener nor *net.UnixListener")

const maxRings = 256

func (o Options) rings() (int, error) {
	switch {
	case o.Rings < 0 || o.Rings > maxRings:
		return 0, errors.New("ring: Options.Rings is out of range 0 to 256")
	case o.Rings == 0:
		return min(runtime.GOMAXPROCS(0), maxRings), nil
	}
	return o.Rings, nil
}
