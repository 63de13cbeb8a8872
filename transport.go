package windhover

import (
	"fmt"
)

// Transport selects what moves the bytes.
type Transport uint8

const (
	// Auto probes for io_uring at start and falls back to Portable, with one
	// log line that names the cause.
	Auto Transport = iota
	// Ring is io_uring (Linux). Starting fails where it cannot be used.
	Ring
	// Portable is package net.
	Portable
)

// String returns the name that ParseTransport reads.
func (t Transport) String() string {
	switch t {
	case Auto:
		return "auto"
	case Ring:
		return "ring"
	case Portable:
		return "portable"
	}
	return fmt.Sprintf("Transport(%d)", uint8(t))
}

// ParseTransport reads "auto", "ring" or "portable".
func ParseTransport(s string) (Transport, error) {
	for _, t := range []Transport{Auto, Ring, Portable} {
		if s == t.String() {
			return t, nil
		}
	}
	return Auto, fmt.Errorf("windhover: transport %q is not known; use auto, ring or portable", s)
}
