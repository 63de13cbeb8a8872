package systemd

import (
	"time"

	"golang.org/x/sys/unix"
)

// monotonic reads the clock that systemd compares with, which package time
// does not show.
func monotonic() time.Duration {
	var ts unix.Timespec
	if unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts) != nil {
		return 0
	}
	return time.Duration(ts.Nano())
}
