//go:build linux && !noring

package ring

import (
	"fmt"
	"testing"

	"github.com/windhover-server/windhover/listen"
	"github.com/windhover-server/windhover/listen/listentest"
)

// The rules of package listen hold wherever protocols run, and also when
// every queue is too small.
func TestTransport(t *testing.T) {
	for _, d := range []Dispatch{Adaptive, Inline, Workers} {
		networks := []listentest.Network{listentest.OverTCP()}
		if d == Adaptive {
			networks = append(networks, listentest.OverUnix())
		}
		t.Run(fmt.Sprint(d), func(t *testing.T) {
			listentest.Run(t, func(t testing.TB) listen.Transport { return suiteTransport(t, d, normalSizes) }, networks...)
		})
	}
	for name, s := range map[string]sizes{"tiny": tiny, "tinyWhole": tinyWhole, "bulk": alwaysBulk} {
		t.Run(name, func(t *testing.T) {
			listentest.Run(t, func(t testing.TB) listen.Transport { return suiteTransport(t, Adaptive, s) }, listentest.OverTCP())
		})
	}
}

func suiteTransport(t testing.TB, d Dispatch, s sizes) listen.Transport {
	tr, err := newSized(Options{Dispatch: d}, s)
	if err != nil {
		t.Skipf("no io_uring here: %v", err)
	}
	return tr
}
