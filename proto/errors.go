package proto

import (
	"errors"
	"net/http"

	"github.com/windhover-server/windhover/proto/wire"
)

var (
	// ErrUpgradeLimit is returned by Upgrade over
	// [Limits].MaxConcurrentUpgradedConnections. Nothing has been written;
	// the handler may still answer.
	ErrUpgradeLimit = errors.New("proto: too many upgraded connections (limit MaxConcurrentUpgradedConnections)")
	// ErrNotUpgradable is returned by Upgrade for a request that is not an
	// HTTP/1.1 request without a body that has Connection: upgrade and names
	// the protocol in its Upgrade field (RFC 9110 section 7.8).
	ErrNotUpgradable = errors.New("proto: the request does not ask for this upgrade")
	// ErrResponseStarted is returned when the response head has been sent.
	ErrResponseStarted = errors.New("proto: the response has started")
	// ErrHandlerDone is returned by every use of a ResponseWriter, Exchange or
	// request body after its handler has returned.
	ErrHandlerDone = errors.New("proto: used after the handler returned")
	// ErrInvalidField is returned for a response field whose name is not a
	// token or whose value has control characters (RFC 9110 section 5.5).
	ErrInvalidField = errors.New("proto: invalid field name or value")

	errTwoHandlers = errors.New("proto: both Handler and Native are set; set one")
)

// BodyError is returned when a request body cannot be read: it is malformed
// (400), larger than the limit (413) or too slow (408). The connection closes
// after the response. For 413 errors.As finds an *http.MaxBytesError too.
type BodyError struct {
	Status int   // the status that suits
	Err    error // a *wire.Error, *http.MaxBytesError or os.ErrDeadlineExceeded
}

func (e *BodyError) Error() string { return "proto: request body: " + e.Err.Error() }

// Unwrap returns the cause.
func (e *BodyError) Unwrap() error { return e.Err }

func malformedBody(err *wire.Error) error { return &BodyError{err.Status(), err} }

func bodyTooLarge(limit int64) error {
	return &BodyError{http.StatusRequestEntityTooLarge, &http.MaxBytesError{Limit: limit}}
}
