//go:build race

package e2e

// raceEnabled: the race detector ends a program with 8,128 goroutines.
const raceEnabled = true
