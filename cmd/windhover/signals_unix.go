//go:build unix

package main

import (
	"os"
	"os/signal"
	"syscall"

	"github.com/windhover-server/windhover/cmd/windhover/internal/lifecycle"
)

// events translates signals until stop is called.
func events() (ch <-chan lifecycle.Event, stop func()) {
	// Whoever reads our standard output may leave, such as the terminal that
	// started us; then writing there fails, and the server goes on.
	signal.Ignore(syscall.SIGPIPE)
	return translate(map[os.Signal]lifecycle.Event{
		syscall.SIGINT:  lifecycle.Stop,
		syscall.SIGTERM: lifecycle.Stop,
		syscall.SIGHUP:  lifecycle.Reload,
		syscall.SIGUSR2: lifecycle.Upgrade,
	})
}

func requestUpgrade(pid int) error { return syscall.Kill(pid, syscall.SIGUSR2) }
