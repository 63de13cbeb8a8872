package systemd

import (
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
)

// States for [Notify]; see sd_notify(3).
const (
	// Ready says that start-up, or a reload, has finished.
	Ready = "READY=1"
	// Stopping says that the service is shutting down.
	Stopping = "STOPPING=1"
)

// Status is a line of text for systemctl status.
func Status(text string) string {
	return "STATUS=" + strings.ReplaceAll(text, "\n", " ")
}

// MainPID tells which process is the service from now on, after it has handed
// over to a new one. The unit needs NotifyAccess=all or exec for that.
func MainPID(pid int) string { return fmt.Sprintf("MAINPID=%d", pid) }

// Notify sends states to systemd in one message. sent is false, without an
// error, where nobody waits for it (NOTIFY_SOCKET is not set). It does not wait
// for systemd to act on it and may be called from any goroutine.
func Notify(states ...string) (sent bool, err error) {
	path := os.Getenv("NOTIFY_SOCKET")
	if path == "" || len(states) == 0 {
		return false, nil
	}
	if path[0] != '/' && path[0] != '@' {
		return false, fmt.Errorf("systemd: NOTIFY_SOCKET is %q, which is neither a path nor an abstract socket", path)
	}
	c, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		return false, fmt.Errorf("systemd: notify: %w", err)
	}
	_, err = c.Write([]byte(strings.Join(states, "\n")))
	if err = errors.Join(err, c.Close()); err != nil {
		return false, fmt.Errorf("systemd: notify: %w", err)
	}
	return true, nil
}

// Reloading says that the configuration is being read anew; send [Ready] when
// that is done. With Type=notify-reload systemd takes it for the answer to its
// SIGHUP by the time stamp, so it must be made after the signal has come.
func Reloading() string {
	s := "RELOADING=1"
	if now := monotonic(); now > 0 {
		s += fmt.Sprintf("\nMONOTONIC_USEC=%d", now.Microseconds())
	}
	return s
}
