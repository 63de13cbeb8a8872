package proto

import (
	"context"
	"log/slog"
	"time"

	"github.com/windhover-server/windhover/listen"
)

// event is one of Kestrel's log events (KestrelTrace.cs).
type event struct {
	id    int
	name  string
	level slog.Level
}

var (
	evConnectionStart       = event{1, "ConnectionStart", slog.LevelDebug}
	evConnectionStop        = event{2, "ConnectionStop", slog.LevelDebug}
	evApplicationError      = event{13, "ApplicationError", slog.LevelError}
	evBadRequest            = event{17, "ConnectionBadRequest", slog.LevelInfo}
	evHeadBodyWrite         = event{18, "ConnectionHeadResponseBodyWrite", slog.LevelDebug}
	evConnectionRejected    = event{24, "ConnectionRejected", slog.LevelWarn}
	evBodyRateNotSatisfied  = event{27, "RequestBodyMinimumDataRateNotSatisfied", slog.LevelInfo}
	evResponseRateTooLow    = event{28, "ResponseMinimumDataRateNotSatisfied", slog.LevelInfo}
	evBodyNotEntirelyRead   = event{32, "RequestBodyNotEntirelyRead", slog.LevelInfo}
	evBodyDrainTimedOut     = event{33, "RequestBodyDrainTimedOut", slog.LevelInfo}
	evApplicationAborted    = event{34, "ApplicationAbortedConnection", slog.LevelInfo}
	evConnectionReset       = event{19, "ConnectionReset", slog.LevelDebug}
	evRequestHeadersTimeout = event{17, "RequestHeadersTimeout", slog.LevelInfo}
)

// log writes an event of this connection, if anybody listens.
func (c *Conn) log(ev event, attrs ...slog.Attr) {
	l := c.svc.Logger
	if l == nil || !l.Enabled(context.Background(), ev.level) {
		return
	}
	attrs = append(attrs, slog.Int("event_id", ev.id), slog.String("conn", c.ID()))
	l.LogAttrs(context.Background(), ev.level, ev.name, attrs...)
}

// logRejected reports a refused connection, at most once a second: refusals
// come in floods.
func (s *Service) logRejected(link listen.Link) {
	now := time.Now().Unix()
	last := s.rejectLog.Load()
	if s.Logger == nil || last == now || !s.rejectLog.CompareAndSwap(last, now) {
		return
	}
	s.Logger.LogAttrs(context.Background(), evConnectionRejected.level, evConnectionRejected.name,
		slog.Int("event_id", evConnectionRejected.id),
		slog.Int64("limit", s.conns.limit),
		slog.Int64("rejected_total", s.Counters.Rejected.Load()),
		slog.Any("remote", link.RemoteAddr()))
}

func errAttr(err error) slog.Attr { return slog.String("error", err.Error()) }
