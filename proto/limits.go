package proto

import (
	"fmt"
	"math"
	"sync/atomic"
	"time"
)

// DataRate is the slowest a peer may be, on average. The zero value means the
// default of the limit it is used for; a negative BytesPerSecond switches the
// limit off.
type DataRate struct {
	// BytesPerSecond is the least average rate. Default 240.
	BytesPerSecond float64
	// GracePeriod is how long the rate is not looked at. Default 5 s; it must
	// be longer than 1 s (Kestrel MinDataRate).
	GracePeriod time.Duration
}

func (r DataRate) off() bool { return r.BytesPerSecond < 0 }

// None is the value of a limit that allows nothing, where the field says that it
// may be that. It is Kestrel's 0, which as the zero value of a Go field has to
// mean the default.
const None int64 = math.MinInt64

// Limits are the caps and timeouts of a server; every one is on by default.
// The zero value of a field means its default, a negative value other than
// [None] means no limit. The defaults are Kestrel's (KestrelServerLimits), whose
// names they keep. Limits are read when a server starts and must not change
// afterwards.
type Limits struct {
	// MaxConcurrentConnections bounds open connections of the server,
	// upgraded ones not counted. Further ones are closed unanswered.
	// Default: unlimited.
	MaxConcurrentConnections int64
	// MaxConcurrentUpgradedConnections bounds connections that have left HTTP
	// by Upgrade or Hijack. Beyond it both fail with [ErrUpgradeLimit], and the
	// handler may answer. [None] allows none. Default: unlimited.
	//
	// An upgraded connection is counted until its handler has returned, a
	// hijacked one until it is closed. To see that, the net.Conn that Hijack
	// returns under a limit wraps the *net.TCPConn, *net.UnixConn or *tls.Conn
	// that it returns without one; without a limit hijacked connections are not
	// counted.
	MaxConcurrentUpgradedConnections int64

	// MaxRequestBodySize bounds a request body in bytes, chunked framing
	// included and trailers not: reading further fails with a [*BodyError] of
	// status 413. [None] refuses every body. Default 30,000,000.
	MaxRequestBodySize int64
	// MaxRequestBufferSize is how many bytes of a connection may be received
	// before they are consumed; reading from it pauses there. Default
	// 1,048,576.
	MaxRequestBufferSize int
	// MaxResponseBufferSize is how many unsent bytes a writer may leave
	// behind before it has to wait. Kestrel's 0, where each write waits until
	// the system has taken all of it, is 1. Default 65,536.
	MaxResponseBufferSize int
	// MaxRequestLineSize bounds the request line in bytes with its CRLF: 414.
	// Default 8,192.
	MaxRequestLineSize int
	// MaxRequestHeadersTotalSize bounds the field lines, trailers included,
	// in bytes with their CRLFs: 431. Default 32,768.
	MaxRequestHeadersTotalSize int
	// MaxRequestHeaderCount bounds the number of field lines, trailers
	// included: 431. Default 100.
	MaxRequestHeaderCount int

	// KeepAliveTimeout bounds the wait for the first byte of a request, also
	// of the first one. Default 130 s.
	KeepAliveTimeout time.Duration
	// RequestHeadersTimeout bounds the time from the first byte of a request
	// to the end of its head: 408. Default 30 s.
	RequestHeadersTimeout time.Duration
	// MinRequestBodyDataRate is the least average rate of a request body,
	// counted while a handler waits for it: reading fails with a [*BodyError]
	// of status 408. Default 240 B/s after 5 s.
	MinRequestBodyDataRate DataRate
	// MinResponseDataRate is the least rate at which a client has to take
	// what is sent; a slower one is disconnected. Default 240 B/s after 5 s.
	MinResponseDataRate DataRate
	// DrainTimeout bounds reading what a handler left of a request body, and
	// lingering close. Default 5 s.
	DrainTimeout time.Duration
}

