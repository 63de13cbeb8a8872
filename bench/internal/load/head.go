package load

import (
	"bytes"
	"fmt"
	"strconv"
)

// headParser reads response heads and checks status and length. Responses of
// one scenario differ at most in their Date, so it remembers the last head and
// compares: two comparisons instead of a parse, and still every byte looked at.
type headParser struct {
	status int
	length int64

	known   []byte // the last head parsed
	dateOff int    // offset of the 29 bytes of its Date value; len(known) without
}

const dateLen = len("Sun, 06 Nov 1994 08:49:37 GMT")

// parse returns the length of the head at the start of b, 0 when b does not
// hold all of it, or what is wrong with it.
func (p *headParser) parse(b []byte) (int, error) {
	if n := len(p.known); n > 0 && len(b) >= n && p.matches(b[:n]) {
		return n, nil
	}
	end := bytes.Index(b, []byte("\r\n\r\n"))
	if end < 0 {
		return 0, nil
	}
	head := b[:end+4]
	status, length, dateOff, err := readHead(head)
	if err != nil {
		return 0, err
	}
	if status != p.status {
		return 0, fmt.Errorf("status %d instead of %d", status, p.status)
	}
	if length != p.length {
		return 0, fmt.Errorf("Content-Length %d instead of %d", length, p.length)
	}
	p.known = append(p.known[:0], head...)
	p.dateOff = dateOff
	return len(head), nil
}

func (p *headParser) matches(b []byte) bool {
	if p.dateOff == len(p.known) {
		return bytes.Equal(b, p.known)
	}
	tail := p.dateOff + dateLen
	return bytes.Equal(b[:p.dateOff], p.known[:p.dateOff]) && bytes.Equal(b[tail:], p.known[tail:])
}

// readHead reads a complete response head. The length is -1 without a
// Content-Length.
func readHead(head []byte) (status int, length int64, dateOff int, err error) {
	const proto = "HTTP/1.1 "
	if len(head) < len(proto)+4 || string(head[:len(proto)]) != proto {
		return 0, 0, 0, fmt.Errorf("a response that starts %q", head[:min(len(head), 32)])
	}
	status, err = strconv.Atoi(string(head[len(proto) : len(proto)+3]))
	if err != nil {
		return 0, 0, 0, fmt.Errorf("a status line that starts %q", head[:len(proto)+3])
	}
	length, dateOff = -1, len(head)
	off := bytes.IndexByte(head, '\n') + 1
	for off < len(head)-2 {
		n := bytes.IndexByte(head[off:], '\n') + 1
		name, value, _ := bytes.Cut(head[off:off+n], []byte{':'})
		switch {
		case bytes.EqualFold(name, []byte("Content-Length")):
			length, err = strconv.ParseInt(string(bytes.TrimSpace(value)), 10, 64)
			if err != nil {
				return 0, 0, 0, fmt.Errorf("Content-Length %q", bytes.TrimSpace(value))
			}
		case bytes.EqualFold(name, []byte("Date")) && len(bytes.TrimSpace(value)) == dateLen:
			dateOff = off + len(name) + 1 + bytes.IndexByte(value, bytes.TrimSpace(value)[0])
		}
		off += n
	}
	return status, length, dateOff, nil
}
