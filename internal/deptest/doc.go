// Package deptest holds tests over the source of the module itself: which
// package may import which, where unsafe may stand, that each package says once
// what it is for. There is nothing in it to import.
//
//	cmd/windhover     internal/...
//	       └─────┬───────┘
//	         windhover               Sockets cannot see HTTP.
//	  ┌────────┼────────┬──────┐     wire and listen are leaves.
//	ring    portable ▶ proto  tlsbridge
//	  │        │       │  └▶ wire │
//	  └────────┴───────┴──────────┘
//	         listen
//
// The table in imports_test.go is this drawing with a reason for each arrow
// that is missing.
package deptest
