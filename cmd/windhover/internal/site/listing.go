package site

import (
	"bytes"
	"errors"
	"html/template"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// maxListed bounds a listing: a directory of a million files must not cost
// each visitor a million names.
const maxListed = 10_000

type listed struct {
	Name, URL, Size, Time string
}

var listing = template.Must(template.New("listing").Parse(`<!DOCTYPE html>
<html><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>{{.Path}}</title></head>
<body><h1>{{.Path}}</h1>
<table>
{{- if ne .Path "/"}}
<tr><td><a href="../">../</a></td><td></td><td></td></tr>
{{- end}}
{{- range .Entries}}
<tr><td><a href="{{.URL}}">{{.Name}}</a></td><td align="right">{{.Size}}</td><td>{{.Time}}</td></tr>
{{- end}}
</table>
{{- if .Cut}}
<p>There are more files than are shown.</p>
{{- end}}
</body></html>
`))

func (s *Site) list(w http.ResponseWriter, r *http.Request, dir http.File) {
	entries, err := dir.Readdir(maxListed + 1)
	if err != nil && !errors.Is(err, io.EOF) {
		s.fail(w, r, err)
		return
	}
	cut := len(entries) > maxListed
	entries = slices.DeleteFunc(entries[:min(len(entries), maxListed)], func(e fs.FileInfo) bool { return s.hidden(e.Name()) })
	slices.SortFunc(entries, func(a, b fs.FileInfo) int { return strings.Compare(a.Name(), b.Name()) })
	page := struct {
		Path    string
		Entries []listed
		Cut     bool
	}{Path: r.URL.Path, Cut: cut}
	for _, e := range entries {
		page.Entries = append(page.Entries, listEntry(e))
	}
	var b bytes.Buffer
	if err := listing.Execute(&b, page); err != nil {
		s.fail(w, r, err)
		return
	}
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Cache-Control", "no-cache")
	if !s.opt.Compress || b.Len() < minCompress {
		h.Set("Content-Length", strconv.Itoa(b.Len()))
		_, _ = w.Write(b.Bytes()) // the client is gone if this fails
		return
	}
	addVary(h)
	s.compress(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write(b.Bytes())
	}))(&encodedWriter{ResponseWriter: w}, r)
}

func listEntry(e fs.FileInfo) listed {
	name := e.Name()
	l := listed{Name: name}
	if e.IsDir() {
		l.Name += "/"
	}
	// A path by itself, so that "a:b" is not taken for a scheme.
	l.URL = (&url.URL{Path: l.Name}).String()
	l.Time = e.ModTime().UTC().Format(time.DateTime)
	if e.Mode().IsRegular() {
		l.Size = strconv.FormatInt(e.Size(), 10)
	}
	return l
}
