// Package load generates HTTP/1.1 load and measures the answers.
//
//	closed loop   each connection asks again when it is answered (saturation)
//	open loop     requests arrive at a fixed rate whatever the server does;
//	              latency counts from the moment of arrival, so a server that
//	              stalls cannot hide the requests it kept waiting
//	              (no coordinated omission)
//	churn         a new connection for every request
//
// On Linux plain connections are driven by an epoll loop per thread, cheap
// enough to saturate any server from one core; TLS, and every load on other
// systems, by a goroutine per connection over package net. Both check status and length
// of every response; what the bodies hold is checked outside the measurement.
package load

import (
	"context"
	"crypto/tls"
	"errors"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// Mode says when a connection sends its next request.
type Mode uint8

const (
	// Closed sends the next request when the last is answered.
	Closed Mode = iota
	// Open sends requests at the times of a fixed schedule.
	Open
	// Churn is Closed with a new connection for every request. The request
	// must ask for Connection: close; the server is expected to close.
	Churn
)

// Spec describes a load. Fields without a default must be set.
type Spec struct {
	Addr  string // HOST:PORT of the server, HOST an IPv4 address
	Mode  Mode
	Conns int // connections kept open at a time
	Depth int // requests sent in one write, then all answered. Default 1

	Request []byte // one request, head and body
	Status  int    // the status every response must have
	Length  int64  // the Content-Length every response must have

	// Upgrade, when not nil, is sent once on each connection and must be
	// answered with 101. From then on Request is bytes that must come back
	// unchanged, and Status and Length are not used.
	Upgrade []byte

	TLS *tls.Config // nil: plain connections

	Rate     float64       // Open: requests per second over all connections
	Warmup   time.Duration // load before the window, not measured
	Duration time.Duration // the window, which stays open until Least is reached
	Least    int           // responses that make a measurement. Default 1
	Threads  int           // event loops. Default 1

	// Edge, when not nil, is called at the start and at the end of the
	// window, from the generator's own thread. It must be quick.
	Edge func(open bool)

	// MaxErrors ends the run early. Default 16.
	MaxErrors int

	// Drain is how long a window stays open for Least after its time, and how
	// long after it a request may stay unanswered before that is an error.
	// Default DrainTimeout.
	Drain time.Duration
}

// DrainTimeout is the default of Spec.Drain.
const DrainTimeout = 5 * time.Second

// The range of latencies that a histogram resolves, in nanoseconds. Longer ones
// count as the longest.
const (
	minLatency = 100
	maxLatency = int64(60 * time.Second)
)

// NewHistogram returns a histogram of nanoseconds with three significant
// digits.
func NewHistogram() *hdrhistogram.Histogram {
	return hdrhistogram.New(minLatency, maxLatency, 3)
}

// Result is what a load saw within its window.
type Result struct {
	Requests int64         // responses (Closed, Churn) or arrivals (Open)
	In, Out  int64         // body bytes received; bytes sent
	Elapsed  time.Duration // true length of the window
	Latency  *hdrhistogram.Histogram
	Errors   int64
	First    error // the first error
}

// add merges what another thread or connection saw.
func (r *Result) add(o *Result) {
	r.Requests += o.Requests
	r.In += o.In
	r.Out += o.Out
	r.Elapsed = max(r.Elapsed, o.Elapsed)
	r.Latency.Merge(o.Latency)
	r.Errors += o.Errors
	if r.First == nil {
		r.First = o.First
	}
}

// record counts one response.
func (r *Result) record(latency int64) {
	r.Requests++
	// Out of range only above: RecordValue takes any smaller value.
	_ = r.Latency.RecordValue(min(max(latency, 0), maxLatency))
}

// Errors of the peer's answers.
var (
	ErrEarlyClose  = errors.New("the server closed the connection before its answer was complete")
	ErrUnasked     = errors.New("the server sent bytes that nobody asked for")
	ErrUnanswered  = errors.New("requests were still unanswered after the end of the run")
	ErrNotEchoed   = errors.New("the server did not echo the bytes it was sent")
	errNoResponses = errors.New("no request was answered within the window")
)

// Run puts the load on the server and returns what it saw. The error is about
// the load as such (no connection, ctx ended); errors of single requests are
// counted in the Result.
func Run(ctx context.Context, spec Spec) (*Result, error) {
	if err := spec.complete(); err != nil {
		return nil, err
	}
	run := runEpoll
	if spec.TLS != nil || !haveEpoll {
		run = runNet
	}
	res, err := run(ctx, &spec)
	if err != nil {
		return nil, err
	}
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	if res.Requests == 0 && res.Errors == 0 {
		res.Errors, res.First = 1, errNoResponses
	}
	return res, nil
}

// complete fills defaults and refuses what makes no sense.
func (s *Spec) complete() error {
	s.Depth, s.Least = max(s.Depth, 1), max(s.Least, 1)
	s.Threads = min(max(s.Threads, 1), max(s.Conns, 1))
	if s.MaxErrors == 0 {
		s.MaxErrors = 16
	}
	if s.Drain == 0 {
		s.Drain = DrainTimeout
	}
	switch {
	case s.Conns < 1:
		return errors.New("load: no connections asked for")
	case len(s.Request) == 0:
		return errors.New("load: no request given")
	case s.Duration <= 0:
		return errors.New("load: the duration must be positive")
	case s.Mode == Open && s.Rate <= 0:
		return errors.New("load: an open loop needs a rate")
	case s.Mode == Churn && s.Depth > 1:
		return errors.New("load: a new connection per request cannot be pipelined")
	case s.Upgrade != nil && (s.Depth > 1 || s.Mode == Churn):
		return errors.New("load: an upgraded connection takes one message at a time")
	}
	return nil
}

// batch is what one write sends.
func (s *Spec) batch() []byte {
	b := make([]byte, 0, len(s.Request)*s.Depth)
	for range s.Depth {
		b = append(b, s.Request...)
	}
	return b
}
