package proto

import (
	"errors"
	"fmt"
	"net/http"
)

// ErrNotHere is returned for a request that this package does not serve over
// HTTP/1.1 (an HTTP/2 request, a test's own), or whose handler has returned.
var ErrNotHere = errors.New("proto: not a request under way on an HTTP/1.1 connection of Windhover")

// ErrReadingBegun is returned when a limit on the request body is changed
// after the body has been read from.
var ErrReadingBegun = errors.New("proto: the request body is already being read")

// control runs f for the request that r, or what r was derived from, is.
func control(r *http.Request, f func(c *Conn) error) error {
	ctx, _ := r.Context().Value(connKey).(*reqCtx)
	if ctx == nil || ctx.w == nil {
		return ErrNotHere
	}
	c := ctx.c
	c.dmu.Lock()
	defer c.dmu.Unlock()
	if ctx.w.done {
		return ErrNotHere
	}
	return f(c)
}

// SetMaxRequestBodySize replaces [Limits].MaxRequestBodySize for one request:
// n bytes (0 or [None]: no body), or no limit below zero. It must come before
// the first read of the body, else the error is [ErrReadingBegun] (Kestrel
// IHttpMaxRequestBodySizeFeature).
func SetMaxRequestBodySize(r *http.Request, n int64) error {
	return control(r, func(c *Conn) error {
		if c.s.body.begun.Load() {
			return ErrReadingBegun
		}
		c.s.body.limit = bodyLimit(n)
		return nil
	})
}

// SetMinRequestBodyDataRate replaces [Limits].MinRequestBodyDataRate for one
// request. It must come before the first read of the body, else the error is
// [ErrReadingBegun].
func SetMinRequestBodyDataRate(r *http.Request, rate DataRate) error {
	return control(r, func(c *Conn) error {
		if c.s.body.begun.Load() {
			return ErrReadingBegun
		}
		c.s.body.rate = rate.withDefaults()
		return nil
	})
}

// SetMinResponseDataRate replaces [Limits].MinResponseDataRate for the response
// to one request.
func SetMinResponseDataRate(r *http.Request, rate DataRate) error {
	return control(r, func(c *Conn) error {
		c.setSendRate(rate.withDefaults())
		c.s.ownRate = true
		return nil
	})
}

// RequestID returns the identifier of a request: the connection's and the
// number of the request on it, such as "0HLQ0OKO7CDA1:00000001" (Kestrel
// TraceIdentifier). It is "" for a request served by something else.
func RequestID(r *http.Request) string {
	id := ""
	_ = control(r, func(c *Conn) error {
		id = c.requestID()
		return nil
	})
	return id
}

func (c *Conn) requestID() string { return fmt.Sprintf("%s:%08X", c.ID(), c.requests) }

// setSendRate tells the link what the client has to take.
func (c *Conn) setSendRate(r DataRate) {
	if r.off() {
		c.link.SetSendRate(0, 0)
		return
	}
	c.link.SetSendRate(r.BytesPerSecond, r.GracePeriod)
}

// withDefaults fills the zero fields.
func (r DataRate) withDefaults() DataRate {
	def(&r.BytesPerSecond, DefaultMinDataRate)
	def(&r.GracePeriod, DefaultGracePeriod)
	return r
}
