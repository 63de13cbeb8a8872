//go:build !unix && !windows

package listen

import (
	"errors"
	"io/fs"
	"strings"
)

// errInUse is "address already in use"; Plan 9 has texts for errors, no
// numbers.
var errInUse = errors.New("address in use")

func isInUse(err error) bool {
	return errors.Is(err, errInUse) || strings.Contains(strings.ToLower(err.Error()), "in use")
}

func isRefused(err error) bool { return strings.Contains(err.Error(), "refused") }
func isDenied(err error) bool  { return errors.Is(err, fs.ErrPermission) }

func isNoSuchAddress(error) bool { return false }

// resets is empty: Plan 9 has no numbers for errors.
var resets []error
