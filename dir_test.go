package windhover_test

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/windhover-server/windhover"
	"github.com/windhover-server/windhover/listen"
)

func openDir(t *testing.T, files map[string]string) (*windhover.Dir, string) {
	t.Helper()
	root := t.TempDir()
	for name, content := range files {
		path := filepath.Join(root, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	d, err := windhover.OpenDir(root)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	return d, root
}

func readDirFile(t *testing.T, d *windhover.Dir, name string) string {
	t.Helper()
	f, err := d.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	b, err := io.ReadAll(f)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestDirSeesEveryChange(t *testing.T) {
	write := func(t *testing.T, path, content string, mod time.Time) {
		t.Helper()
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(path, mod, mod); err != nil {
			t.Fatal(err)
		}
	}
	past := time.Now().Add(-time.Hour)
	for name, change := range map[string]func(t *testing.T, path string){
		"replaced by a file of the same size and time": func(t *testing.T, path string) {
			write(t, path+".new", "two", past)
			if err := os.Rename(path+".new", path); err != nil {
				t.Fatal(err)
			}
		},
		"written to":                    func(t *testing.T, path string) { write(t, path, "two", past.Add(time.Second)) },
		"written to without a new time": func(t *testing.T, path string) { write(t, path, "longer", past) },
	} {
		t.Run(name, func(t *testing.T) {
			d, root := openDir(t, nil)
			path := filepath.Join(root, "a")
			write(t, path, "one", past)
			for range 2 {
				if got := readDirFile(t, d, "/a"); got != "one" {
					t.Fatalf("got %q", got)
				}
			}
			change(t, path)
			want, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if got := readDirFile(t, d, "/a"); got != string(want) {
				t.Errorf("got %q, the file has %q", got, want)
			}
			if err := os.Remove(path); err != nil {
				t.Fatal(err)
			}
			if _, err := d.Open("/a"); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("after removing: %v", err)
			}
		})
	}
}

func TestDirKeepsInside(t *testing.T) {
	d, root := openDir(t, map[string]string{"sub/a": "inside"})
	outside := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(outside, []byte("secret"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(outside, filepath.Join(root, "link")); err != nil {
		t.Skip("no symbolic links:", err)
	}
	if err := os.Symlink("sub/a", filepath.Join(root, "good")); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"/link", "/../" + filepath.Base(outside), "/nothing", "/sub/a/b", "/a\x00b"} {
		if f, err := d.Open(name); err == nil {
			f.Close()
			t.Errorf("%q was opened", name)
		}
	}
	for _, name := range []string{"/sub/a", "sub/a", "/sub/../sub/./a", "/good"} {
		if got := readDirFile(t, d, name); got != "inside" {
			t.Errorf("%q: got %q", name, got)
		}
	}
}

func TestDirFilesHavePositionsOfTheirOwn(t *testing.T) {
	d, _ := openDir(t, map[string]string{"a": "0123456789"})
	one, err := d.Open("/a")
	if err != nil {
		t.Fatal(err)
	}
	two, err := d.Open("/a")
	if err != nil {
		t.Fatal(err)
	}
	var b [4]byte
	if _, err := io.ReadFull(one, b[:]); err != nil || string(b[:]) != "0123" {
		t.Fatal(string(b[:]), err)
	}
	if _, err := io.ReadFull(two, b[:]); err != nil || string(b[:]) != "0123" {
		t.Fatal(string(b[:]), err)
	}
	if err := one.Close(); err != nil {
		t.Fatal(err)
	}
	if err := one.Close(); !errors.Is(err, fs.ErrClosed) {
		t.Errorf("a second Close: %v", err)
	}
	if _, err := io.ReadFull(two, b[:]); err != nil || string(b[:]) != "4567" {
		t.Errorf("got %q, %v after the other reader was closed", b, err)
	}
	if f, ok := listen.FileOf(io.LimitReader(two, 1)); !ok || f.Offset != 8 || f.Count != 1 {
		t.Errorf("the transports would send %+v, %v", f, ok)
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(two, b[:2]); err != nil || string(b[:2]) != "89" {
		t.Errorf("got %q, %v after the Dir was closed", b[:2], err)
	}
	if err := two.Close(); err != nil {
		t.Error(err)
	}
}

func TestDirServesThroughFileServer(t *testing.T) {
	big := string(bytes.Repeat([]byte("0123456789abcdef"), 1<<14))
	d, _ := openDir(t, map[string]string{"big.bin": big, "sub/index.html": "<p>index"})
	for _, transport := range []windhover.Transport{windhover.Portable, windhover.Auto} {
		srv := &windhover.Server{Handler: http.FileServer(d), Transport: transport, URLs: []string{"http://127.0.0.1:0"}}
		if err := srv.Listen(t.Context()); err != nil {
			t.Fatal(err)
		}
		served := make(chan error, 1)
		go func() { served <- srv.ServeListeners() }()
		base := "http://" + srv.Addrs()[0].String()
		for _, c := range []struct{ path, rng, want string }{
			{"/big.bin", "", big}, {"/big.bin", "", big}, {"/big.bin", "bytes=100000-200000", big[100000:200001]},
			{"/big.bin", "bytes=-5", big[len(big)-5:]}, {"/sub/", "", "<p>index"},
		} {
			r := httptest.NewRequest(http.MethodGet, base+c.path, nil)
			r.RequestURI = ""
			if c.rng != "" {
				r.Header.Set("Range", c.rng)
			}
			resp, err := http.DefaultClient.Do(r)
			if err != nil {
				t.Fatal(err)
			}
			got, err := io.ReadAll(resp.Body)
			resp.Body.Close()
			if err != nil || string(got) != c.want {
				t.Errorf("%v %s %s: %d bytes, %v; want %d", transport, c.path, c.rng, len(got), err, len(c.want))
			}
		}
		if err := srv.Close(); err != nil {
			t.Error(err)
		}
		if err := <-served; !errors.Is(err, http.ErrServerClosed) {
			t.Error(err)
		}
	}
	http.DefaultClient.CloseIdleConnections()
}
