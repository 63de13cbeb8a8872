package windhover

import (
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// dirFiles is how many files a Dir keeps open at most.
	dirFiles = 512
	// dirKeep is how long a Dir keeps a file open that nobody asks for, at most
	// twice.
	dirKeep = 15 * time.Second
)

// Dir is an [http.FileSystem] of one directory, for [http.FileServer]. It
// differs from [http.Dir] in two ways. Nothing outside of the directory is
// opened, also not through a symbolic link (see [os.Root]). And regular files
// stay open between requests, 512 at most, each for 15 to 30 seconds after its
// last use: a request costs one stat(2), which notices that a file has been
// replaced, written to or removed, and one sendfile(2). A file that is removed
// may keep its space on the disk for as long.
//
// A Dir may be used by several goroutines at once.
type Dir struct {
	root  *os.Root
	files sync.Map // name in the root → *dirEntry

	mu     sync.Mutex // guards what follows, and changes of files
	n      int        // of files
	sweep  *time.Timer
	closed bool
}

// OpenDir opens the directory with this name. The caller must close the Dir
// after use.
func OpenDir(name string) (*Dir, error) {
	root, err := os.OpenRoot(name)
	if err != nil {
		return nil, err
	}
	return &Dir{root: root}, nil
}

// Close closes the directory and the files that no request is using.
func (d *Dir) Close() error {
	d.mu.Lock()
	d.closed = true
	if d.sweep != nil {
		d.sweep.Stop()
	}
	d.files.Range(func(name, e any) bool {
		d.drop(name.(string), e.(*dirEntry))
		return true
	})
	d.mu.Unlock()
	return d.root.Close()
}

// Open implements [http.FileSystem]. name is separated by slashes and counts
// from the directory, with or without a slash at its beginning.
func (d *Dir) Open(name string) (http.File, error) {
	rel := strings.TrimPrefix(path.Clean("/"+name), "/")
	if rel == "" {
		rel = "."
	}
	local, err := filepath.Localize(rel)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
	}
	info, err := d.root.Stat(local)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return d.root.OpenFile(local, os.O_RDONLY|nonBlock, 0)
	}
	if v, ok := d.files.Load(local); ok {
		if e := v.(*dirEntry); e.is(info) && e.acquire() {
			return e.reader(), nil
		}
	}
	e, err := d.open(local)
	if err != nil {
		return nil, err
	}
	return e.reader(), nil
}

// open opens a file and keeps it. The caller has a hold on the entry.
func (d *Dir) open(name string) (*dirEntry, error) {
	f, err := d.root.OpenFile(name, os.O_RDONLY|nonBlock, 0)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("open %s: %w", name, fs.ErrNotExist) // replaced meanwhile
	}
	if err != nil {
		_ = f.Close() // nothing was written
		return nil, err
	}
	e := &dirEntry{file: f, info: info}
	e.holds.Store(1)
	d.mu.Lock()
	defer d.mu.Unlock()
	if old, ok := d.files.Load(name); ok {
		d.drop(name, old.(*dirEntry))
	}
	if d.closed || d.n >= dirFiles {
		return e, nil // closed after this use
	}
	e.holds.Add(1)
	e.used.Store(true)
	d.files.Store(name, e)
	d.n++
	if d.sweep == nil {
		d.sweep = time.AfterFunc(dirKeep, d.tidy)
	}
	return e, nil
}

// drop takes an entry out. The lock is held.
func (d *Dir) drop(name string, e *dirEntry) {
	if d.files.CompareAndDelete(name, e) {
		d.n--
		_ = e.release() // nothing was written
	}
}

// tidy drops what has not been used since it was here last.
func (d *Dir) tidy() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.files.Range(func(name, e any) bool {
		if !e.(*dirEntry).used.Swap(false) {
			d.drop(name.(string), e.(*dirEntry))
		}
		return true
	})
	if d.n == 0 || d.closed {
		d.sweep = nil
		return
	}
	d.sweep.Reset(dirKeep)
}

// dirEntry is an open file. It is closed with its last hold: the Dir has one,
// and each reader.
type dirEntry struct {
	file  *os.File
	info  fs.FileInfo
	holds atomic.Int64
	used  atomic.Bool // since tidy came by
}

// is reports whether info, just asked for, still describes the entry.
func (e *dirEntry) is(info fs.FileInfo) bool {
	return os.SameFile(e.info, info) && e.info.Size() == info.Size() && e.info.ModTime().Equal(info.ModTime())
}

// acquire takes a hold, unless the file has been closed.
func (e *dirEntry) acquire() bool {
	for n := e.holds.Load(); n > 0; n = e.holds.Load() {
		if e.holds.CompareAndSwap(n, n+1) {
			if !e.used.Load() {
				e.used.Store(true)
			}
			return true
		}
	}
	return false
}

func (e *dirEntry) release() error {
	if e.holds.Add(-1) > 0 {
		return nil
	}
	return e.file.Close()
}

// reader turns a hold into a file with a position of its own.
func (e *dirEntry) reader() *dirFile {
	return &dirFile{SectionReader: io.NewSectionReader(e.file, 0, e.info.Size()), entry: e}
}

// dirFile is a reader's view of an entry. That it is an io.SectionReader of an
// *os.File tells the transports that they can use sendfile.
type dirFile struct {
	*io.SectionReader
	entry  *dirEntry
	closed atomic.Bool
}

// Close implements [http.File].
func (f *dirFile) Close() error {
	if f.closed.Swap(true) {
		return fs.ErrClosed
	}
	return f.entry.release()
}

// Stat implements [http.File].
func (f *dirFile) Stat() (fs.FileInfo, error) { return f.entry.info, nil }

// Readdir implements [http.File]. A regular file has no entries.
func (f *dirFile) Readdir(int) ([]fs.FileInfo, error) {
	return nil, &fs.PathError{Op: "readdir", Path: f.entry.info.Name(), Err: fs.ErrInvalid}
}
