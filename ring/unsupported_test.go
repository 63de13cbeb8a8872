//go:build !linux || noring

package ring

import (
	"errors"
	"testing"

	"github.com/windhover-server/windhover/listen"
)

func TestWithoutTheRingEverythingSaysSo(t *testing.T) {
	r := Probe()
	if r.Cause != NotBuilt || r.Usable() || !errors.Is(r.Err, ErrUnsupported) || r.String() == "" {
		t.Errorf("report %+v", r)
	}
	if tr, err := New(Options{}); tr != nil || !errors.Is(err, ErrUnsupported) {
		t.Errorf("New: %v, %v", tr, err)
	}
	if _, err := New(Options{Rings: -1}); err == nil || errors.Is(err, ErrUnsupported) {
		t.Errorf("New with a bad option: %v", err)
	}
	if err := new(Transport).Serve(nil, listen.Options{}, nil); !errors.Is(err, ErrUnsupported) {
		t.Errorf("Serve: %v", err)
	}
}
