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
	evReadFin               = event{6, "ConnectionReadFin", slog.LevelDebug}
	evWriteFin              = event{7, "ConnectionWriteFin", slog.LevelDebug}
	evKeepAlive             = event{9, "ConnectionKeepAlive", slog.LevelDebug}
	evDisconnect            = event{10, "ConnectionDisconnect", slog.LevelDebug}
	evApplicationError      = event{13, "ApplicationError", slog.LevelError}
	evConnectionError       = event{14, "ConnectionError", slog.LevelInfo}
	evBadRequest            = event{17, "ConnectionBadRequest", slog.LevelInfo}
	evRequestHeadersTimeout = event{17, "RequestHeadersTimeout", slog.LevelInfo}
	evHeadBodyWrite         = event{18, "ConnectionHeadResponseBodyWrite", slog.LevelDebug}
	evConnectionReset       = event{19, "ConnectionReset", slog.LevelDebug}
	evProcessingError       = event{20, "RequestProcessingError", slog.LevelInfo}
	evConnectionRejected    = event{24, "ConnectionRejected", slog.LevelWarn}
	evBodyStart             = event{25, "RequestBodyStart", slog.LevelDebug}
	evBodyDone              = event{26, "RequestBodyDone", slog.LevelDebug}
	evBodyRateNotSatisfied  = event{27, "RequestBodyMinimumDataRateNotSatisfied", slog.LevelInfo}
	evResponseRateTooLow    = event{28, "ResponseMinimumDataRateNotSatisfied", slog.LevelInfo}
	evBodyNotEntirelyRead   = event{32, "RequestBodyNotEntirelyRead", slog.LevelInfo}
	evBodyDrainTimedOut     = event{33, "RequestBodyDrainTimedOut", slog.LevelInfo}
	evApplicationAborted    = event{34, "ApplicationAbortedConnection", slog.LevelInfo}
)

// eventIDs is above every event's id.
const eventIDs = 40

// inRequest reports whether an event is about a request and not about the
// connection as a whole.
func (ev event) inRequest() bool {
	return ev.id == 13 || ev.id == 18 || ev.id >= 25 && ev.id != 28
}

// What is logged in one second at most: clients cause events, and must not fill
// a disk with them. What was left out is counted in the next record. Debug
// events are for who has asked for all of them.
const (
	maxEventsPerSecond = 10  // of each event
	maxErrorsPerSecond = 100 // messages in net/http's words
)

// throttles count what is logged; the entry at 0 is for messages that are no
// event.
type throttles [eventIDs]LogLimit

// listens reports whether anybody wants an event.
func (s *Service) listens(ev event) bool {
	return s.Logger != nil && s.Logger.Enabled(context.Background(), ev.level)
}

// log writes an event of this connection, if anybody listens.
func (c *Conn) log(ev event, attrs ...slog.Attr) {
	if !c.svc.listens(ev) {
		return
	}
	attrs = append(attrs, slog.Int("event_id", ev.id), slog.String("conn", c.ID()))
	if ev.inRequest() {
		attrs = append(attrs, slog.String("req", c.requestID()))
	}
	if ev.id == evConnectionStart.id {
		attrs = append(attrs, slog.Any("remote", c.link.RemoteAddr()))
	}
	c.svc.logEvent(ev, maxEventsPerSecond, attrs)
}

// logEvent writes an event if it is not one of too many. There is a Logger.
func (s *Service) logEvent(ev event, limit int64, attrs []slog.Attr) {
	if ev.level > slog.LevelDebug {
		held, ok := s.logs[ev.id].Allow(time.Now(), limit)
		if !ok {
			return
		}
		if held > 0 {
			attrs = append(attrs, slog.Int64("suppressed", held))
		}
	}
	s.Logger.LogAttrs(context.Background(), ev.level, ev.name, attrs...)
}

// logRejected reports a refused connection, at most once a second: refusals
// come in floods.
func (s *Service) logRejected(link listen.Link) {
	if s.Logger == nil {
		return
	}
	s.logEvent(evConnectionRejected, 1, []slog.Attr{
		slog.Int("event_id", evConnectionRejected.id),
		slog.Int64("limit", s.conns.limit),
		slog.Int64("rejected_total", s.Counters.Rejected.Load()),
		slog.Any("remote", link.RemoteAddr()),
	})
}

// closing is why a connection is closed by this side, with a FIN behind all that
// was queued.
type closing uint8

const (
	notClosing closing = iota // or with a reset
	closingServed
	closingRefused
	closingFin
	closingTimeout
	closingDrain
)

var closingReasons = [...]string{
	closingServed:  "the connection's last request has ended",
	closingRefused: "a request is refused",
	closingFin:     "the client has closed its side",
	closingTimeout: "a timeout",
	closingDrain:   "the server keeps no idle connections",
}

// logLost reports the end of the connection. By then the FIN of one that this
// side has closed has been sent; the transport decides when.
func (c *Conn) logLost(err error) {
	switch {
	case err == nil:
		if c.closing != notClosing && c.svc.listens(evWriteFin) {
			c.log(evWriteFin, slog.String("reason", closingReasons[c.closing]))
		}
		c.log(evDisconnect)
	case err == listen.ErrSlowPeer:
		c.log(evResponseRateTooLow)
	default:
		ev := lostEvent(err)
		c.log(ev, errAttr(err))
		unfinished := c.wc.MidMessage() || c.wc.RemainingContent() != 0
		if ev == evConnectionError && err != listen.ErrServerClosed && unfinished {
			c.log(evProcessingError, errAttr(err))
		}
	}
	c.log(evConnectionStop)
}

// lostEvent is what the loss of a connection is called: that clients break
// connections is usual, anything else is told.
func lostEvent(err error) event {
	if listen.IsReset(err) {
		return evConnectionReset
	}
	return evConnectionError
}

// logPanic reports what a handler panicked with: where there is an error log in
// net/http's words, else as an event.
func (c *Conn) logPanic(v any, stack []byte) {
	s := c.svc
	if s.Logger != nil && s.ErrorLog == nil && (s.HTTPServer == nil || s.HTTPServer.ErrorLog == nil) {
		c.log(evApplicationError, slog.Any("error", v), slog.String("stack", string(stack)))
		return
	}
	s.logf("http: panic serving %v: %v\n%s", c.link.RemoteAddr(), v, stack)
}

func errAttr(err error) slog.Attr { return slog.String("error", err.Error()) }
