package site

import (
	"io"
	"io/fs"
	"net/http"
	"strconv"
	"strings"

	"github.com/klauspost/compress/gzhttp"
)

// minCompress is the size below which compressing costs more than it saves.
const minCompress = 1024

// maxCompress is the size above which a file is sent as it is: compressing it
// anew for each client would keep a processor busy for long. Such files are
// what precompressed siblings are for.
const maxCompress = 16 << 20

func newCompressor() (func(http.Handler) http.HandlerFunc, error) {
	// The caller has decided that the content is worth it; what is left to
	// gzhttp is to negotiate, and to compress. The accepted ranges are those
	// of the file as it is, which a request with Range gets.
	return gzhttp.NewWrapper(gzhttp.MinSize(minCompress), gzhttp.PreferZstd(true), gzhttp.ContentTypeFilter(gzhttp.CompressAllContentTypeFilter))
}

func worthCompressing(ctype string, size int64) bool {
	return size >= minCompress && size <= maxCompress && compressible(ctype)
}

// compressible knows the types that are not compressed by themselves.
func compressible(ctype string) bool {
	media, _, _ := strings.Cut(strings.ToLower(ctype), ";")
	switch media = strings.TrimSpace(media); media {
	case "application/javascript", "application/json", "application/xml", "application/wasm", "application/rtf",
		"application/x-javascript", "application/xhtml+xml", "application/manifest+json", "application/vnd.ms-fontobject",
		"image/svg+xml", "image/bmp", "image/x-icon", "image/vnd.microsoft.icon", "font/ttf", "font/otf":
		return true
	}
	return strings.HasPrefix(media, "text/") || strings.HasSuffix(media, "+json") || strings.HasSuffix(media, "+xml")
}

// addVary announces that Accept-Encoding matters, also in the variants that
// are not encoded, so that a cache cannot hand one client another's.
func addVary(h http.Header) {
	for _, v := range h.Values("Vary") {
		if strings.EqualFold(v, "Accept-Encoding") {
			return
		}
	}
	h.Add("Vary", "Accept-Encoding")
}

func (s *Site) serveCompressed(w http.ResponseWriter, r *http.Request, name string, f http.File, info fs.FileInfo) {
	ew := &encodedWriter{ResponseWriter: w}
	s.compress(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.ServeContent(w, r, name, info.ModTime(), f)
	}))(ew, r)
}

// encodedWriter corrects the head of a response that gzhttp has compressed:
// its ETag becomes a weak one, since a strong one names exactly one sequence
// of bytes (RFC 9110 section 8.8.3.3), and one Vary is enough.
type encodedWriter struct {
	http.ResponseWriter
	begun bool
}

// Unwrap is for http.ResponseController.
func (w *encodedWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

func (w *encodedWriter) WriteHeader(status int) {
	if !w.begun && status >= 200 {
		w.begun = true
		h := w.Header()
		if tag := h.Get("Etag"); h.Get("Content-Encoding") != "" && strings.HasPrefix(tag, `"`) {
			h.Set("Etag", "W/"+tag)
		}
		if len(h.Values("Vary")) > 1 {
			h.Del("Vary")
			addVary(h)
		}
	}
	w.ResponseWriter.WriteHeader(status)
}

func (w *encodedWriter) Write(p []byte) (int, error) {
	if !w.begun {
		w.WriteHeader(http.StatusOK)
	}
	return w.ResponseWriter.Write(p)
}

// ReadFrom serves the case that the client accepts no encoding.
func (w *encodedWriter) ReadFrom(r io.Reader) (int64, error) {
	if !w.begun {
		w.WriteHeader(http.StatusOK)
	}
	return io.Copy(w.ResponseWriter, r)
}

// siblings are the encodings that may lie beside a file, best first.
var siblings = []struct{ suffix, coding string }{{".zst", "zstd"}, {".br", "br"}, {".gz", "gzip"}}

// servePrecompressed answers with a sibling if there is one that the client
// accepts. Ranges are of the file as it is.
func (s *Site) servePrecompressed(w http.ResponseWriter, r *http.Request, name, ctype string) bool {
	if ctype == "" {
		return false // the type cannot be guessed from encoded content
	}
	accept := parseAccept(r.Header.Values("Accept-Encoding"))
	for _, sibling := range siblings {
		f, info, err := s.open(name + sibling.suffix)
		if err != nil {
			continue
		}
		defer f.Close() // few, and only until the answer is written
		h := w.Header()
		addVary(h)
		if info.IsDir() || r.Header.Get("Range") != "" || !accept.takes(sibling.coding) {
			continue
		}
		h.Set("Content-Type", ctype)
		h.Set("Content-Encoding", sibling.coding)
		h.Set("Etag", etag(info))
		if r.Header.Get("If-Match") == "" && r.Header.Get("If-Unmodified-Since") == "" {
			// ServeContent leaves it out for encoded content. A 304 drops it
			// again, a 412, which those two lead to, would not.
			h.Set("Content-Length", strconv.FormatInt(info.Size(), 10))
		}
		http.ServeContent(w, r, name, info.ModTime(), f)
		return true
	}
	return false
}

// accepted are the codings of an Accept-Encoding that may be used.
type accepted map[string]bool

func (a accepted) takes(coding string) bool {
	if ok, listed := a[coding]; listed {
		return ok
	}
	return a["*"]
}

// parseAccept reads Accept-Encoding (RFC 9110 section 12.5.3) as far as it
// says which codings are acceptable at all.
func parseAccept(lines []string) accepted {
	a := make(accepted)
	for _, line := range lines {
		for item := range strings.SplitSeq(line, ",") {
			coding, params, _ := strings.Cut(item, ";")
			name, q, _ := strings.Cut(strings.TrimSpace(params), "=")
			ok := true
			if strings.EqualFold(strings.TrimSpace(name), "q") {
				weight, err := strconv.ParseFloat(strings.TrimSpace(q), 64)
				ok = err == nil && weight > 0
			}
			a[strings.ToLower(strings.TrimSpace(coding))] = ok
		}
	}
	return a
}
