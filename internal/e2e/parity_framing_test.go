package e2e

import (
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
)

type noteFunc = func(format string, args ...any)

// once sends one request and lets the probe end the conversation.
func once(req string) func(c *rawClient) {
	return func(c *rawClient) { c.send(req) }
}

// write is a handler that writes the pieces.
func write(pieces ...string) func(http.ResponseWriter, *http.Request, noteFunc) {
	return func(w http.ResponseWriter, _ *http.Request, _ noteFunc) {
		for _, p := range pieces {
			io.WriteString(w, p)
		}
	}
}

// headers is a handler that sets fields (name, value, name, value...) and then
// answers with a short body.
func headers(kv ...string) func(http.ResponseWriter, *http.Request, noteFunc) {
	return func(w http.ResponseWriter, _ *http.Request, _ noteFunc) {
		for i := 0; i < len(kv); i += 2 {
			w.Header()[kv[i]] = append(w.Header()[kv[i]], kv[i+1])
		}
		io.WriteString(w, "body")
	}
}

// status is a handler that answers with a code and, if that fails, notes how.
func status(code int, body string) func(http.ResponseWriter, *http.Request, noteFunc) {
	return func(w http.ResponseWriter, _ *http.Request, note noteFunc) {
		w.WriteHeader(code)
		if body != "" {
			n, err := io.WriteString(w, body)
			note("wrote %d, body not allowed: %v", n, errors.Is(err, http.ErrBodyNotAllowed))
		}
	}
}

var long = strings.Repeat("0123456789abcdef", 4096) // more than any buffer in front of the head

