package observe

import (
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strconv"
	"time"

	"github.com/windhover-server/windhover"
	"github.com/windhover-server/windhover/proto"
)

// AccessLog writes a record for each request.
type AccessLog struct {
	logger *slog.Logger
}

// NewAccessLog writes to w in a format of "json" or "text". w gets a record
// with each write.
func NewAccessLog(w io.Writer, format string) *AccessLog {
	if format == "json" {
		return &AccessLog{slog.New(slog.NewJSONHandler(w, nil))}
	}
	return &AccessLog{slog.New(slog.NewTextHandler(w, nil))}
}

// Begin implements [Observer].
func (*AccessLog) Begin(*http.Request) {}

// End implements [Observer].
func (l *AccessLog) End(x *Exchange) {
	r := x.Request
	attrs := []slog.Attr{
		slog.String("remote", remoteHost(r.RemoteAddr)),
		slog.String("method", r.Method),
		slog.String("scheme", windhover.Scheme(r)),
		slog.String("host", r.Host),
		slog.String("uri", r.RequestURI),
		slog.String("proto", r.Proto),
		slog.Int("status", x.Status),
		slog.Int64("bytes", x.Bytes),
		slog.Float64("duration_ms", float64(x.Duration.Round(time.Microsecond))/float64(time.Millisecond)),
	}
	if s := proto.RequestID(r); s != "" {
		attrs = append(attrs, slog.String("request_id", s))
	}
	if s := r.Referer(); s != "" {
		attrs = append(attrs, slog.String("referer", s))
	}
	if s := r.UserAgent(); s != "" {
		attrs = append(attrs, slog.String("user_agent", s))
	}
	if x.Aborted {
		attrs = append(attrs, slog.Bool("aborted", true))
	}
	l.logger.LogAttrs(context.Background(), slog.LevelInfo, "request", attrs...)
}

// Combined writes each request in the combined log format of Apache httpd,
// which most log tools read.
type Combined struct {
	W io.Writer // gets a record with each write
}

// Begin implements [Observer].
func (Combined) Begin(*http.Request) {}

// End implements [Observer].
func (c Combined) End(x *Exchange) {
	r := x.Request
	b := make([]byte, 0, 256)
	b = append(b, remoteHost(r.RemoteAddr)...)
	b = append(b, " - - ["...)
	b = x.Start.AppendFormat(b, "02/Jan/2006:15:04:05 -0700")
	b = append(b, "] "...)
	b = strconv.AppendQuoteToASCII(b, r.Method+" "+r.RequestURI+" "+r.Proto)
	b = append(b, ' ')
	b = strconv.AppendInt(b, int64(x.Status), 10)
	b = append(b, ' ')
	b = strconv.AppendInt(b, x.Bytes, 10)
	for _, s := range []string{r.Referer(), r.UserAgent()} {
		if s == "" {
			s = "-"
		}
		b = append(b, ' ')
		b = strconv.AppendQuoteToASCII(b, s)
	}
	_, _ = c.W.Write(append(b, '\n')) // the buffer counts what it drops
}

func remoteHost(addr string) string {
	host, _, err := net.SplitHostPort(addr)
	switch {
	case err == nil:
		return host
	case addr == "" || addr == "@":
		return "unix"
	}
	return addr
}
