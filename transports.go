package windhover

import (
	"context"
	"log/slog"
	"net"

	"github.com/windhover-server/windhover/listen"
	"github.com/windhover-server/windhover/portable"
)

// transports are the transport that was selected, and the portable one, which
// serves the listeners that only it can.
type transports struct {
	main     listen.Transport
	portable portable.Transport
}

// start selects and starts the transport.
func (t *transports) start(kind Transport, rings int, logger *slog.Logger) error {
	t.main = &t.portable
	if kind == Portable {
		return nil
	}
	r, err := newRing(rings, &t.portable)
	switch {
	case err == nil:
		t.main = r
	case kind == Ring:
		return err
	}
	if logger != nil {
		if err != nil {
			logger.Warn("io_uring cannot be used here; using the portable transport", "cause", err.Error())
		} else {
			logger.Info("using the io_uring transport")
		}
	}
	return nil
}

func (t *transports) serve(ln net.Listener, opt listen.Options, accept listen.Acceptor) error {
	return t.main.Serve(ln, opt, accept)
}

func (t *transports) drainIdle() { t.main.DrainIdle() }

func (t *transports) shutdown(ctx context.Context) error { return t.main.Shutdown(ctx) }

func (t *transports) close() error { return t.main.Close() }