// How the end of a response is made known, and which fields come by themselves.
var framingCases = []parityCase{
	{name: "nothing written", serve: write(), talk: once(get("/"))},
	{name: "short body has an implicit length", serve: write("hello ", "world"), talk: once(get("/"))},
	{name: "long body is chunked", serve: write(long, long), talk: once(get("/"))},
	{name: "empty writes", serve: write("", ""), talk: once(get("/"))},
	{name: "body of 2048 bytes", serve: write(long[:2048]), talk: once(get("/"))},
	{name: "body of 2049 bytes", serve: write(long[:2049]), talk: once(get("/"))},
	{name: "stated length", serve: headers("Content-Length", "4"), talk: once(get("/"))},
	{name: "stated length that is no number", serve: headers("Content-Length", "4 bytes"), talk: once(get("/")),
		differs: "the length that was wrong does not keep the right one from being found", differently: "Content-Length: 4\n"},
	{name: "stated length, negative", serve: headers("Content-Length", "-4"), talk: once(get("/")),
		differs: "the length that was wrong does not keep the right one from being found", differently: "Content-Length: 4\n"},
	{name: "more than the stated length", closes: true, serve: func(w http.ResponseWriter, _ *http.Request, note noteFunc) {
		w.Header().Set("Content-Length", "5")
		n, err := io.WriteString(w, "hello")
		note("%d %v", n, err)
		n, err = io.WriteString(w, " world")
		note("%d, too long: %v", n, errors.Is(err, http.ErrContentLength))
	}, talk: once(get("/"))},
	{name: "less than the stated length", closes: true, serve: headers("Content-Length", "10"), talk: once(get("/"))},
	{name: "nothing of the stated length", closes: true, serve: func(w http.ResponseWriter, _ *http.Request, _ noteFunc) {
		w.Header().Set("Content-Length", "10")
	}, talk: once(get("/"))},
	{name: "transfer coding set by the handler", serve: headers("Transfer-Encoding", "chunked"), talk: once(get("/"))},
	{name: "connection close set by the handler", closes: true, serve: headers("Connection", "close"), talk: once(get("/"))},
	{name: "connection keep-alive set by the handler", serve: headers("Connection", "keep-alive"), talk: once(get("/"))},
	{name: "connection upgrade set by the handler", serve: headers("Connection", "Upgrade", "Upgrade", "h2c"), talk: once(get("/"))},

	{name: "HEAD with a short body", serve: write("hello"), talk: once(request("HEAD", "/", "")), heads: []int{0}},
	{name: "HEAD with a long body", serve: write(long, long), talk: once(request("HEAD", "/", "")), heads: []int{0}},
	{name: "HEAD with nothing written", serve: write(), talk: once(request("HEAD", "/", "")), heads: []int{0}},
	{name: "HEAD with a stated length", serve: headers("Content-Length", "4000"), talk: once(request("HEAD", "/", "")), heads: []int{0}},
	{name: "HEAD flushed", serve: func(w http.ResponseWriter, _ *http.Request, _ noteFunc) {
		w.(http.Flusher).Flush()
		io.WriteString(w, "body")
	}, talk: once(request("HEAD", "/", "")), heads: []int{0}},
	{name: "HEAD answers do not shift the next", serve: write("hello"), talk: once(request("HEAD", "/", "") + get("/")), heads: []int{0}},

	{name: "sniffed HTML", serve: write("<!DOCTYPE html><p>"), talk: once(get("/"))},
	{name: "sniffed binary", serve: write("\x00\x01\x02"), talk: once(get("/"))},
	{name: "sniffed PNG", serve: write("\x89PNG\x0D\x0A\x1A\x0A"), talk: once(get("/"))},
	{name: "sniffed over two writes", serve: write("<!DOC", "TYPE html>"), talk: once(get("/"))},
	{name: "type set by the handler", serve: headers("Content-Type", "x/y"), talk: once(get("/"))},
	{name: "type suppressed by nil", serve: func(w http.ResponseWriter, _ *http.Request, _ noteFunc) {
		w.Header()["Content-Type"] = nil
		io.WriteString(w, "<html>")
	}, talk: once(get("/"))},
	{name: "no sniffing of an encoded body", serve: headers("Content-Encoding", "gzip"), talk: once(get("/"))},
	{name: "date suppressed by nil", serve: func(w http.ResponseWriter, _ *http.Request, _ noteFunc) {
		w.Header()["Date"] = nil
		io.WriteString(w, "x")
	}, talk: once(get("/"))},
	{name: "date set by the handler", serve: headers("Date", "yesterday"), talk: once(get("/"))},
	{name: "repeated field", serve: headers("Set-Cookie", "a=1", "Set-Cookie", "b=2"), talk: once(get("/"))},
	{name: "empty value", serve: headers("X-Empty", ""), talk: once(get("/"))},
	{name: "name as the handler wrote it", serve: headers("x-lower", "1"), talk: once(get("/"))},
	{name: "line break in a value", serve: headers("X-Inject", "a\r\nX-Evil: 1"), talk: once(get("/"))},
	{name: "blanks around a value", serve: headers("X-Blank", "  a  "), talk: once(get("/"))},
	{name: "name that is no token", serve: headers("X Bad", "1", "X-Good", "1"), talk: once(get("/"))},
	{name: "header changed after the head", serve: func(w http.ResponseWriter, _ *http.Request, _ noteFunc) {
		w.WriteHeader(200)
		w.Header().Set("X-Late", "1")
		io.WriteString(w, "x")
	}, talk: once(get("/"))},

	{name: "204 has no body", serve: status(204, "must not appear"), talk: once(get("/"))},
	{name: "304 has no body", serve: status(304, "must not appear"), talk: once(get("/"))},
	{name: "304 keeps a stated length", serve: func(w http.ResponseWriter, _ *http.Request, _ noteFunc) {
		w.Header().Set("Content-Length", "1234")
		w.Header().Set("Etag", `"x"`)
		w.WriteHeader(304)
	}, talk: once(get("/"))},
	{name: "404 without a body", serve: status(404, ""), talk: once(get("/"))},
	{name: "status without a name", serve: status(599, "x"), talk: once(get("/")),
		differs: "net/http makes up a reason phrase; RFC 9112 section 4 lets it be empty", differently: "HTTP/1.1 599 \n"},
	{name: "status 999", serve: status(999, "x"), talk: once(get("/")),
		differs: "net/http makes up a reason phrase; RFC 9112 section 4 lets it be empty", differently: "HTTP/1.1 999 \n"},
	{name: "second status is ignored", serve: func(w http.ResponseWriter, _ *http.Request, _ noteFunc) {
		w.WriteHeader(201)
		w.WriteHeader(500)
	}, talk: once(get("/"))},
	{name: "status that is none panics", serve: func(w http.ResponseWriter, _ *http.Request, note noteFunc) {
		defer func() { note("%v", recover()) }()
		w.WriteHeader(99)
	}, talk: once(get("/"))},
	{name: "http.Error", serve: func(w http.ResponseWriter, _ *http.Request, _ noteFunc) {
		w.Header().Set("Content-Length", "1000")
		http.Error(w, "went wrong", 500)
	}, talk: once(get("/"))},
	{name: "http.NotFound", serve: func(w http.ResponseWriter, r *http.Request, _ noteFunc) { http.NotFound(w, r) }, talk: once(get("/"))},
	{name: "http.Redirect", serve: func(w http.ResponseWriter, r *http.Request, _ noteFunc) {
		http.Redirect(w, r, "elsewhere?x=1", http.StatusFound)
	}, talk: once(get("/a/b"))},
	{name: "ServeContent, range", serve: serveContent, talk: once(get("/", "Range: bytes=3-5"))},
	{name: "ServeContent, two ranges wanted too far", serve: serveContent, talk: once(get("/", "Range: bytes=30-50"))},
	{name: "ServeContent, not modified", serve: serveContent, talk: once(get("/", `If-None-Match: "tag"`))},
	{name: "ServeContent, HEAD", serve: serveContent, talk: once(request("HEAD", "/", "")), heads: []int{0}},

	{name: "HTTP/1.0", closes: true, serve: write("hello"), talk: once("GET / HTTP/1.0\r\n\r\n")},
	{name: "HTTP/1.0, long body is not chunked", closes: true, serve: write(long, long), talk: once("GET / HTTP/1.0\r\n\r\n")},
	{name: "HTTP/1.0 keep-alive", serve: write("hello"), talk: once("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")},
	{name: "HTTP/1.0 keep-alive, long body", closes: true, serve: write(long, long), talk: once("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")},
	{name: "HTTP/1.0 keep-alive, no body", serve: status(204, ""), talk: once("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")},
	{name: "client asks to close", closes: true, serve: write("hello"), talk: once(get("/", "Connection: close"))},
	{name: "pipelined requests", serve: func(w http.ResponseWriter, r *http.Request, _ noteFunc) { io.WriteString(w, r.URL.Path) },
		talk: once(get("/1") + get("/2") + request("POST", "/3", "unread") + get("/4"))},
}

