package listen_test

import (
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/windhover-server/windhover/listen"
)

// tenBytes opens a file that holds "0123456789".
func tenBytes(t *testing.T) *os.File {
	t.Helper()
	path := filepath.Join(t.TempDir(), "f")
	if err := os.WriteFile(path, []byte("0123456789"), 0o644); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

func TestFileOf(t *testing.T) {
	f := tenBytes(t)
	moved := io.NewSectionReader(f, 2, 6)
	if _, err := moved.Seek(4, io.SeekStart); err != nil {
		t.Fatal(err)
	}
	past := io.NewSectionReader(f, 2, 6)
	if _, err := past.Seek(8, io.SeekStart); err != nil {
		t.Fatal(err)
	}
	const all = 1<<63 - 1
	for name, c := range map[string]struct {
		r             io.Reader
		ok            bool
		offset, count int64
	}{
		"file":                     {f, true, -1, all},
		"part of a file":           {io.LimitReader(f, 3), true, -1, 3},
		"nothing of a file":        {io.LimitReader(f, -1), true, -1, 0},
		"section":                  {io.NewSectionReader(f, 2, 6), true, 2, 6},
		"section read in part":     {moved, true, 6, 2},
		"section read to past end": {past, true, 10, 0},
		"part of a section":        {io.LimitReader(io.NewSectionReader(f, 2, 6), 4), true, 2, 4},
		"more than a section":      {io.LimitReader(io.NewSectionReader(f, 2, 6), 40), true, 2, 6},
		"text":                     {strings.NewReader("x"), false, 0, 0},
		"section of a text":        {io.NewSectionReader(strings.NewReader("x"), 0, 1), false, 0, 0},
		"limit of a limit":         {io.LimitReader(io.LimitReader(f, 3), 2), false, 0, 0},
	} {
		t.Run(name, func(t *testing.T) {
			got, ok := listen.FileOf(c.r)
			if ok != c.ok || ok && (got.File != f || got.Offset != c.offset || got.Count != c.count) {
				t.Errorf("%+v, %v", got, ok)
			}
		})
	}
}

func TestFileRangeAdvanceMovesTheReaders(t *testing.T) {
	f := tenBytes(t)
	r := io.LimitReader(io.NewSectionReader(f, 1, 8), 6)
	fr, ok := listen.FileOf(r)
	if !ok {
		t.Fatal("not found")
	}
	if err := fr.Advance(2); err != nil {
		t.Fatal(err)
	}
	if fr.Offset != 3 || fr.Count != 4 {
		t.Errorf("offset %d, count %d; want 3, 4", fr.Offset, fr.Count)
	}
	if rest, err := io.ReadAll(r); err != nil || string(rest) != "3456" {
		t.Errorf("the reader goes on with %q, %v", rest, err)
	}
}
