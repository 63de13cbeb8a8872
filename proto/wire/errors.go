package wire

// Reason says why a message is refused. Each value has a status code, the
// clause that asks for the refusal, and a sample under testdata/wire.
type Reason uint8

// The reasons. Those of the last group are never found by [Conn], which knows
// neither time nor body limits; they are here so that every refusal of a
// request has one vocabulary.
const (
	ReasonNone Reason = iota

	ReasonInvalidRequestLine // not "method SP target SP version CRLF"
	ReasonTooManyBlankLines  // more than 8 empty lines in front of a request
	ReasonTLSHandshake       // a TLS record where a request should be
	ReasonUnsupportedVersion // well-formed, but neither HTTP/1.0 nor HTTP/1.1
	ReasonRequestLineTooLong
	ReasonInvalidTarget
	ReasonOptionsRequired // target "*" with another method than OPTIONS
	ReasonConnectRequired // authority-form target with another method than CONNECT

	ReasonInvalidLineEnd   // CR without LF, or LF without CR, in a field section
	ReasonInvalidFieldLine // no colon
	ReasonInvalidFieldName // empty, or not a token
	ReasonSpaceBeforeColon
	ReasonLineFolding // a field line that starts with a blank
	ReasonInvalidFieldValue
	ReasonFieldSectionTooLarge
	ReasonTooManyFields

	ReasonMissingHost
	ReasonMultipleHosts
	ReasonInvalidHost
	ReasonHostMismatch // Host and the target's authority differ

	ReasonInvalidContentLength
	ReasonMultipleContentLengths
	ReasonLengthWithCoding // Content-Length and Transfer-Encoding together
	ReasonCodingInHTTP10   // Transfer-Encoding in HTTP/1.0
	ReasonInvalidTransferEncoding
	ReasonChunkedNotFinal
	ReasonChunkedTwice
	ReasonUnsupportedCoding

	ReasonInvalidChunkSize // no hexadecimal number, or above 2^63-1
	ReasonInvalidChunkExtension
	ReasonChunkExtensionsTooLarge
	ReasonInvalidChunkEnd // chunk data not followed by CRLF
	ReasonForbiddenTrailer

	ReasonIncompleteHead    // the input ended inside a head; see [Conn.EOF]
	ReasonIncompleteContent // the input ended inside a body; see [Conn.EOF]

	ReasonContentTooLarge // the body exceeds the server's limit
	ReasonHeadTimeout
	ReasonContentTimeout

	reasonCount
)

// retry is what the one-pass parser answers when it cannot finish: the input is
// incomplete or wrong, and the scanner has to find out which.
const retry = reasonCount

type reasonInfo struct {
	name   string
	text   string
	clause string
	status int
}

