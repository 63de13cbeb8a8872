package windhover

import (
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"testing/synctest"
	"time"
)

// kept counts the files that d keeps open.
func (d *Dir) kept(t *testing.T) int {
	t.Helper()
	d.mu.Lock()
	defer d.mu.Unlock()
	n := 0
	d.files.Range(func(_, e any) bool {
		n++
		if e.(*dirEntry).holds.Load() < 1 {
			t.Error("a file that has been closed is kept")
		}
		return true
	})
	if n != d.n {
		t.Errorf("%d files kept, %d counted", n, d.n)
	}
	return n
}

func TestDirLetsFilesGo(t *testing.T) {
	root := t.TempDir()
	for i := range dirFiles + 10 {
		if err := os.WriteFile(filepath.Join(root, strconv.Itoa(i)), nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	synctest.Test(t, func(t *testing.T) {
		d, err := OpenDir(root)
		if err != nil {
			t.Fatal(err)
		}
		use := func(i int) *dirEntry {
			f, err := d.Open("/" + strconv.Itoa(i))
			if err != nil {
				t.Fatal(err)
			}
			if err := f.Close(); err != nil {
				t.Fatal(err)
			}
			return f.(*dirFile).entry
		}
		var all []*dirEntry
		for i := range dirFiles + 10 {
			all = append(all, use(i))
		}
		if n := d.kept(t); n != dirFiles {
			t.Errorf("%d files are kept, want %d", n, dirFiles)
		}
		// One more use, after the first sweep: it stays for another one.
		time.Sleep(dirKeep + time.Second)
		synctest.Wait()
		use(0)
		time.Sleep(dirKeep)
		synctest.Wait()
		if n := d.kept(t); n != 1 {
			t.Errorf("%d files are kept, want the one that was used", n)
		}
		time.Sleep(2 * dirKeep)
		synctest.Wait()
		if n := d.kept(t); n != 0 {
			t.Errorf("%d files are kept, want none", n)
		}
		d.mu.Lock()
		if d.sweep != nil {
			t.Error("the sweep goes on with nothing to do")
		}
		d.mu.Unlock()
		for i, e := range all {
			if _, err := e.file.Stat(); err == nil {
				t.Errorf("file %d is open", i)
			}
		}
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	})
}
