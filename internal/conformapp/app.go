package main

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"
)

// maxBody is the limit of the contract, for servers that have none of their
// own (net/http).
const maxBody = 30_000_000

// app is the application as plain net/http code, with nothing of Windhover in
// it: what it is served by must not matter.
type app struct {
	// limitBody makes the application see to the limit of the body's size.
	limitBody bool
}

// endpoints are the paths that stand for themselves; ServeHTTP has the rest.
var endpoints = map[string]func(a app, w http.ResponseWriter, r *http.Request){
	"/":             func(_ app, w http.ResponseWriter, _ *http.Request) { text(w, 200, "Hello World!") },
	"/sentinel":     func(_ app, w http.ResponseWriter, _ *http.Request) { text(w, 200, "SENTINEL-REACHED") },
	"/headers":      app.describe,
	"/echo":         app.echo,
	"/chunked-echo": app.chunkedEcho,
	"/upload":       app.upload,
	"/slow":         slow,
	"/large":        large,
	"/stream":       stream,
	"/nolength":     noLength,
	"/noread":       func(_ app, w http.ResponseWriter, _ *http.Request) { text(w, 200, "ok") },
	"/trailers":     trailers,
	"/close":        closing,
	"/set-header":   setHeader,
	"/panic":        panicking,
	"/abort":        func(app, http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
	"/toomany":      tooMany,
	"/toofew":       tooFew,
	"/upgrade":      upgrade,
}

func (a app) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	path := r.URL.Path
	if path == "" && r.URL.IsAbs() {
		path = "/" // http://a.test names the same as http://a.test/
	}
	switch f := endpoints[path]; {
	case r.Method == http.MethodConnect:
		text(w, http.StatusMethodNotAllowed, "no tunnels here")
	case f != nil:
		f(a, w, r)
	case strings.HasPrefix(path, "/headers/"):
		a.describe(w, r)
	case strings.HasPrefix(path, "/status/"):
		status(w, path[len("/status/"):])
	case strings.HasPrefix(path, "/body-on/"):
		code, _ := strconv.Atoi(path[len("/body-on/"):])
		w.WriteHeader(code)
		io.WriteString(w, "must not appear")
	default:
		text(w, http.StatusNotFound, "not found")
	}
}

func text(w http.ResponseWriter, code int, s string) {
	w.Header().Set("Content-Type", "text/plain")
	w.Header().Set("Content-Length", strconv.Itoa(len(s)))
	w.WriteHeader(code)
	io.WriteString(w, s)
}

// badBody answers a request whose body could not be read.
func badBody(w http.ResponseWriter, err error) {
	w.Header().Set("Connection", "close")
	w.Header().Set("Content-Length", "0")
	w.WriteHeader(badBodyStatus(err))
}

func badBodyStatus(err error) int {
	var tooBig *http.MaxBytesError
	var own interface{ Status() int } // what a server's own error may know
	switch {
	case errors.As(err, &tooBig):
		return http.StatusRequestEntityTooLarge
	case errors.As(err, &own):
		return own.Status()
	case errors.Is(err, os.ErrDeadlineExceeded):
		return http.StatusRequestTimeout
	}
	return http.StatusBadRequest
}

// body is the request's body, up to the limit.
func (a app) body(w http.ResponseWriter, r *http.Request) io.Reader {
	switch {
	case !a.limitBody:
		return r.Body
	case r.ContentLength > maxBody:
		return tooLarge{}
	}
	return http.MaxBytesReader(w, r.Body, maxBody)
}

type tooLarge struct{}

func (tooLarge) Read([]byte) (int, error) { return 0, &http.MaxBytesError{Limit: maxBody} }

func (a app) readBody(w http.ResponseWriter, r *http.Request) ([]byte, bool) {
	b, err := io.ReadAll(a.body(w, r))
	if err != nil {
		badBody(w, err)
		return nil, false
	}
	return b, true
}

// description is the object that /headers answers with.
type description struct {
	Method   string      `json:"method"`
	Target   string      `json:"target"`
	Path     string      `json:"path"`
	Query    string      `json:"query"`
	Host     string      `json:"host"`
	Proto    string      `json:"proto"`
	Headers  [][2]string `json:"headers"`
	BodyLen  int         `json:"body_len"`
	Trailers [][2]string `json:"trailers"`
}

