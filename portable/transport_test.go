package portable_test

import (
	"testing"

	"github.com/windhover-server/windhover/listen"
	"github.com/windhover-server/windhover/listen/listentest"
	"github.com/windhover-server/windhover/portable"
)

func TestTransport(t *testing.T) {
	listentest.Run(t, func(testing.TB) listen.Transport { return new(portable.Transport) },
		listentest.OverTCP(), listentest.OverUnix(), listentest.OverMemory())
}
