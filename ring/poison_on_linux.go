//go:build linux && !noring && (race || windhoverdebug)

package ring

// poison overwrites memory that goes back to a pool or to the kernel, so that
// a slice kept beyond its lending time shows itself. It is active in race
// builds and with the windhoverdebug tag.
func poison(p []byte) {
	for i := range p {
		p[i] = 0xdb
	}
}
