//go:build !linux || noring

package ring

import (
	"context"
	"net"

	"github.com/windhover-server/windhover/listen"
)

// Transport cannot be had in this build; see [ErrUnsupported].
type Transport struct{}

var _ listen.Transport = (*Transport)(nil)

// Probe reports [NotBuilt].
func Probe() *Report {
	return &Report{Cause: NotBuilt, Err: &UnavailableError{Cause: NotBuilt}}
}

// New returns an [*UnavailableError] that matches [ErrUnsupported].
func New(opt Options) (*Transport, error) {
	if _, err := opt.rings(); err != nil {
		return nil, err
	}
	return nil, &UnavailableError{Cause: NotBuilt}
}

// Serve returns [ErrUnsupported].
func (*Transport) Serve(net.Listener, listen.Options, listen.Acceptor) error { return ErrUnsupported }

// Release does nothing; the channel is closed.
func (*Transport) Release() <-chan struct{} {
	gone := make(chan struct{})
	close(gone)
	return gone
}

// DrainIdle does nothing.
func (*Transport) DrainIdle() {}

// Shutdown does nothing.
func (*Transport) Shutdown(context.Context) error { return nil }

// Close does nothing.
func (*Transport) Close() error { return nil }
