package wire

import (
	"strconv"
)

var statusText = map[int]string{
	100: "Continue", 101: "Switching Protocols", 102: "Processing", 103: "Early Hints",
	200: "OK", 201: "Created", 202: "Accepted", 203: "Non-Authoritative Information", 204: "No Content",
	205: "Reset Content", 206: "Partial Content", 207: "Multi-Status", 208: "Already Reported", 226: "IM Used",
	300: "Multiple Choices", 301: "Moved Permanently", 302: "Found", 303: "See Other", 304: "Not Modified",
	305: "Use Proxy", 307: "Temporary Redirect", 308: "Permanent Redirect",
	400: "Bad Request", 401: "Unauthorized", 402: "Payment Required", 403: "Forbidden", 404: "Not Found",
	405: "Method Not Allowed", 406: "Not Acceptable", 407: "Proxy Authentication Required", 408: "Request Timeout",
	409: "Conflict", 410: "Gone", 411: "Length Required", 412: "Precondition Failed", 413: "Request Entity Too Large",
	414: "Request URI Too Long", 415: "Unsupported Media Type", 416: "Requested Range Not Satisfiable",
	417: "Expectation Failed", 418: "I'm a teapot", 421: "Misdirected Request", 422: "Unprocessable Entity",
	423: "Locked", 424: "Failed Dependency", 425: "Too Early", 426: "Upgrade Required", 428: "Precondition Required",
	429: "Too Many Requests", 431: "Request Header Fields Too Large", 451: "Unavailable For Legal Reasons",
	500: "Internal Server Error", 501: "Not Implemented", 502: "Bad Gateway", 503: "Service Unavailable",
	504: "Gateway Timeout", 505: "HTTP Version Not Supported", 506: "Variant Also Negotiates",
	507: "Insufficient Storage", 508: "Loop Detected", 510: "Not Extended", 511: "Network Authentication Required",
}

// statusLines holds the HTTP/1.1 status lines with their standard text.
var statusLines = func() (t [512 - 100]string) {
	for i := range t {
		code := 100 + i
		if text, ok := statusText[code]; ok {
			t[i] = "HTTP/1.1 " + strconv.Itoa(code) + " " + text + "\r\n"
		}
	}
	return t
}()

// StatusText returns the standard text of a status code, the same as
// http.StatusText, or "" if there is none.
func StatusText(code int) string { return statusText[code] }

// AppendStatusLine appends a status line with its CRLF (RFC 9112 section 4).
// code must have three digits. An empty reason, and one that may not stand in a
// status line, is replaced by the standard text; a code without one gets none.
func AppendStatusLine(dst []byte, v Version, code int, reason string) []byte {
	if reason == "" || !ValidFieldValue(reason) {
		if i := code - 100; v == HTTP11 && uint(i) < uint(len(statusLines)) && statusLines[i] != "" {
			return append(dst, statusLines[i]...)
		}
		reason = statusText[code]
	}
	dst = append(dst, v.String()...)
	dst = append(dst, ' ')
	dst = strconv.AppendInt(dst, int64(code), 10)
	dst = append(dst, ' ')
	dst = append(dst, reason...)
	return append(dst, '\r', '\n')
}

// AppendField appends a field line. The caller has validated name and value
// ([ValidFieldName], [ValidFieldValue]); nothing is checked here.
func AppendField[V string | []byte](dst []byte, name string, value V) []byte {
	dst = append(dst, name...)
	dst = append(dst, ':', ' ')
	dst = append(dst, value...)
	return append(dst, '\r', '\n')
}

// AppendLengthField appends a Content-Length field line.
func AppendLengthField(dst []byte, n int64) []byte {
	dst = append(dst, "Content-Length: "...)
	dst = strconv.AppendInt(dst, n, 10)
	return append(dst, '\r', '\n')
}

// BodyAllowed reports whether a response with this status may have content
// (RFC 9110 section 6.4.1): not 1xx, 204 and 304.
func BodyAllowed(status int) bool {
	return status >= 200 && status != 204 && status != 304
}

// Encoder enforces the framing of one response body. Begin starts it, for each
// response anew. The zero value refuses all content.
type Encoder struct {
	left    int64 // bytes that may still come
	kind    FramingKind
	discard bool
}

// Begin starts a body with the framing that the head of the response announces.
// With discard (the answer to HEAD) content is counted against the length but
// not encoded, and too little of it is no error.
func (e *Encoder) Begin(f Framing, discard bool) {
	*e = Encoder{left: maxInt64, kind: f.Kind, discard: discard}
	switch f.Kind {
	case NoBody:
		e.left = 0
	case Length:
		e.left = f.Length
	}
}

// Discards reports whether content is counted only, not sent.
func (e *Encoder) Discards() bool { return e.discard }

// Kind returns the framing of the body.
func (e *Encoder) Kind() FramingKind { return e.kind }

// Account counts n bytes of content that the caller is going to send by itself.
// It returns [ErrTooMuchContent], and counts nothing, if that would be more
// than the framing allows.
func (e *Encoder) Account(n int) error {
	if int64(n) > e.left {
		return ErrTooMuchContent
	}
	if e.kind == Length {
		e.left -= int64(n)
	}
	return nil
}

// AppendContent accounts for p and appends it as it goes on the wire. An empty
// p appends nothing: an empty chunk would end the body.
func (e *Encoder) AppendContent(dst, p []byte) ([]byte, error) {
	if err := e.Account(len(p)); err != nil {
		return dst, err
	}
	if e.discard || len(p) == 0 {
		return dst, nil
	}
	dst = e.AppendChunkHead(dst, len(p))
	dst = append(dst, p...)
	return e.AppendChunkTail(dst), nil
}

// AppendChunkHead appends what goes in front of n bytes of content that the
// caller has accounted for and sends by itself: the chunk size line when the
// body is chunked, else nothing. n must not be 0.
func (e *Encoder) AppendChunkHead(dst []byte, n int) []byte {
	if e.kind != Chunked || e.discard || n <= 0 {
		return dst
	}
	dst = strconv.AppendUint(dst, uint64(n), 16)
	return append(dst, '\r', '\n')
}

// AppendChunkTail appends what goes behind such content: CRLF when the body is
// chunked, else nothing.
func (e *Encoder) AppendChunkTail(dst []byte) []byte {
	if e.kind != Chunked || e.discard {
		return dst
	}
	return append(dst, '\r', '\n')
}

// AppendEnd appends the end of the body: the last chunk, trailers and the empty
// line when it is chunked, else nothing. trailers are field lines made with
// [AppendField]. It returns [ErrTooLittleContent] if the body is shorter than
// its declared length; the connection must then be closed. Afterwards no
// content is accepted.
func (e *Encoder) AppendEnd(dst []byte, trailers []byte) ([]byte, error) {
	short := e.kind == Length && e.left > 0 && !e.discard
	e.left = 0
	switch {
	case short:
		return dst, ErrTooLittleContent
	case e.kind != Chunked || e.discard:
		return dst, nil
	}
	dst = append(dst, '0', '\r', '\n')
	dst = append(dst, trailers...)
	return append(dst, '\r', '\n'), nil
}
