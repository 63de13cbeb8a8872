package logfile_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/windhover-server/windhover/cmd/windhover/internal/logfile"
)

func TestReopenFollowsTheName(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	f, err := logfile.Open(path, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	write := func(s string) {
		t.Helper()
		if _, err := f.Write([]byte(s)); err != nil {
			t.Fatal(err)
		}
	}
	write("one\n")
	if err := os.Rename(path, path+".1"); err != nil {
		t.Fatal(err)
	}
	write("two\n")
	if err := f.Reopen(); err != nil {
		t.Fatal(err)
	}
	write("three\n")
	for name, want := range map[string]string{path: "three\n", path + ".1": "one\ntwo\n"} {
		if got, err := os.ReadFile(name); err != nil || string(got) != want {
			t.Errorf("%s: %q %v", name, got, err)
		}
	}
}

func TestReopenFailureKeepsTheOldFile(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "logs")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	f, err := logfile.Open(filepath.Join(dir, "log"), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := os.Rename(dir, dir+".moved"); err != nil {
		t.Fatal(err)
	}
	if err := f.Reopen(); err == nil {
		t.Error("no error")
	}
	if _, err := f.Write([]byte("x")); err != nil {
		t.Error(err)
	}
}

func TestOpenNamesTheFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "missing", "log")
	if _, err := logfile.Open(path, nil); err == nil || !strings.Contains(err.Error(), path) {
		t.Error(err)
	}
}

// gate is a writer that blocks until it is opened.
type gate struct {
	open  chan struct{}
	enter chan struct{} // gets a token when a write has begun
	mu    sync.Mutex
	bytes.Buffer
}

func (g *gate) Write(p []byte) (int, error) {
	select {
	case g.enter <- struct{}{}:
	default:
	}
	<-g.open
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.Buffer.Write(p)
}

func TestBufferDropsWhenTheFileIsSlow(t *testing.T) {
	g := &gate{open: make(chan struct{}), enter: make(chan struct{}, 1)}
	b := logfile.NewBuffer(g, 10)
	put := func(s string) {
		t.Helper()
		if n, err := b.Write([]byte(s)); err != nil || n != len(s) {
			t.Fatal(n, err)
		}
	}
	put("first\n")
	<-g.enter // the first record is on its way, the buffer is empty
	put("12345678\n")
	put("lost\n")
	put("lost, too\n")
	if b.Dropped() != 2 {
		t.Errorf("dropped %d", b.Dropped())
	}
	close(g.open)
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	if got := g.String(); got != "first\n12345678\n" {
		t.Errorf("%q", got)
	}
	if _, err := b.Write([]byte("x")); !errors.Is(err, logfile.ErrClosed) {
		t.Error(err)
	}
	if err := b.Close(); !errors.Is(err, logfile.ErrClosed) {
		t.Error(err)
	}
}

func TestBufferKeepsEveryRecordWhole(t *testing.T) {
	var out bytes.Buffer
	b := logfile.NewBuffer(&out, 1<<20)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 500 {
				if _, err := b.Write([]byte("a whole record\n")); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	if want := strings.Repeat("a whole record\n", 4000); out.String() != want {
		t.Errorf("%d bytes of %d", out.Len(), len(want))
	}
}
