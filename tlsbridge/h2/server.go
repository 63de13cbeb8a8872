package h2

import (
	"context"
	"errors"
	"fmt"
	"log"
	"math"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/windhover-server/windhover/listen"
)

// None is the value of MaxRequestBodySize that refuses every body. It is proto's.
const None int64 = math.MinInt64

// Limits bound one HTTP/2 connection. The zero value of each field means its
// default, Kestrel's (Http2Limits and KestrelServerLimits).
type Limits struct {
	// MaxStreamsPerConnection bounds concurrent streams. Default 100.
	MaxStreamsPerConnection int
	// HeaderTableSize bounds the HPACK table in bytes, both ways. Default 4,096.
	HeaderTableSize int
	// MaxFrameSize is the largest frame accepted in bytes, 16,384 (the
	// default) to 16,777,215 (RFC 9113 section 4.2).
	MaxFrameSize int
	// MaxRequestHeadersTotalSize bounds a request's field section in bytes: 431.
	// Default 32,768.
	MaxRequestHeadersTotalSize int
	// MaxRequestHeaderCount bounds the fields of a request, pseudo-fields not
	// counted: 431. Default 100; negative means no limit.
	MaxRequestHeaderCount int
	// MaxRequestLineSize bounds the request line in bytes, as HTTP/1.1 would
	// have it: 414. Default 8,192; negative means no limit.
	MaxRequestLineSize int
	// MaxRequestBodySize bounds a request body in bytes; reading further fails
	// with *http.MaxBytesError. Default 30,000,000; negative means no limit,
	// [None] no body.
	MaxRequestBodySize int64
	// InitialConnectionWindowSize is how many bytes of request bodies a
	// connection may have unread, 65,535 to 2^31-1. Default 1,048,576.
	InitialConnectionWindowSize int
	// InitialStreamWindowSize is the same for a stream. Default 786,432.
	InitialStreamWindowSize int
	// KeepAliveTimeout closes a connection without streams. Default 130 s;
	// negative means never.
	KeepAliveTimeout time.Duration
	// KeepAlivePingDelay is the silence after which the client is pinged.
	// Default: it is not.
	KeepAlivePingDelay time.Duration
	// KeepAlivePingTimeout closes the connection when a ping stays
	// unanswered. Default 20 s.
	KeepAlivePingTimeout time.Duration
	// MinResponseDataRate is the least average rate in bytes per second at
	// which a client has to take what is sent, looked at after
	// MinResponseDataGracePeriod; a slower one is disconnected. What waits for
	// the client's flow control is not sent yet. Default 240 after 5 s; a
	// negative rate switches it off.
	MinResponseDataRate        float64
	MinResponseDataGracePeriod time.Duration
}

// WithDefaults returns l with every zero field replaced by its default.
func (l Limits) WithDefaults() Limits {
	def(&l.MaxStreamsPerConnection, 100)
	def(&l.HeaderTableSize, 4096)
	def(&l.MaxFrameSize, 16384)
	def(&l.MaxRequestHeadersTotalSize, 32<<10)
	def(&l.MaxRequestHeaderCount, 100)
	def(&l.MaxRequestLineSize, 8<<10)
	def(&l.MaxRequestBodySize, 30_000_000)
	def(&l.InitialConnectionWindowSize, 1<<20)
	def(&l.InitialStreamWindowSize, 768<<10)
	def(&l.KeepAliveTimeout, 130*time.Second)
	def(&l.KeepAlivePingTimeout, 20*time.Second)
	def(&l.MinResponseDataRate, 240)
	def(&l.MinResponseDataGracePeriod, 5*time.Second)
	return l
}

func def[T comparable](p *T, v T) {
	var zero T
	if *p == zero {
		*p = v
	}
}

// Validate checks l, zero fields taken as their defaults. The error joins one
// per field that is out of range.
func (l Limits) Validate() error {
	l = l.WithDefaults()
	var errs []error
	check := func(name string, v, low, high int64) {
		if v < low || v > high {
			errs = append(errs, fmt.Errorf("h2: %s is %d, it must be from %d to %d", name, v, low, high))
		}
	}
	const max31 = 1<<31 - 1
	check("MaxStreamsPerConnection", int64(l.MaxStreamsPerConnection), 1, max31)
	check("HeaderTableSize", int64(l.HeaderTableSize), 1, max31)
	check("MaxFrameSize", int64(l.MaxFrameSize), 1<<14, 1<<24-1)
	check("MaxRequestHeadersTotalSize", int64(l.MaxRequestHeadersTotalSize), 1, max31)
	check("InitialConnectionWindowSize", int64(l.InitialConnectionWindowSize), 65535, max31)
	check("InitialStreamWindowSize", int64(l.InitialStreamWindowSize), 65535, max31)
	for name, d := range map[string]time.Duration{
		"KeepAlivePingDelay": l.KeepAlivePingDelay, "KeepAlivePingTimeout": l.KeepAlivePingTimeout,
		"MinResponseDataGracePeriod": l.MinResponseDataGracePeriod,
	} {
		if d < 0 {
			errs = append(errs, fmt.Errorf("h2: %s is %v, it must not be negative", name, d))
		}
	}
	return errors.Join(errs...)
}