var reasonTable = [reasonCount]reasonInfo{
	ReasonNone: {"none", "no error", "", 0},

	ReasonInvalidRequestLine: {"invalid-request-line", "invalid request line", "RFC 9112 section 3", 400},
	ReasonTooManyBlankLines:  {"too-many-blank-lines", "too many empty lines before a request", "RFC 9112 section 2.2", 400},
	ReasonTLSHandshake:       {"tls-handshake", "TLS handshake on a plain HTTP connection", "RFC 9112 section 3", 400},
	ReasonUnsupportedVersion: {"unsupported-version", "unsupported HTTP version", "RFC 9110 section 15.6.6", 505},
	ReasonRequestLineTooLong: {"request-line-too-long", "request line too long", "RFC 9112 section 3", 414},
	ReasonInvalidTarget:      {"invalid-target", "invalid request target", "RFC 9112 section 3.2", 400},
	ReasonOptionsRequired:    {"options-required", "asterisk-form target needs OPTIONS", "RFC 9112 section 3.2.4", 405},
	ReasonConnectRequired:    {"connect-required", "authority-form target needs CONNECT", "RFC 9112 section 3.2.3", 405},

	ReasonInvalidLineEnd:       {"invalid-line-end", "line does not end with CRLF", "RFC 9112 section 2.2", 400},
	ReasonInvalidFieldLine:     {"invalid-field-line", "field line without colon", "RFC 9112 section 5", 400},
	ReasonInvalidFieldName:     {"invalid-field-name", "invalid field name", "RFC 9110 section 5.1", 400},
	ReasonSpaceBeforeColon:     {"space-before-colon", "whitespace between field name and colon", "RFC 9112 section 5.1", 400},
	ReasonLineFolding:          {"line-folding", "folded field line", "RFC 9112 section 5.2", 400},
	ReasonInvalidFieldValue:    {"invalid-field-value", "invalid field value", "RFC 9110 section 5.5", 400},
	ReasonFieldSectionTooLarge: {"field-section-too-large", "field section too large", "RFC 6585 section 5", 431},
	ReasonTooManyFields:        {"too-many-fields", "too many field lines", "RFC 6585 section 5", 431},

	ReasonMissingHost:   {"missing-host", "missing Host field", "RFC 9112 section 3.2", 400},
	ReasonMultipleHosts: {"multiple-hosts", "more than one Host field", "RFC 9112 section 3.2", 400},
	ReasonInvalidHost:   {"invalid-host", "invalid Host field", "RFC 9112 section 3.2", 400},
	ReasonHostMismatch:  {"host-mismatch", "Host field does not match the request target", "RFC 9112 section 3.2.2", 400},

	ReasonInvalidContentLength:    {"invalid-content-length", "invalid Content-Length", "RFC 9112 section 6.3", 400},
	ReasonMultipleContentLengths:  {"multiple-content-lengths", "more than one Content-Length", "RFC 9112 section 6.3", 400},
	ReasonLengthWithCoding:        {"length-with-coding", "Content-Length together with Transfer-Encoding", "RFC 9112 section 6.1", 400},
	ReasonCodingInHTTP10:          {"coding-in-http10", "Transfer-Encoding in an HTTP/1.0 request", "RFC 9112 section 6.1", 400},
	ReasonInvalidTransferEncoding: {"invalid-transfer-encoding", "invalid Transfer-Encoding", "RFC 9112 section 6.1", 400},
	ReasonChunkedNotFinal:         {"chunked-not-final", "chunked is not the final transfer coding", "RFC 9112 section 6.3", 400},
	ReasonChunkedTwice:            {"chunked-twice", "chunked applied more than once", "RFC 9112 section 6.1", 400},
	ReasonUnsupportedCoding:       {"unsupported-coding", "unsupported transfer coding", "RFC 9112 section 6.1", 501},

	ReasonInvalidChunkSize:        {"invalid-chunk-size", "invalid chunk size", "RFC 9112 section 7.1", 400},
	ReasonInvalidChunkExtension:   {"invalid-chunk-extension", "invalid chunk extension", "RFC 9112 section 7.1.1", 400},
	ReasonChunkExtensionsTooLarge: {"chunk-extensions-too-large", "chunk extensions too large", "RFC 9112 section 7.1.1", 413},
	ReasonInvalidChunkEnd:         {"invalid-chunk-end", "chunk data not followed by CRLF", "RFC 9112 section 7.1", 400},
	ReasonForbiddenTrailer:        {"forbidden-trailer", "field not allowed in a trailer section", "RFC 9110 section 6.5.1", 400},

	ReasonIncompleteHead:    {"incomplete-head", "input ended inside a message head", "RFC 9112 section 8", 400},
	ReasonIncompleteContent: {"incomplete-content", "input ended inside a message body", "RFC 9112 section 8", 400},

	ReasonContentTooLarge: {"content-too-large", "request content too large", "RFC 9110 section 15.5.14", 413},
	ReasonHeadTimeout:     {"head-timeout", "timeout while reading the request head", "RFC 9110 section 15.5.9", 408},
	ReasonContentTimeout:  {"content-timeout", "timeout while reading the request content", "RFC 9110 section 15.5.9", 408},
}

// errorTable holds the one *Error of each reason, so that refusing costs no
// allocation and errors compare by identity.
var errorTable = func() (t [reasonCount]Error) {
	for r := range t {
		t[r].Reason = Reason(r)
	}
	return t
}()

func (r Reason) info() *reasonInfo {
	if r >= reasonCount {
		r = ReasonNone
	}
	return &reasonTable[r]
}

// Status returns the status code for a response to a message refused for r: a
// 4xx or 5xx code, or 0 for [ReasonNone].
func (r Reason) Status() int { return r.info().status }

// Clause returns the specification clause behind r, such as
// "RFC 9112 section 3.2".
func (r Reason) Clause() string { return r.info().clause }

// String returns a short lower-case name, such as "invalid-request-line". It is
// also the name of the sample in testdata/wire.
func (r Reason) String() string { return r.info().name }

// Allow returns the value that the Allow field of a response with status 405
// must have for r (RFC 9110 section 15.5.6), or "" for other statuses.
func (r Reason) Allow() string {
	switch r {
	case ReasonOptionsRequired:
		return "OPTIONS"
	case ReasonConnectRequired:
		return "CONNECT"
	}
	return ""
}

// Err returns the error of r. It is the same pointer each time, and nil for
// [ReasonNone].
func (r Reason) Err() *Error {
	if r == ReasonNone || r >= reasonCount {
		return nil
	}
	return &errorTable[r]
}

// Error is the peer's fault: a message that is refused. There is one value per
// [Reason], so errors.Is works by identity.
type Error struct {
	Reason Reason
}

// Error returns the meaning of the reason. It never contains bytes of the
// message.
func (e *Error) Error() string { return "wire: " + e.Reason.info().text }

// Status returns the status code to answer with.
func (e *Error) Status() int { return e.Reason.Status() }

// Is makes copies of an Error match the preallocated one.
func (e *Error) Is(target error) bool {
	t, ok := target.(*Error)
	return ok && t.Reason == e.Reason
}

// MisuseError is our caller's fault: a response that does not keep to the
// framing it announced, or methods called in a wrong order.
type MisuseError struct {
	What string
}

// Error describes the misuse.
func (e *MisuseError) Error() string { return "wire: " + e.What }

// The misuses, preallocated.
var (
	// ErrTooMuchContent is returned by the methods of [Encoder] when a body
	// exceeds its declared length, or when there must not be a body.
	ErrTooMuchContent = &MisuseError{"content exceeds the declared length"}
	// ErrTooLittleContent is returned by [Encoder.AppendEnd] when a body is
	// shorter than its declared length.
	ErrTooLittleContent = &MisuseError{"content is shorter than the declared length"}
)