func (a app) describe(w http.ResponseWriter, r *http.Request) {
	body, ok := a.readBody(w, r)
	if !ok {
		return
	}
	path := r.URL.Path
	if path == "" && r.URL.IsAbs() {
		path = "/"
	}
	b, err := json.Marshal(description{
		Method: r.Method, Target: r.RequestURI, Path: path, Query: r.URL.RawQuery, Host: r.Host, Proto: r.Proto,
		Headers: pairs(r.Header), BodyLen: len(body), Trailers: pairs(r.Trailer),
	})
	if err != nil {
		panic(err)
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", strconv.Itoa(len(b)))
	w.Write(b)
}

// pairs lists fields sorted by name; those of one name keep their order.
func pairs(h http.Header) [][2]string {
	out := [][2]string{}
	for k, vs := range h {
		for _, v := range vs {
			out = append(out, [2]string{k, v})
		}
	}
	slices.SortStableFunc(out, func(a, b [2]string) int { return strings.Compare(a[0], b[0]) })
	return out
}

func (a app) echo(w http.ResponseWriter, r *http.Request) {
	body, ok := a.readBody(w, r)
	if !ok {
		return
	}
	w.Header().Set("Content-Type", "application/octet-stream")
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.Write(body)
}

func (a app) upload(w http.ResponseWriter, r *http.Request) {
	n, err := io.Copy(io.Discard, a.body(w, r))
	if err != nil {
		badBody(w, err)
		return
	}
	text(w, http.StatusOK, strconv.FormatInt(n, 10))
}

func (a app) chunkedEcho(w http.ResponseWriter, r *http.Request) {
	rc := http.NewResponseController(w)
	if err := rc.EnableFullDuplex(); err != nil {
		panic(err)
	}
	w.Header().Set("Content-Type", "application/octet-stream")
	body := a.body(w, r)
	buf := make([]byte, 8<<10)
	started := false
	for {
		n, err := body.Read(buf)
		if n > 0 {
			started = true
			w.Write(buf[:n])
			rc.Flush()
		}
		switch {
		case err == io.EOF && started:
			return
		case err == io.EOF:
			rc.Flush()
			return
		case err != nil && started:
			panic(http.ErrAbortHandler)
		case err != nil:
			badBody(w, err)
			return
		}
	}
}

func status(w http.ResponseWriter, arg string) {
	code, err := strconv.Atoi(arg)
	switch {
	case err != nil || code < 200 || code > 599:
		text(w, http.StatusNotFound, "not found")
	case code == 204, code == 205, code == 304:
		w.WriteHeader(code)
	default:
		text(w, code, "status "+strconv.Itoa(code))
	}
}

// number is a decimal query parameter, 0 if it is missing or anything else.
func number(q url.Values, name string) int {
	n, _ := strconv.Atoi(q.Get(name))
	return n
}

func slow(_ app, w http.ResponseWriter, r *http.Request) {
	time.Sleep(time.Duration(number(r.URL.Query(), "ms")) * time.Millisecond)
	text(w, http.StatusOK, "slow")
}

func large(_ app, w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	n := number(q, "bytes")
	if n < 0 || n > 64<<20 {
		text(w, http.StatusNotFound, "not found")
		return
	}
	w.Header().Set("Content-Type", "application/octet-stream")
	if q.Get("chunked") == "" {
		w.Header().Set("Content-Length", strconv.Itoa(n))
	}
	for n > 0 {
		k, err := w.Write(pattern[:min(n, len(pattern))])
		if err != nil {
			return
		}
		n -= k
	}
}

// pattern is what /large answers with, over and over.
var pattern = []byte(strings.Repeat("0123456789abcdef", 512))

func stream(_ app, w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	w.Header().Set("Content-Type", "text/plain")
	for i := range number(q, "n") {
		if i > 0 {
			time.Sleep(time.Duration(number(q, "ms")) * time.Millisecond)
		}
		io.WriteString(w, "part "+strconv.Itoa(i)+"\n")
		w.(http.Flusher).Flush()
	}
}

func noLength(_ app, w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/plain")
	io.WriteString(w, "no length")
}

func trailers(_ app, w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/plain")
	w.Header().Set("Trailer", "X-Checksum")
	io.WriteString(w, "trailers follow\n")
	w.(http.Flusher).Flush()
	w.Header().Set("X-Checksum", "1234")
}

func closing(_ app, w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Connection", "close")
	text(w, http.StatusOK, "bye")
}

func setHeader(_ app, w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	w.Header().Set(q.Get("name"), q.Get("value"))
	text(w, http.StatusOK, "ok")
}

func panicking(_ app, w http.ResponseWriter, r *http.Request) {
	if r.URL.Query().Get("after") != "" {
		io.WriteString(w, "partial")
		w.(http.Flusher).Flush()
	}
	panic("asked for")
}

func tooMany(_ app, w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Length", "5")
	io.WriteString(w, "hello")
	io.WriteString(w, " world")
}

func tooFew(_ app, w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Length", "10")
	if r.URL.Query().Get("n") != "0" {
		io.WriteString(w, "hello")
		w.(http.Flusher).Flush()
	}
}
