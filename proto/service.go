package proto

import (
	"bytes"
	"context"
	"fmt"
	"log"
	"log/slog"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/windhover-server/windhover/listen"
	"github.com/windhover-server/windhover/proto/wire"
)

// Handler answers requests without allocating. See [Exchange] for what it may
// do. ServeExchange is called on the goroutine that drives the connection,
// which on an event loop serves others too: a handler that may block hands
// over with [Exchange.Go].
type Handler interface {
	ServeExchange(x *Exchange)
}

// HandlerFunc is a function used as a [Handler].
type HandlerFunc func(x *Exchange)

// ServeExchange calls f.
func (f HandlerFunc) ServeExchange(x *Exchange) { f(x) }

// Service is what the connections of a server share. Set the exported fields,
// then use Accept; they must not be changed afterwards. The methods may be
// called from any goroutine.
type Service struct {
	// Handler answers requests; nil means http.DefaultServeMux.
	Handler http.Handler
	// Native, if set, replaces Handler.
	Native Handler
	// Limits are the caps and timeouts.
	Limits Limits

	// HTTPServer is the value of http.ServerContextKey in request contexts,
	// and its ErrorLog is used when ErrorLog is nil. Nil means an empty one.
	HTTPServer *http.Server
	// BaseContext is the parent of all connection contexts; nil means
	// context.Background.
	BaseContext context.Context
	// ConnContext may replace the context of a new connection.
	ConnContext func(ctx context.Context, c net.Conn) context.Context
	// ConnState is told when a connection changes its state. It is called on
	// the goroutine that drives the connection.
	ConnState func(net.Conn, http.ConnState)
	// ErrorLog gets panics and misuse by handlers, in net/http's words. Nil
	// means HTTPServer.ErrorLog, then Logger, then the standard logger of log.
	ErrorLog *log.Logger
	// Logger gets connection events under Kestrel's names. Nil means none.
	Logger *slog.Logger

	// ReadTimeout bounds reading a whole request, body included; WriteTimeout
	// bounds the time from the end of the request head to the end of the
	// response. Zero or less means none. Both as in http.Server.
	ReadTimeout, WriteTimeout time.Duration
	// IdleTimeout and ReadHeaderTimeout replace Limits.KeepAliveTimeout and
	// Limits.RequestHeadersTimeout when above zero. When they are zero and
	// ReadTimeout is not, ReadTimeout replaces them, as in http.Server. So do
	// its ways: the connection closes without a 408, and for the first request
	// the time counts from the connection's acceptance.
	IdleTimeout, ReadHeaderTimeout time.Duration
	// MaxHeaderBytes, when above zero, replaces the request line and field
	// section limits, as in http.Server.
	MaxHeaderBytes int
	// ServerHeader is the value of the Server field of responses that have
	// none. Empty means "Windhover", "-" means no such field.
	ServerHeader string
	// DisableGeneralOptionsHandler passes "OPTIONS *" to Handler.
	DisableGeneralOptionsHandler bool

	// Counters are totals since the first connection.
	Counters Counters

	once    atomic.Bool
	handler http.Handler
	lim     Limits
	wlim    wire.Limits
	// silentHeadTimeout: the timeout for a request head came in http.Server's
	// field, not in Limits.
	silentHeadTimeout bool

	baseCtx  context.Context
	server   string // "Server: …\r\n" or ""
	conns    quota
	upgraded quota
	draining atomic.Bool
	retiring atomic.Bool
	stopping chan struct{} // closed by SetDraining
	noKeep   atomic.Bool
	date     atomic.Pointer[dateLine]
	connIDs  atomic.Uint64
	logs     throttles
}

// Counters count what happens to connections. None is written on the path of
// an ordinary request.
type Counters struct {
	Rejected    atomic.Int64 // connections over MaxConcurrentConnections
	BadRequests atomic.Int64 // requests answered with an error by the server itself
	Timeouts    atomic.Int64 // keep-alive, head, body and drain timeouts
	Panics      atomic.Int64 // handlers that panicked, http.ErrAbortHandler aside
}

