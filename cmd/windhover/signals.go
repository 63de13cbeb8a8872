package main

import (
	"maps"
	"os"
	"os/signal"
	"slices"

	"github.com/windhover-server/windhover/cmd/windhover/internal/lifecycle"
)

// translate turns signals into events. It keeps a few of them, so that two
// quick interrupts are two.
func translate(meaning map[os.Signal]lifecycle.Event) (<-chan lifecycle.Event, func()) {
	signals := make(chan os.Signal, 8)
	out := make(chan lifecycle.Event)
	done := make(chan struct{})
	signal.Notify(signals, slices.Collect(maps.Keys(meaning))...)
	go func() {
		for {
			select {
			case s := <-signals:
				select {
				case out <- meaning[s]:
				case <-done:
					return
				}
			case <-done:
				return
			}
		}
	}()
	return out, func() {
		signal.Stop(signals)
		close(done)
	}
}