func serveContent(w http.ResponseWriter, r *http.Request, _ noteFunc) {
	w.Header().Set("Etag", `"tag"`)
	http.ServeContent(w, r, "x.txt", time.Unix(1_000_000_000, 0), strings.NewReader("0123456789"))
}

var trailerLine = "X-Sum: " + strconv.Itoa(42)

// Interim responses, trailers and Expect.
var interimCases = []parityCase{
	{name: "early hints", serve: func(w http.ResponseWriter, _ *http.Request, _ noteFunc) {
		w.Header().Set("Link", "</style.css>; rel=preload")
		w.WriteHeader(103)
		w.Header().Add("Link", "</script.js>; rel=preload")
		w.WriteHeader(103)
		w.Header().Del("Link")
		io.WriteString(w, "done")
	}, talk: once(get("/"))},
	{name: "102 before the final status", serve: func(w http.ResponseWriter, _ *http.Request, _ noteFunc) {
		w.WriteHeader(102)
		w.WriteHeader(202)
	}, talk: once(get("/"))},
	{name: "101 is final", serve: status(101, ""), talk: once(get("/", "Connection: upgrade", "Upgrade: x")),
		differs: "net/http goes on reading HTTP after a 101 that nobody hijacked; the client speaks another protocol by then"},

	{name: "Expect, body read", serve: readAll, talk: func(c *rawClient) {
		c.send("POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n")
		c.until("HTTP/1.1 100 Continue\r\n\r\n", 1)
		c.send("hello")
	}},
	{name: "Expect, chunked body read", serve: readAll, talk: func(c *rawClient) {
		c.send("POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nTransfer-Encoding: chunked\r\n\r\n")
		c.until("HTTP/1.1 100 Continue\r\n\r\n", 1)
		c.send("5\r\nhello\r\n0\r\n\r\n")
	}},
	{name: "Expect, body not read", serve: status(403, "no"), talk: once("POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n")},
	{name: "Expect, 100 by the handler", serve: func(w http.ResponseWriter, r *http.Request, note noteFunc) {
		w.WriteHeader(100)
		readAll(w, r, note)
	}, talk: func(c *rawClient) {
		c.send("POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n")
		c.until("HTTP/1.1 100 Continue\r\n\r\n", 1)
		c.send("hello")
	}},
	{name: "Expect without a body", serve: readAll, talk: once(get("/", "Expect: 100-continue"))},
	{name: "Expect of HTTP/1.0 is ignored", closes: true, serve: readAll, talk: once("POST / HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\nhello")},
	{name: "Expect of something else", closes: true, serve: readAll, talk: once(get("/", "Expect: a-miracle"))},

	{name: "trailers announced", serve: func(w http.ResponseWriter, _ *http.Request, _ noteFunc) {
		w.Header().Set("Trailer", "X-Sum, X-Unset")
		io.WriteString(w, "body")
		w.Header().Set("X-Sum", "42")
	}, talk: once(get("/"))},
	{name: "trailers by prefix", serve: func(w http.ResponseWriter, _ *http.Request, _ noteFunc) {
		io.WriteString(w, "body")
		w.(http.Flusher).Flush()
		w.Header().Set(http.TrailerPrefix+"X-Sum", "42")
		w.Header().Set("X-Not-Announced", "1")
	}, talk: once(get("/"))},
	{name: "trailers with a stated length", serve: func(w http.ResponseWriter, _ *http.Request, _ noteFunc) {
		w.Header().Set("Trailer", "X-Sum")
		w.Header().Set("Content-Length", "4")
		io.WriteString(w, "body")
		w.Header().Set("X-Sum", "42")
	}, talk: once(get("/"))},
	{name: "trailers that must not be", serve: func(w http.ResponseWriter, _ *http.Request, _ noteFunc) {
		w.Header().Set("Trailer", "Content-Length, Transfer-Encoding")
		io.WriteString(w, "body")
		w.(http.Flusher).Flush()
		w.Header().Set("Content-Length", "4")
	}, talk: once(get("/"))},
	{name: "request trailers", serve: func(w http.ResponseWriter, r *http.Request, note noteFunc) {
		note("announced %v", r.Trailer)
		readAll(w, r, note)
		note("received %v", r.Trailer)
	}, talk: once("POST / HTTP/1.1\r\nHost: a\r\nTrailer: X-Sum\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n" + trailerLine + "\r\n\r\n")},
}

// readAll notes what the body is and echoes it.
func readAll(w http.ResponseWriter, r *http.Request, note noteFunc) {
	b, err := io.ReadAll(r.Body)
	note("body %s, error %v, length %d, coding %v", digest(string(b)), err, r.ContentLength, r.TransferEncoding)
	w.Write(b)
}