// Prepare checks the limits and fixes the configuration. Accept calls it when
// it has not been called, and panics on its error.
func (s *Service) Prepare() error {
	if err := s.Limits.Validate(); err != nil {
		return err
	}
	if s.Native != nil && s.Handler != nil {
		return errTwoHandlers
	}
	s.lim = s.Limits.WithDefaults()
	s.lim.MaxRequestBodySize = bodyLimit(s.lim.MaxRequestBodySize)
	s.handler = s.Handler
	if s.handler == nil {
		s.handler = http.DefaultServeMux
	}
	if s.HTTPServer == nil {
		s.HTTPServer = &http.Server{Handler: s.handler}
	}
	base := s.BaseContext
	if base == nil {
		base = context.Background()
	}
	s.baseCtx = base
	if s.IdleTimeout > 0 {
		s.lim.KeepAliveTimeout = s.IdleTimeout
	} else if s.IdleTimeout == 0 && s.ReadTimeout > 0 {
		s.lim.KeepAliveTimeout = s.ReadTimeout
	}
	if s.ReadHeaderTimeout > 0 {
		s.lim.RequestHeadersTimeout = s.ReadHeaderTimeout
		s.silentHeadTimeout = true
	} else if s.ReadHeaderTimeout == 0 && s.ReadTimeout > 0 {
		s.lim.RequestHeadersTimeout = s.ReadTimeout
		s.silentHeadTimeout = true
	}
	s.wlim = wire.Limits{
		RequestLine:  s.lim.MaxRequestLineSize,
		FieldSection: s.lim.MaxRequestHeadersTotalSize,
		Fields:       s.lim.MaxRequestHeaderCount,
	}
	if s.MaxHeaderBytes > 0 {
		// net/http adds a slop of 4096 for its buffer.
		s.wlim.RequestLine = s.MaxHeaderBytes + 4096
		s.wlim.FieldSection = s.MaxHeaderBytes + 4096
	}
	for _, p := range []*int{&s.wlim.RequestLine, &s.wlim.FieldSection, &s.wlim.Fields} {
		if *p < 0 {
			*p = unlimited
		}
	}
	s.conns.limit = s.lim.MaxConcurrentConnections
	s.upgraded.limit = s.lim.MaxConcurrentUpgradedConnections
	switch s.ServerHeader {
	case "":
		s.server = "Server: Windhover\r\n"
	case "-":
		s.server = ""
	default:
		if !wire.ValidFieldValue(s.ServerHeader) {
			return &LimitError{"ServerHeader", s.ServerHeader, "a field value: no control characters"}
		}
		s.server = "Server: " + s.ServerHeader + "\r\n"
	}
	s.connIDs.Store(uint64(time.Now().UnixNano()/100) + ticksAtUnixEpoch)
	s.stopping = make(chan struct{})
	s.once.Store(true)
	return nil
}

// ticksAtUnixEpoch is 1970 in 100 ns since year 1, where Kestrel's connection
// identifiers start (CorrelationIdGenerator).
const ticksAtUnixEpoch = 621355968000000000

// Accept makes the protocol for a new connection, or refuses it (nil) over
// [Limits].MaxConcurrentConnections. It is a [listen.Acceptor].
func (s *Service) Accept(link listen.Link) listen.Protocol {
	if !s.once.Load() {
		if err := s.Prepare(); err != nil {
			panic(err)
		}
	}
	return s.accept(link, s.baseCtx)
}

// AcceptWith returns an Acceptor like Accept whose connections have base as
// the parent of their contexts, such as http.Server.BaseContext gives for one
// listener. Prepare must have been called.
func (s *Service) AcceptWith(base context.Context) listen.Acceptor {
	return func(link listen.Link) listen.Protocol { return s.accept(link, base) }
}

func (s *Service) accept(link listen.Link, base context.Context) listen.Protocol {
	if !s.conns.acquire() {
		s.reject(link)
		return nil
	}
	return newConn(s, link, base)
}

// Options are the buffer bounds for the transport that follow from the limits.
// Prepare must have been called.
func (s *Service) Options() listen.Options {
	return listen.Options{
		ReceiveBuffer: s.lim.MaxRequestBufferSize,
		SendBuffer:    s.lim.MaxResponseBufferSize,
		Linger:        s.lim.DrainTimeout,
		Greet:         s.Greet,
		OnError:       func(err error) { s.logf("http: %v", err) },
	}
}

// SetDraining makes every connection close after the response under way. It
// does not reach waiting connections: [listen.Transport.Shutdown] does.
func (s *Service) SetDraining() {
	if s.draining.CompareAndSwap(false, true) {
		close(s.stopping)
	}
}

// Retire makes every response from now on the last one of its connection, and
// say so. Idle connections stay open, for requests that are on their way.
func (s *Service) Retire() { s.retiring.Store(true) }

// SetKeepAlives switches persistent connections on (the default) or off.
func (s *Service) SetKeepAlives(on bool) { s.noKeep.Store(!on) }

// Connections returns how many connections are open, and how many have left
// HTTP; of those, hijacked ones only under a limit on them (see
// [Limits].MaxConcurrentUpgradedConnections).
func (s *Service) Connections() (open, upgraded int64) {
	return s.conns.used.Load(), s.upgraded.used.Load()
}

func (s *Service) keepAlives() bool { return !s.draining.Load() && !s.noKeep.Load() }

// dateLine is the Date field for one second.
type dateLine struct {
	sec  int64
	text []byte // "Date: …\r\n"
}

// appendDate appends the Date field line for now.
func (s *Service) appendDate(dst []byte, now time.Time) []byte {
	sec := now.Unix()
	d := s.date.Load()
	if d == nil || d.sec != sec {
		d = &dateLine{sec, append(wire.AppendDate([]byte("Date: "), now), '\r', '\n')}
		s.date.Store(d)
	}
	return append(dst, d.text...)
}

// logf reports misuse and panics in net/http's words.
func (s *Service) logf(format string, args ...any) {
	held, ok := s.logs[0].Allow(time.Now(), maxErrorsPerSecond)
	if held > 0 {
		s.print("http: %d messages were left out of this log", held)
	}
	if ok {
		s.print(format, args...)
	}
}

// print is logf without a bound.
func (s *Service) print(format string, args ...any) {
	switch {
	case s.ErrorLog != nil:
		s.ErrorLog.Printf(format, args...)
	case s.HTTPServer != nil && s.HTTPServer.ErrorLog != nil:
		s.HTTPServer.ErrorLog.Printf(format, args...)
	case s.Logger != nil:
		s.Logger.Error(string(bytes.TrimSpace(fmt.Appendf(nil, format, args...))))
	default:
		log.Printf(format, args...)
	}
}
