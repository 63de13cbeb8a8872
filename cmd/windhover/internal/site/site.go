// Package site serves the files of one directory as http.FileServerFS does,
// and keeps to that directory.
//
//	path ──▶ hidden? ──▶ windhover.Dir (no way out) ──▶ redirect, index or listing
//	                                          └──▶ file: precompressed sibling,
//	                                               compressed on the fly, or as it
//	                                               is, with ranges and sendfile
//
// Files and directories whose names start with a dot do not exist for it
// unless asked for, and neither does what a symbolic link points to outside of
// the directory.
package site

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"mime"
	"net/http"
	"os"
	"path"
	"strconv"
	"strings"

	"github.com/windhover-server/windhover"
)

// Options say how the directory is shown.
type Options struct {
	Index         string // file that stands for its directory; "" for none
	Listing       bool   // list directories without an index, else 404
	Dotfiles      bool   // serve names that start with a dot
	Compress      bool   // compress what is worth it
	Precompressed bool   // prefer siblings ending in .zst, .br, .gz
	CacheControl  string // Cache-Control of files; "" for none
	Logger        *slog.Logger
}

// Site is an [http.Handler]. It must be closed after use.
type Site struct {
	dir      *windhover.Dir
	opt      Options
	compress func(http.Handler) http.HandlerFunc
}

// Open returns the Site of a directory.
func Open(dir string, opt Options) (*Site, error) {
	info, err := os.Stat(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("directory %q does not exist; give one that does", dir)
	case err != nil:
		return nil, fmt.Errorf("directory %q: %w", dir, err)
	case !info.IsDir():
		return nil, fmt.Errorf("%q is not a directory; give the directory that holds it", dir)
	}
	d, err := windhover.OpenDir(dir)
	if err != nil {
		return nil, fmt.Errorf("directory %q: %w", dir, err)
	}
	s := &Site{dir: d, opt: opt}
	if s.compress, err = newCompressor(); err != nil {
		return nil, err
	}
	return s, nil
}

// Close gives the directory back. Requests that are being served go on.
func (s *Site) Close() error { return s.dir.Close() }

// ServeHTTP implements [http.Handler] for GET and HEAD.
func (s *Site) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		http.Error(w, http.StatusText(http.StatusMethodNotAllowed), http.StatusMethodNotAllowed)
		return
	}
	upath := path.Clean("/" + r.URL.Path)
	if strings.HasSuffix(r.URL.Path, "/"+s.opt.Index) && s.opt.Index != "" {
		redirect(w, r, "./")
		return
	}
	name := strings.TrimPrefix(upath, "/")
	if name == "" {
		name = "."
	}
	f, info, err := s.open(name)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	defer f.Close()
	switch slash := strings.HasSuffix(r.URL.Path, "/"); {
	case info.IsDir() && !slash:
		redirect(w, r, path.Base(upath)+"/")
	case info.IsDir():
		s.serveDir(w, r, name, f)
	case slash:
		redirect(w, r, "../"+path.Base(upath))
	default:
		s.serveFile(w, r, name, f, info)
	}
}

// open opens a name that the site shows. What is neither a file nor a
// directory (a device, a named pipe) does not exist.
func (s *Site) open(name string) (http.File, fs.FileInfo, error) {
	if !fs.ValidPath(name) || strings.ContainsRune(name, 0) || s.hidden(name) {
		return nil, nil, fs.ErrNotExist
	}
	f, err := s.dir.Open(name)
	if err != nil {
		return nil, nil, err
	}
	info, err := f.Stat()
	if err == nil && !info.IsDir() && !info.Mode().IsRegular() {
		err = fs.ErrNotExist
	}
	if err != nil {
		_ = f.Close() // nothing was written
		return nil, nil, err
	}
	return f, info, nil
}

// hidden reports whether an element of name starts with a dot.
func (s *Site) hidden(name string) bool {
	return !s.opt.Dotfiles && name != "." && (name[0] == '.' || strings.Contains(name, "/."))
}

// fail answers for a name that cannot be served. Anything but a missing
// permission looks like a missing file, above all a link that leads out of the
// directory.
func (s *Site) fail(w http.ResponseWriter, r *http.Request, err error) {
	if errors.Is(err, fs.ErrPermission) {
		http.Error(w, "403 Forbidden", http.StatusForbidden)
		return
	}
	if !errors.Is(err, fs.ErrNotExist) && s.opt.Logger != nil {
		s.opt.Logger.DebugContext(r.Context(), "file not served", slog.String("path", r.URL.Path), slog.String("error", err.Error()))
	}
	http.NotFound(w, r)
}

// redirect keeps the query; the location is relative, so that it holds behind
// a proxy that removes a prefix.
func redirect(w http.ResponseWriter, r *http.Request, location string) {
	if q := r.URL.RawQuery; q != "" {
		location += "?" + q
	}
	w.Header().Set("Location", location)
	w.WriteHeader(http.StatusMovedPermanently)
}

func (s *Site) serveDir(w http.ResponseWriter, r *http.Request, name string, dir http.File) {
	if s.opt.Index != "" {
		index := path.Join(name, s.opt.Index)
		if f, info, err := s.open(index); err == nil {
			defer f.Close()
			if !info.IsDir() {
				s.serveFile(w, r, index, f, info)
				return
			}
		}
	}
	if !s.opt.Listing {
		http.NotFound(w, r)
		return
	}
	s.list(w, r, dir)
}

func (s *Site) serveFile(w http.ResponseWriter, r *http.Request, name string, f http.File, info fs.FileInfo) {
	h := w.Header()
	if s.opt.CacheControl != "" {
		h.Set("Cache-Control", s.opt.CacheControl)
	}
	ctype := mime.TypeByExtension(path.Ext(name))
	if s.opt.Precompressed && s.servePrecompressed(w, r, name, ctype) {
		return
	}
	h.Set("Etag", etag(info))
	if s.opt.Compress && worthCompressing(ctype, info.Size()) {
		addVary(h)
		if r.Header.Get("Range") == "" {
			h.Set("Content-Type", ctype)
			s.serveCompressed(w, r, name, f, info)
			return
		}
	}
	http.ServeContent(w, r, name, info.ModTime(), f)
}

// etag is strong: a file that is written again has another modification time
// or, within the clock's resolution, hopefully another size.
func etag(info fs.FileInfo) string {
	return `"` + strconv.FormatInt(info.ModTime().UnixNano(), 36) + "-" + strconv.FormatInt(info.Size(), 36) + `"`
}
