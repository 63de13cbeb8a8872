//go:build linux && !noring

package ring

import (
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// A timer that expires between two waits of the watchdog is forgotten by the
// netpoller when the next one begins.
func TestWatchdogNoticesWhatCameBeforeItWaits(t *testing.T) {
	var w watchdog
	if err := w.prepare(nil); err != nil {
		t.Fatal(err)
	}
	w.note()
	if err := w.rc.Control(func(fd uintptr) {
		if n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, 10_000); n != 1 {
			t.Error(n, err)
		}
	}); err != nil {
		t.Fatal(err)
	}
	<-time.After(5 * time.Millisecond) // in which the poller collects the event
	go w.run()
	// With nothing to watch it ticks a few times and stops ticking.
	for deadline := time.Now().Add(10 * time.Second); w.on.Load(); {
		if time.Now().After(deadline) {
			t.Error("the watchdog does not tick")
			break
		}
		<-time.After(time.Millisecond)
	}
	w.stop()
}
