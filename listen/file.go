package listen

import (
	"io"
	"os"
)

// FileRange is a range of a file that a [Link] sends without copying it.
type FileRange struct {
	File *os.File
	// Offset is where the range begins; if it is negative, at the file's own
	// position, which sending moves.
	Offset int64
	// Count is how many bytes there are at most.
	Count int64

	limited *io.LimitedReader
	section io.Seeker
}

// section is what [io.SectionReader] and types that embed one implement.
type section interface {
	io.Seeker
	Outer() (r io.ReaderAt, off, n int64)
}

// FileOf finds the file that r reads: r is an *os.File or reads a section of
// one, as [io.SectionReader] does, and may be inside an *io.LimitedReader. It
// reads nothing.
func FileOf(r io.Reader) (f FileRange, ok bool) {
	f = FileRange{Offset: -1, Count: 1<<63 - 1}
	if f.limited, ok = r.(*io.LimitedReader); ok {
		r, f.Count = f.limited.R, max(f.limited.N, 0)
	}
	switch r := r.(type) {
	case *os.File:
		f.File = r
		return f, true
	case section:
		at, off, n := r.Outer()
		if f.File, ok = at.(*os.File); !ok {
			return FileRange{}, false
		}
		pos, err := r.Seek(0, io.SeekCurrent)
		if err != nil {
			return FileRange{}, false
		}
		f.section, f.Offset, f.Count = r, off+pos, min(f.Count, max(n-pos, 0))
		return f, true
	}
	return FileRange{}, false
}

// Advance takes note that the first n bytes of f have been sent: the readers
// that FileOf was given move on by as much.
func (f *FileRange) Advance(n int64) error {
	f.Count -= n
	if f.limited != nil {
		f.limited.N -= n
	}
	if f.section == nil {
		return nil
	}
	f.Offset += n
	_, err := f.section.Seek(n, io.SeekCurrent)
	return err
}
