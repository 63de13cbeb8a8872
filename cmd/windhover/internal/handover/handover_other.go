//go:build !unix

package handover

import (
	"context"
	"syscall"
	"time"
)

// Socket is a listening socket and its name.
type Socket struct {
	Name string
	Conn syscall.Conn
}

// Process is how the new process is started.
type Process struct {
	Path    string
	Args    []string
	Dir     string
	Timeout time.Duration
}

// Inherit finds no predecessor here.
func Inherit() (*Inherited, error) { return &Inherited{}, nil }

// Start returns [ErrUnsupported].
func Start(context.Context, Process, []Socket) (int, error) { return 0, ErrUnsupported }
