// Package observe watches requests for the access log and the metrics: one
// wrapper around the ResponseWriter for both, which passes on everything that
// the server's own can do.
package observe

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"time"
)

// Exchange is a request that has been answered. It is lent to the observers
// until they return.
type Exchange struct {
	Request  *http.Request
	Status   int   // 101 after an upgrade
	Bytes    int64 // of the body; not counted after an upgrade
	Start    time.Time
	Duration time.Duration
	Aborted  bool // the handler panicked
}

// An Observer is told of each request. Its methods must not block, and are
// called from many goroutines.
type Observer interface {
	Begin(*http.Request)
	End(*Exchange)
}

// Handler passes requests to next and tells the observers.
func Handler(next http.Handler, observers ...Observer) http.Handler {
	if len(observers) == 0 {
		return next
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		rec := &recorder{ResponseWriter: w}
		x := Exchange{Request: r, Start: time.Now(), Aborted: true}
		for _, o := range observers {
			o.Begin(r)
		}
		defer func() {
			x.Duration = time.Since(x.Start)
			x.Status, x.Bytes = rec.result(x.Aborted)
			for _, o := range observers {
				o.End(&x)
			}
		}()
		next.ServeHTTP(rec, r)
		x.Aborted = false
	})
}

// recorder notes status and size. Its methods beyond http.ResponseWriter are
// those that libraries look for by type assertion.
type recorder struct {
	http.ResponseWriter
	status int
	bytes  int64
}

func (r *recorder) result(aborted bool) (status int, bytes int64) {
	switch {
	case r.status != 0:
		return r.status, r.bytes
	case aborted:
		return http.StatusInternalServerError, 0
	}
	return http.StatusOK, 0 // what the server sends when a handler does nothing
}

// Unwrap is for http.ResponseController and for proto.Upgrade.
func (r *recorder) Unwrap() http.ResponseWriter { return r.ResponseWriter }

func (r *recorder) WriteHeader(status int) {
	if r.status == 0 && (status >= 200 || status == http.StatusSwitchingProtocols) {
		r.status = status
	}
	r.ResponseWriter.WriteHeader(status)
}

func (r *recorder) begin() {
	if r.status == 0 {
		r.status = http.StatusOK
	}
}

func (r *recorder) Write(p []byte) (int, error) {
	r.begin()
	n, err := r.ResponseWriter.Write(p)
	r.bytes += int64(n)
	return n, err
}

// WriteString avoids a copy where the server does.
func (r *recorder) WriteString(s string) (int, error) {
	r.begin()
	n, err := io.WriteString(r.ResponseWriter, s)
	r.bytes += int64(n)
	return n, err
}

// ReadFrom lets io.Copy reach the server's sendfile.
func (r *recorder) ReadFrom(src io.Reader) (int64, error) {
	r.begin()
	n, err := io.Copy(r.ResponseWriter, src)
	r.bytes += n
	return n, err
}

// Flush implements http.Flusher.
func (r *recorder) Flush() { _ = r.FlushError() }

// FlushError is what http.ResponseController prefers.
func (r *recorder) FlushError() error {
	r.begin()
	return http.NewResponseController(r.ResponseWriter).Flush()
}

// Hijack implements http.Hijacker.
func (r *recorder) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	c, rw, err := http.NewResponseController(r.ResponseWriter).Hijack()
	if err == nil && r.status == 0 {
		r.status = http.StatusSwitchingProtocols
	}
	return c, rw, err
}
