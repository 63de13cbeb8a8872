//go:build race || windhoverdebug

package proto

// poison overwrites a buffer that is given back, so that a slice kept too long
// fails loudly.
func poison(b []byte) {
	b = b[:cap(b)]
	for i := range b {
		b[i] = 0xDB
	}
}
