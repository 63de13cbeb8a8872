package site_test

import (
	"bytes"
	"compress/gzip"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"

	"github.com/windhover-server/windhover/cmd/windhover/internal/site"
	"github.com/windhover-server/windhover/listen"
)

var longText = strings.Repeat("windhover hangs in the wind; ", 200)

var modTime = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

func tree(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, content := range files {
		path := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(path, modTime, modTime); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

var standard = site.Options{Index: "index.html", Listing: true, Compress: true}

func open(t *testing.T, dir string, opt site.Options) *site.Site {
	t.Helper()
	s, err := site.Open(dir, opt)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// get asks h for a path, with header lines in pairs.
func get(h http.Handler, method, target string, header ...string) *http.Response {
	r := httptest.NewRequest(method, target, nil)
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w.Result()
}

func body(t *testing.T, res *http.Response) string {
	t.Helper()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestAgreesWithFileServer(t *testing.T) {
	dir := tree(t, map[string]string{
		"a.txt": "hello", "index.html": "<p>home", "sub/index.html": "<p>sub", "sub/b.css": "x", "empty.txt": "",
		"list/one.txt": "1", "list/two words.txt": "2", "noext": "<html>sniffed", "a+b&c.txt": "odd",
	})
	ours, theirs := open(t, dir, standard), http.FileServerFS(os.DirFS(dir))
	for _, target := range []string{
		"/", "/a.txt", "/a.txt/", "/index.html", "/sub", "/sub/", "/sub/index.html", "/sub/b.css", "/sub/../a.txt", "/empty.txt",
		"/missing", "/missing/", "/sub/missing", "/list/two%20words.txt", "/noext", "/a+b&c.txt", "/sub?q=1", "/a.txt/?q=1", "/index.html?x=y", "/..%2fa.txt",
	} {
		for _, header := range [][]string{
			nil, {"Range", "bytes=1-2"}, {"Range", "bytes=1-2,4-"}, {"Range", "bytes=900-"}, {"Range", "lines=1"},
			{"If-Modified-Since", "Fri, 02 Jan 2026 03:04:05 GMT"}, {"If-Unmodified-Since", "Fri, 02 Jan 2020 03:04:05 GMT"},
		} {
			for _, method := range []string{http.MethodGet, http.MethodHead} {
				got, want := get(ours, method, target, header...), get(theirs, method, target, header...)
				if got.StatusCode != want.StatusCode {
					t.Errorf("%s %s %v: status %d, FileServer %d", method, target, header, got.StatusCode, want.StatusCode)
					continue
				}
				for _, name := range []string{"Location", "Last-Modified", "Accept-Ranges", "Content-Range", "Content-Length"} {
					if name == "Last-Modified" && got.StatusCode == http.StatusNotModified {
						continue // ServeContent leaves it out where there is an ETag
					}
					if got.Header.Get(name) != want.Header.Get(name) {
						t.Errorf("%s %s %v: %s %q, FileServer %q", method, target, header, name, got.Header.Get(name), want.Header.Get(name))
					}
				}
				g, w := body(t, got), body(t, want)
				if !strings.HasPrefix(got.Header.Get("Content-Type"), "multipart/") && g != w {
					t.Errorf("%s %s %v: body %q, FileServer %q", method, target, header, g, w)
				}
			}
		}
	}
}

func TestETagRevalidates(t *testing.T) {
	s := open(t, tree(t, map[string]string{"a.txt": longText}), standard)
	for _, encoding := range []string{"", "gzip", "zstd"} {
		res := get(s, http.MethodGet, "/a.txt", "Accept-Encoding", encoding)
		tag := res.Header.Get("Etag")
		if weak := strings.HasPrefix(tag, "W/"); weak != (encoding != "") || tag == "" {
			t.Errorf("%q: ETag %s", encoding, tag)
		}
		again := get(s, http.MethodGet, "/a.txt", "Accept-Encoding", encoding, "If-None-Match", tag)
		if again.StatusCode != http.StatusNotModified || body(t, again) != "" {
			t.Errorf("%q: %d", encoding, again.StatusCode)
		}
	}
}

func TestIfRangeNeedsTheStrongETag(t *testing.T) {
	s := open(t, tree(t, map[string]string{"a.txt": longText}), standard)
	strong := get(s, http.MethodGet, "/a.txt").Header.Get("Etag")
	if res := get(s, http.MethodGet, "/a.txt", "Range", "bytes=0-3", "If-Range", strong); res.StatusCode != http.StatusPartialContent {
		t.Error(res.StatusCode)
	}
	if res := get(s, http.MethodGet, "/a.txt", "Range", "bytes=0-3", "If-Range", "W/"+strong); res.StatusCode != http.StatusOK {
		t.Error(res.StatusCode)
	}
}

func decode(t *testing.T, coding, s string) string {
	t.Helper()
	var r io.Reader = strings.NewReader(s)
	var err error
	switch coding {
	case "gzip":
		r, err = gzip.NewReader(r)
	case "zstd":
		var d *zstd.Decoder
		if d, err = zstd.NewReader(r); err == nil {
			defer d.Close()
			r = d
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestCompressionIsNegotiated(t *testing.T) {
	s := open(t, tree(t, map[string]string{"a.txt": longText, "b.js": longText, "c.png": longText, "small.txt": "x", "noext": longText}), standard)
	for _, c := range []struct {
		target, accept, coding string
		vary                   bool
	}{
		{"/a.txt", "", "", true},
		{"/a.txt", "gzip", "gzip", true},
		{"/a.txt", "gzip, deflate, br, zstd", "zstd", true},
		{"/a.txt", "zstd;q=0, gzip", "gzip", true},
		{"/a.txt", "gzip;q=0", "", true},
		{"/a.txt", "br", "", true},
		{"/b.js", "zstd", "zstd", true},
		{"/c.png", "gzip, zstd", "", false},
		{"/small.txt", "gzip, zstd", "", false},
		{"/noext", "gzip, zstd", "", false},
	} {
		res := get(s, http.MethodGet, c.target, "Accept-Encoding", c.accept)
		if got := res.Header.Get("Content-Encoding"); got != c.coding {
			t.Errorf("%s, %q: coding %q", c.target, c.accept, got)
			continue
		}
		vary := res.Header.Values("Vary")
		if (len(vary) == 1 && vary[0] == "Accept-Encoding") != c.vary || len(vary) > 1 {
			t.Errorf("%s, %q: Vary %q", c.target, c.accept, vary)
		}
		if text := decode(t, c.coding, body(t, res)); c.vary && text != longText {
			t.Errorf("%s, %q: %d bytes", c.target, c.accept, len(text))
		}
	}
}

func TestRangesAreNeverCompressed(t *testing.T) {
	s := open(t, tree(t, map[string]string{"a.txt": longText}), standard)
	res := get(s, http.MethodGet, "/a.txt", "Accept-Encoding", "gzip, zstd", "Range", "bytes=0-9")
	if res.StatusCode != http.StatusPartialContent || res.Header.Get("Content-Encoding") != "" || res.Header.Get("Vary") != "Accept-Encoding" || body(t, res) != longText[:10] {
		t.Errorf("%d %v", res.StatusCode, res.Header)
	}
}

func TestHeadIsNotCompressed(t *testing.T) {
	s := open(t, tree(t, map[string]string{"a.txt": longText}), standard)
	res := get(s, http.MethodHead, "/a.txt", "Accept-Encoding", "gzip")
	if res.StatusCode != http.StatusOK || body(t, res) != "" || res.Header.Get("Vary") != "Accept-Encoding" {
		t.Errorf("%d %v", res.StatusCode, res.Header)
	}
}

func TestPrecompressedSiblings(t *testing.T) {
	opt := standard
	opt.Precompressed = true
	s := open(t, tree(t, map[string]string{"a.txt": "plain", "a.txt.gz": "GZ", "a.txt.br": "BR", "b.txt": "plain", ".c.txt.gz": "hidden", "d": "x", "d.gz": "x"}), opt)
	for _, c := range []struct{ target, accept, coding, want string }{
		{"/a.txt", "", "", "plain"}, {"/a.txt", "gzip", "gzip", "GZ"}, {"/a.txt", "gzip, br", "br", "BR"}, {"/a.txt", "*", "br", "BR"},
		{"/a.txt", "*, br;q=0", "gzip", "GZ"}, {"/a.txt", "zstd", "", "plain"}, {"/b.txt", "gzip", "", "plain"}, {"/d", "gzip", "", "x"},
	} {
		res := get(s, http.MethodGet, c.target, "Accept-Encoding", c.accept)
		if got := body(t, res); got != c.want || res.Header.Get("Content-Encoding") != c.coding {
			t.Errorf("%s, %q: %q, coding %q", c.target, c.accept, got, res.Header.Get("Content-Encoding"))
		}
		if c.target == "/a.txt" && (res.Header.Get("Vary") != "Accept-Encoding" || !strings.HasPrefix(res.Header.Get("Content-Type"), "text/plain")) {
			t.Errorf("%s, %q: %v", c.target, c.accept, res.Header)
		}
	}
	if res := get(s, http.MethodGet, "/a.txt", "Accept-Encoding", "gzip", "Range", "bytes=0-1"); body(t, res) != "pl" || res.Header.Get("Content-Encoding") != "" {
		t.Errorf("range: %v", res.Header)
	}
	tag := get(s, http.MethodGet, "/a.txt", "Accept-Encoding", "gzip").Header.Get("Etag")
	if res := get(s, http.MethodGet, "/a.txt", "Accept-Encoding", "gzip", "If-None-Match", tag); res.StatusCode != http.StatusNotModified || res.Header.Get("Content-Encoding") != "" {
		t.Errorf("%d %v", res.StatusCode, res.Header)
	}
}

func TestDotfilesDoNotExistUnlessAskedFor(t *testing.T) {
	dir := tree(t, map[string]string{".env": "secret", ".git/config": "secret", "sub/.x/y": "secret", "a.txt": "a"})
	s := open(t, dir, standard)
	for _, target := range []string{"/.env", "/.git/config", "/.git/", "/.git", "/sub/.x/y", "/%2eenv", "/sub/%2ex/y"} {
		if res := get(s, http.MethodGet, target); res.StatusCode != http.StatusNotFound {
			t.Errorf("%s: %d", target, res.StatusCode)
		}
	}
	if page := body(t, get(s, http.MethodGet, "/")); strings.Contains(page, ".env") || !strings.Contains(page, "a.txt") {
		t.Error(page)
	}
	opt := standard
	opt.Dotfiles = true
	if res := get(open(t, dir, opt), http.MethodGet, "/.env"); body(t, res) != "secret" {
		t.Error(res.StatusCode)
	}
}

func TestLinksCannotLeadOut(t *testing.T) {
	outside := tree(t, map[string]string{"secret.txt": "secret"})
	dir := tree(t, map[string]string{"in/a.txt": "inside"})
	for name, target := range map[string]string{
		"abs": outside, "file.txt": filepath.Join(outside, "secret.txt"), "rel": "../" + filepath.Base(outside), "ok": "in", "loop": "loop",
	} {
		if err := os.Symlink(target, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	s := open(t, dir, standard)
	for _, target := range []string{"/abs/secret.txt", "/abs/", "/abs", "/file.txt", "/rel/secret.txt", "/loop", "/../" + filepath.Base(outside) + "/secret.txt"} {
		if res := get(s, http.MethodGet, target); res.StatusCode != http.StatusNotFound {
			t.Errorf("%s: %d %s", target, res.StatusCode, body(t, res))
		}
	}
	if res := get(s, http.MethodGet, "/ok/a.txt"); body(t, res) != "inside" {
		t.Errorf("a link inside: %d", res.StatusCode)
	}
}

func TestListingEscapesNames(t *testing.T) {
	s := open(t, tree(t, map[string]string{"list/<b>&\".txt": "", "list/a:b": "", "list/sub/x": ""}), standard)
	page := body(t, get(s, http.MethodGet, "/list/"))
	for _, want := range []string{"&lt;b&gt;&amp;", `href="./a:b"`, `href="sub/"`, `href="../"`, "%3Cb%3E"} {
		if !strings.Contains(page, want) {
			t.Errorf("no %s in %s", want, page)
		}
	}
	opt := standard
	opt.Listing = false
	if res := get(open(t, tree(t, map[string]string{"a/b": ""}), opt), http.MethodGet, "/a/"); res.StatusCode != http.StatusNotFound {
		t.Error(res.StatusCode)
	}
}

func TestLongListingIsCompressed(t *testing.T) {
	files := map[string]string{}
	for _, c := range longText[:60] {
		files[strings.Repeat(string(c), 40)] = ""
	}
	res := get(open(t, tree(t, files), standard), http.MethodGet, "/", "Accept-Encoding", "gzip")
	if page := decode(t, "gzip", body(t, res)); !strings.Contains(page, strings.Repeat("w", 40)) {
		t.Error(page)
	}
}

func TestStrangeNamesAreNotFound(t *testing.T) {
	s := open(t, tree(t, map[string]string{"a.txt": ""}), standard)
	for _, target := range []string{"/a%00b", "/%00", "/a.txt%00", "/%ff%fe", "/" + strings.Repeat("x", 5000), "/a.txt/b"} {
		if res := get(s, http.MethodGet, target); res.StatusCode != http.StatusNotFound {
			t.Errorf("%.20s: %d", target, res.StatusCode)
		}
	}
}

func TestOtherMethodsAreRefused(t *testing.T) {
	res := get(open(t, t.TempDir(), standard), http.MethodPost, "/")
	if res.StatusCode != http.StatusMethodNotAllowed || res.Header.Get("Allow") != "GET, HEAD" {
		t.Errorf("%d %v", res.StatusCode, res.Header)
	}
}

func TestCacheControl(t *testing.T) {
	opt := standard
	opt.CacheControl = "max-age=60"
	s := open(t, tree(t, map[string]string{"a.txt": "a"}), opt)
	if got := get(s, http.MethodGet, "/a.txt").Header.Get("Cache-Control"); got != "max-age=60" {
		t.Errorf("%q", got)
	}
	if got := get(s, http.MethodGet, "/b.txt").Header.Get("Cache-Control"); got == "max-age=60" {
		t.Error("a missing file is cached like one")
	}
}

func TestOpenNamesTheDirectory(t *testing.T) {
	dir := tree(t, map[string]string{"file": ""})
	for _, path := range []string{filepath.Join(dir, "missing"), filepath.Join(dir, "file")} {
		if _, err := site.Open(path, standard); err == nil || !strings.Contains(err.Error(), path) {
			t.Error(err)
		}
	}
}

// readerFrom notices whether a file reaches the connection as a file, which is
// what sendfile(2) takes.
type readerFrom struct {
	*httptest.ResponseRecorder
	file bool
}

func (r *readerFrom) ReadFrom(src io.Reader) (int64, error) {
	_, r.file = listen.FileOf(src)
	return io.Copy(r.ResponseRecorder, src)
}

func TestFilesReachTheConnectionAsFiles(t *testing.T) {
	s := open(t, tree(t, map[string]string{"a.bin": string(bytes.Repeat([]byte{1}, 1<<17)), "a.txt": longText}), standard)
	for _, target := range []string{"/a.bin", "/a.txt"} {
		w := &readerFrom{ResponseRecorder: httptest.NewRecorder()}
		r := httptest.NewRequest(http.MethodGet, target, nil)
		r.Header.Set("Range", "bytes=100-")
		s.ServeHTTP(w, r)
		if !w.file {
			t.Errorf("%s: not sent as a file", target)
		}
	}
}
