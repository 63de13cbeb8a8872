// Package logfile writes logs to a file or a standard stream: files can be
// reopened for rotation, and a log of requests may not slow the requests.
//
//	requests ──▶ Buffer (bounded; full: dropped and counted) ──▶ File ──▶ disk
package logfile

import (
	"errors"
	"io"
	"os"
	"sync"
	"sync/atomic"
)

// File is an append-only file that can be reopened under its name, or a
// standard stream. Its methods may be called from any goroutine.
type File struct {
	path string

	mu sync.Mutex
	w  io.Writer
	f  *os.File // nil for a stream
}

// Open opens path for appending; with an empty path the File is stream.
func Open(path string, stream io.Writer) (*File, error) {
	if path == "" {
		return &File{w: stream}, nil
	}
	l := &File{path: path}
	return l, l.Reopen()
}

// Reopen opens the file anew, after something else has renamed it. On failure
// the old one stays in use. For a stream it does nothing.
func (l *File) Reopen() error {
	if l.path == "" {
		return nil
	}
	f, err := os.OpenFile(l.path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o640)
	if err != nil {
		return err // names the file
	}
	l.mu.Lock()
	old := l.f
	l.f, l.w = f, f
	l.mu.Unlock()
	if old != nil {
		return old.Close()
	}
	return nil
}

// Write implements [io.Writer].
func (l *File) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.w.Write(p)
}

// Close closes the file; it does nothing for a stream.
func (l *File) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.f == nil {
		return nil
	}
	return l.f.Close()
}

// Buffer takes records without waiting and writes them from a goroutine of its
// own, as many at a time as have come meanwhile. When its limit is reached,
// because the disk or whoever reads the pipe is slow, further records are
// dropped and counted.
type Buffer struct {
	w       io.Writer
	limit   int
	dropped atomic.Uint64
	failed  atomic.Uint64

	mu     sync.Mutex
	buf    []byte
	closed bool
	wake   chan struct{} // holds one token when there is something to write
	done   chan struct{}
}

// ErrClosed is returned by writes to a closed Buffer.
var ErrClosed = errors.New("logfile: buffer closed")

// NewBuffer starts a Buffer of at most limit bytes in front of w.
func NewBuffer(w io.Writer, limit int) *Buffer {
	b := &Buffer{w: w, limit: limit, wake: make(chan struct{}, 1), done: make(chan struct{})}
	go b.run()
	return b
}

// Write takes one record. It never blocks for longer than copying takes.
func (b *Buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return 0, ErrClosed
	}
	if len(b.buf)+len(p) > b.limit {
		b.dropped.Add(1)
		return len(p), nil
	}
	b.buf = append(b.buf, p...)
	select {
	case b.wake <- struct{}{}:
	default:
	}
	return len(p), nil
}

func (b *Buffer) run() {
	defer close(b.done)
	var spare []byte
	for range b.wake {
		b.mu.Lock()
		full := b.buf
		b.buf = spare[:0]
		b.mu.Unlock()
		if len(full) > 0 {
			if _, err := b.w.Write(full); err != nil {
				b.failed.Add(1)
			}
		}
		spare = full
	}
}

// Dropped returns how many records did not fit.
func (b *Buffer) Dropped() uint64 { return b.dropped.Load() }

// Failed returns how many writes to the file have failed.
func (b *Buffer) Failed() uint64 { return b.failed.Load() }

// Close writes what is left and stops the goroutine.
func (b *Buffer) Close() error {
	b.mu.Lock()
	if b.closed {
		b.mu.Unlock()
		return ErrClosed
	}
	b.closed = true
	select {
	case b.wake <- struct{}{}:
	default:
	}
	close(b.wake)
	b.mu.Unlock()
	<-b.done
	return nil
}