// Server is what HTTP/2 connections share. Set the exported fields, then call
// Prepare; they must not be changed afterwards. The methods may be called from
// any goroutine.
type Server struct {
	// Handler answers requests; nil means http.DefaultServeMux.
	Handler http.Handler
	// HTTPServer is the value of http.ServerContextKey in request contexts,
	// and its ErrorLog gets http2's messages. ReadTimeout and WriteTimeout
	// apply to streams as in net/http. Nil means an empty one.
	HTTPServer *http.Server
	// Limits are the bounds of a connection.
	Limits Limits
	// Context returns the parent of a connection's contexts; base is what was
	// given to Switch. Nil means context.Background.
	Context func(link listen.Link, base listen.Protocol) context.Context
	// ConnState is told when a connection becomes active, idle and closed. The
	// connection is the link's NetConn.
	ConnState func(net.Conn, http.ConnState)

	serving *http.Server // http2's own; not seen by handlers
	engine  engine
	handler http.Handler
	once    sync.Once
	err     error
}

// Prepare checks the limits and fixes the configuration.
func (s *Server) Prepare() error {
	s.once.Do(func() { s.err = s.prepare() })
	return s.err
}

func (s *Server) prepare() error {
	if err := s.Limits.Validate(); err != nil {
		return err
	}
	if s.HTTPServer == nil {
		s.HTTPServer = &http.Server{Handler: s.Handler}
	}
	s.handler = s.Handler
	if s.handler == nil {
		s.handler = http.DefaultServeMux
	}
	l := s.Limits.WithDefaults()
	s.Limits = l
	s.serving = &http.Server{
		ReadTimeout:    s.HTTPServer.ReadTimeout,
		WriteTimeout:   s.HTTPServer.WriteTimeout,
		IdleTimeout:    l.KeepAliveTimeout,
		MaxHeaderBytes: l.MaxRequestHeadersTotalSize,
		ErrorLog:       log.New(errorLog{s.HTTPServer}, "", 0),
		HTTP2: &http.HTTP2Config{
			MaxConcurrentStreams:          l.MaxStreamsPerConnection,
			MaxDecoderHeaderTableSize:     l.HeaderTableSize,
			MaxEncoderHeaderTableSize:     l.HeaderTableSize,
			MaxReadFrameSize:              l.MaxFrameSize,
			MaxReceiveBufferPerConnection: l.InitialConnectionWindowSize,
			MaxReceiveBufferPerStream:     l.InitialStreamWindowSize,
			SendPingTimeout:               l.KeepAlivePingDelay,
			PingTimeout:                   l.KeepAlivePingTimeout,
		},
	}
	if s.ConnState != nil {
		s.serving.ConnState = func(c net.Conn, st http.ConnState) {
			// The link's owner tells of the end.
			if st != http.StateClosed {
				s.ConnState(c.(*conn).link.NetConn(), st)
			}
		}
	}
	return s.engine.configure(s.serving)
}

// Shutdown sends GOAWAY on every connection: streams under way are finished,
// new ones refused, and connections end when they have none left and the client
// closes, or a second later: http2 gives clients that long to read the GOAWAY
// (golang.org/issue/18701). It does not wait for that; the transport's Shutdown
// does.
func (s *Server) Shutdown() {
	if s.Prepare() == nil {
		// There is no listener and no connection of its own to wait for.
		_ = s.serving.Shutdown(context.Background())
	}
}

// SetKeepAlives switches persistent connections on (the default) or off: every
// connection then ends with GOAWAY when its streams have.
func (s *Server) SetKeepAlives(on bool) {
	if s.Prepare() == nil {
		s.serving.SetKeepAlivesEnabled(on)
	}
}

// Switch makes the protocol of a connection for which ALPN chose "h2". base is
// the protocol made when the connection was accepted; it gets only Lost from
// now on. Prepare must have been called. Switch is a tlsbridge.Switch.
func (s *Server) Switch(link listen.Link, base listen.Protocol) listen.Protocol {
	return &protocol{server: s, link: link, base: base}
}

// serveHTTP runs the handler as one of HTTPServer, not of the server that
// http2 was given.
func (s *Server) serveHTTP(w http.ResponseWriter, r *http.Request) {
	r = r.WithContext(serverContext{r.Context(), s.HTTPServer})
	if status := s.refusal(r); status != 0 {
		http.Error(w, http.StatusText(status), status)
		return
	}
	if n := s.Limits.MaxRequestBodySize; (n >= 0 || n == None) && r.Body != nil && r.Body != http.NoBody {
		r.Body = http.MaxBytesReader(w, r.Body, n) // which takes what is below zero for zero
	}
	s.handler.ServeHTTP(w, r)
}

// refusal is the status for a request whose head is over a limit, or 0.
func (s *Server) refusal(r *http.Request) int {
	if n := s.Limits.MaxRequestLineSize; n > 0 && len(r.Method)+len(r.RequestURI)+len("  HTTP/1.1\r\n") > n {
		return http.StatusRequestURITooLong
	}
	if n := s.Limits.MaxRequestHeaderCount; n > 0 {
		for _, values := range r.Header {
			if n -= len(values); n < 0 {
				return http.StatusRequestHeaderFieldsTooLarge
			}
		}
	}
	return 0
}

// serverContext replaces the value of http.ServerContextKey, which http2 sets
// below the contexts that can be given to it.
type serverContext struct {
	context.Context
	server *http.Server
}

func (c serverContext) Value(key any) any {
	if key == http.ServerContextKey {
		return c.server
	}
	return c.Context.Value(key)
}

// errorLog passes messages to the ErrorLog that the server has at the time.
type errorLog struct{ server *http.Server }

func (l errorLog) Write(p []byte) (int, error) {
	if l.server.ErrorLog != nil {
		l.server.ErrorLog.Print(string(p))
	} else {
		log.Print(string(p))
	}
	return len(p), nil
}
