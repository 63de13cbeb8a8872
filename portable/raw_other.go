//go:build !unix

package portable

// useRaw does nothing: conn is read and written plainly.
func (l *link) useRaw() {}

func (l *link) receiveRaw() error { panic("portable: no raw connections on this system") }

func (l *link) sendNow([]byte) (int, error) { return 0, nil }
