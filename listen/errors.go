package listen

import (
	"errors"
	"io"
	"net"
	"os"
)

// What can be wrong with a prefix; see [PrefixError].
var (
	// ErrSyntax says that a text is no prefix at all.
	ErrSyntax = errors.New("not a URL prefix")
	// ErrScheme says that the scheme is neither http nor https.
	ErrScheme = errors.New("unrecognised scheme")
	// ErrHost says that the host can be neither an address nor a name.
	ErrHost = errors.New("bad host")
	// ErrPort says that the port is not a number from 0 to 65535.
	ErrPort = errors.New("bad port")
	// ErrPathBase says that the prefix has a path, which no endpoint can have.
	ErrPathBase = errors.New("path base in a prefix")
	// ErrLocalhostPort says that localhost was given port 0.
	ErrLocalhostPort = errors.New("dynamic port for localhost")
	// ErrConflict says that another prefix occupies the same address.
	ErrConflict = errors.New("conflicting prefixes")
	// ErrOption says that a [BindOptions] value cannot be used.
	ErrOption = errors.New("bad option")
)

// PrefixError says why a prefix cannot be used and what to do.
type PrefixError struct {
	Prefix string // as written
	Kind   error  // ErrSyntax and so on; errors.Is finds it
	Detail string
}

func (e *PrefixError) Error() string {
	return "listen: prefix \"" + e.Prefix + "\": " + e.Detail
}

// Unwrap returns Kind.
func (e *PrefixError) Unwrap() error { return e.Kind }

func refuse(prefix string, kind error, detail string) *PrefixError {
	return &PrefixError{Prefix: prefix, Kind: kind, Detail: detail}
}

// BindError says which endpoint could not be bound, why, and what to do.
type BindError struct {
	// Prefix is the endpoint as its String method prints it, Address the
	// socket of it that failed: for http://localhost:5000 perhaps
	// "http://[::1]:5000".
	Prefix, Address string
	// Remedy is advice for the operator. It may be empty.
	Remedy string
	// Err is the system's error; errors.Is finds syscall.EADDRINUSE,
	// fs.ErrPermission and the like.
	Err error
}

func (e *BindError) Error() string {
	s := "listen: cannot bind " + e.Prefix
	if e.Address != e.Prefix && e.Address != "" {
		s += " at " + e.Address
	}
	s += ": " + cause(e.Err)
	if e.Remedy != "" {
		s += "; " + e.Remedy
	}
	return s
}

// Unwrap returns Err.
func (e *BindError) Unwrap() error { return e.Err }

// IsReset reports whether err, the reason for the end of a connection
// ([Protocol].Lost), is one of those by which clients end connections every day
// (reset, broken pipe, timeout), and not a sign of trouble on this side.
func IsReset(err error) bool {
	for _, usual := range []error{io.EOF, io.ErrClosedPipe, net.ErrClosed, os.ErrDeadlineExceeded} {
		if errors.Is(err, usual) {
			return true
		}
	}
	for _, usual := range resets {
		if errors.Is(err, usual) {
			return true
		}
	}
	return false
}
