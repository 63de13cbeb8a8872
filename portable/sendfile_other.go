//go:build !linux

package portable

import (
	"errors"
	"os"
)

const sendsSections = false

// sendMore is send: what follows may go into a packet of its own.
func (l *link) sendMore(p []byte) (int, error) { return l.send(p) }

func (l *link) sendSection(*os.File, int64, int64) (int64, error) { return 0, errors.ErrUnsupported }
