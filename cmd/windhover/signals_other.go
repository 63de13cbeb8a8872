//go:build !unix

package main

import (
	"os"
	"syscall"

	"github.com/windhover-server/windhover/cmd/windhover/internal/handover"
	"github.com/windhover-server/windhover/cmd/windhover/internal/lifecycle"
)

// events translates signals until stop is called. This system knows no others.
func events() (ch <-chan lifecycle.Event, stop func()) {
	return translate(map[os.Signal]lifecycle.Event{
		os.Interrupt:    lifecycle.Stop,
		syscall.SIGTERM: lifecycle.Stop,
	})
}

func requestUpgrade(int) error { return handover.ErrUnsupported }