// Kestrel's defaults (KestrelServerLimits.cs; the keep-alive timeout is that
// of .NET 6 and later).
const (
	DefaultMaxRequestBodySize         = 30_000_000
	DefaultMaxRequestBufferSize       = 1 << 20
	DefaultMaxResponseBufferSize      = 64 << 10
	DefaultMaxRequestLineSize         = 8 << 10
	DefaultMaxRequestHeadersTotalSize = 32 << 10
	DefaultMaxRequestHeaderCount      = 100
	DefaultKeepAliveTimeout           = 130 * time.Second
	DefaultRequestHeadersTimeout      = 30 * time.Second
	DefaultMinDataRate                = 240.0
	DefaultGracePeriod                = 5 * time.Second
	DefaultDrainTimeout               = 5 * time.Second
)

// unlimited stands for "no limit" in a field whose type is an int.
const unlimited = 1<<31 - 1

// LimitError says which limit has a value that cannot be used.
type LimitError struct {
	Name    string // the field of Limits
	Value   string // as given
	Allowed string // what would be accepted
}

func (e *LimitError) Error() string {
	return fmt.Sprintf("proto: limit %s is %s; allowed: %s", e.Name, e.Value, e.Allowed)
}

// WithDefaults returns l with every zero field replaced by its default.
func (l Limits) WithDefaults() Limits {
	def(&l.MaxRequestBodySize, DefaultMaxRequestBodySize)
	def(&l.MaxRequestBufferSize, DefaultMaxRequestBufferSize)
	def(&l.MaxResponseBufferSize, DefaultMaxResponseBufferSize)
	def(&l.MaxRequestLineSize, DefaultMaxRequestLineSize)
	def(&l.MaxRequestHeadersTotalSize, DefaultMaxRequestHeadersTotalSize)
	def(&l.MaxRequestHeaderCount, DefaultMaxRequestHeaderCount)
	def(&l.KeepAliveTimeout, DefaultKeepAliveTimeout)
	def(&l.RequestHeadersTimeout, DefaultRequestHeadersTimeout)
	def(&l.DrainTimeout, DefaultDrainTimeout)
	l.MinRequestBodyDataRate = l.MinRequestBodyDataRate.withDefaults()
	l.MinResponseDataRate = l.MinResponseDataRate.withDefaults()
	return l
}

func def[T int | int64 | float64 | time.Duration](p *T, d T) {
	if *p == 0 {
		*p = d
	}
}

// Validate reports the first unusable value as a [*LimitError], or nil.
func (l Limits) Validate() error {
	l = l.WithDefaults()
	if l.MaxConcurrentConnections == None {
		return &LimitError{"MaxConcurrentConnections", "None", "1 or more, or -1 for no limit"}
	}
	for _, r := range []struct {
		name string
		rate DataRate
	}{{"MinRequestBodyDataRate", l.MinRequestBodyDataRate}, {"MinResponseDataRate", l.MinResponseDataRate}} {
		if bps := r.rate.BytesPerSecond; math.IsNaN(bps) || math.IsInf(bps, 1) {
			return &LimitError{r.name + ".BytesPerSecond", fmt.Sprint(bps), "a number above 0, or below 0 for no limit"}
		}
		if !r.rate.off() && r.rate.GracePeriod <= time.Second {
			return &LimitError{r.name + ".GracePeriod", r.rate.GracePeriod.String(), "more than 1s"}
		}
	}
	if l.MaxRequestBufferSize > 0 {
		for _, x := range []struct {
			name string
			size int
		}{{"MaxRequestLineSize", l.MaxRequestLineSize}, {"MaxRequestHeadersTotalSize", l.MaxRequestHeadersTotalSize}} {
			if x.size > l.MaxRequestBufferSize {
				return &LimitError{
					"MaxRequestBufferSize", fmt.Sprint(l.MaxRequestBufferSize),
					fmt.Sprintf("at least %s (%d)", x.name, x.size),
				}
			}
		}
	}
	return nil
}

// quota counts something that has an upper bound. The zero value has none.
type quota struct {
	limit int64 // 0 or below: unlimited; None: nothing
	used  atomic.Int64
}

// limited reports whether there is an upper bound.
func (q *quota) limited() bool { return q.limit > 0 || q.limit == None }

// acquire takes one if the limit allows it.
func (q *quota) acquire() bool {
	if n := q.used.Add(1); q.limited() && n > q.limit {
		q.used.Add(-1)
		return false
	}
	return true
}

func (q *quota) release() { q.used.Add(-1) }
