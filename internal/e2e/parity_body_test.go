package e2e

import (
	"bufio"
	"errors"
	"io"
	"net/http"
	"os"
	"strings"
	"time"
)

// chunked frames the pieces of a body.
func chunked(pieces ...string) string {
	var b strings.Builder
	b.WriteString("Transfer-Encoding: chunked\r\n\r\n")
	for _, p := range pieces {
		b.WriteString(hex(len(p)) + "\r\n" + p + "\r\n")
	}
	return b.String() + "0\r\n\r\n"
}

func hex(n int) string {
	const digits = "0123456789abcdef"
	s := ""
	for ; n > 0; n /= 16 {
		s = string(digits[n%16]) + s
	}
	return s
}

// Reading the request and its body.
var bodyCases = []parityCase{
	{name: "body of known length", serve: readAll, talk: once(request("POST", "/", long))},
	{name: "chunked body", serve: readAll, talk: once("POST / HTTP/1.1\r\nHost: a\r\n" + chunked("hello ", "world", long))},
	{name: "no body", serve: readAll, talk: once(get("/"))},
	{name: "POST without a length", serve: readAll, talk: once(request("POST", "/", ""))},
	{name: "empty body stated", serve: readAll, talk: once(get("/", "Content-Length: 0"))},
	{name: "GET with a body", serve: readAll, talk: once(request("GET", "/", "hello"))},
	{name: "read after the end", serve: func(w http.ResponseWriter, r *http.Request, note noteFunc) {
		readAll(w, r, note)
		n, err := r.Body.Read(make([]byte, 1))
		note("%d %v", n, err)
		note("close %v", r.Body.Close())
		_, err = r.Body.Read(make([]byte, 1))
		note("after close: %v", errors.Is(err, http.ErrBodyReadAfterClose))
	}, talk: once(request("POST", "/", "hello"))},
	{name: "body read while the answer is written", serve: func(w http.ResponseWriter, r *http.Request, note noteFunc) {
		note("%v", http.NewResponseController(w).EnableFullDuplex())
		for br := bufio.NewReader(r.Body); ; {
			line, err := br.ReadString('\n')
			if err != nil {
				note("%q %v", line, err)
				return
			}
			io.WriteString(w, strings.ToUpper(line))
			w.(http.Flusher).Flush()
		}
	}, talk: func(c *rawClient) {
		c.send("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n4\r\none\n\r\n")
		c.until("ONE\n", 1)
		c.send("4\r\ntwo\n\r\n")
		c.until("TWO\n", 1)
		c.send("0\r\n\r\n")
	}},
	{name: "MaxBytesReader, within", serve: limited, talk: once(request("POST", "/", "12345678"))},
	{name: "MaxBytesReader, beyond", serve: limited, talk: once(request("POST", "/", "123456789")),
		differs: "net/http gives the connection up; here the little that is left is read away, and the connection stays in step", differently: "in step"},
	{name: "unread body is skipped", serve: write("ignored"), talk: once(request("POST", "/", long))},
	{name: "unread chunked body is skipped", serve: write("ignored"), talk: once("POST / HTTP/1.1\r\nHost: a\r\n" + chunked(long, long))},
	{name: "half-read body is skipped", serve: func(w http.ResponseWriter, r *http.Request, note noteFunc) {
		b := make([]byte, 5)
		_, err := io.ReadFull(r.Body, b)
		note("%s %v", b, err)
	}, talk: once(request("POST", "/", long))},
	{name: "body cut by the client", serve: func(_ http.ResponseWriter, r *http.Request, note noteFunc) {
		b, err := io.ReadAll(r.Body)
		note("%s, unexpected end: %v", b, errors.Is(err, io.ErrUnexpectedEOF))
	}, talk: func(c *rawClient) {
		c.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhello")
		c.halfClose()
	},
		differs: "here the answer says that the connection ends", differently: "Connection: close\n"},
	{name: "chunked body cut by the client", serve: func(_ http.ResponseWriter, r *http.Request, note noteFunc) {
		b, err := io.ReadAll(r.Body)
		note("%s, unexpected end: %v", b, errors.Is(err, io.ErrUnexpectedEOF))
	}, talk: func(c *rawClient) {
		c.send("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n")
		c.halfClose()
	}},

	{name: "fields of the request", serve: describeRequest, talk: once(get("/a%20b/c?x=1&y=%20", "X-One: 1", "x-two: 2", "X-ONE: 3", "Cookie: a=b", "Accept: */*"))},
	{name: "absolute target", serve: describeRequest, talk: once("GET http://other.test:81/p?q HTTP/1.1\r\nHost: other.test:81\r\n\r\n")},
	{name: "absolute target and another Host", serve: describeRequest, talk: once("GET http://other.test/p HTTP/1.1\r\nHost: example.test\r\n\r\n"),
		differs: "two answers to the question which host is meant are refused (ADR 0003)", differently: "HTTP/1.1 400 Bad Request\n"},
	{name: "escaped slash", serve: describeRequest, talk: once(get("/a%2Fb"))},
	{name: "empty query", serve: describeRequest, talk: once(get("/a?"))},
	{name: "dot segments", serve: describeRequest, talk: once(get("/a/../b/./c"))},
	{name: "two slashes in front", serve: describeRequest, talk: once(get("//a/b"))},
	{name: "OPTIONS *", serve: describeRequest, talk: once(request("OPTIONS", "*", ""))},
	{name: "OPTIONS * for the handler", serve: describeRequest, talk: once(request("OPTIONS", "*", "")),
		configure: func(s *http.Server) { s.DisableGeneralOptionsHandler = true }},
	{name: "CONNECT", serve: describeRequest, talk: once("CONNECT other.test:443 HTTP/1.1\r\nHost: other.test:443\r\n\r\n")},
	{name: "method of one's own", serve: describeRequest, talk: once(request("brew", "/pot", ""))},
	{name: "HTTP/1.0 request", closes: true, serve: describeRequest, talk: once("GET /x HTTP/1.0\r\nHost: a\r\n\r\n")},
	{name: "empty Host", serve: describeRequest, talk: once("GET /x HTTP/1.1\r\nHost:\r\n\r\n")},
}

func limited(w http.ResponseWriter, r *http.Request, note noteFunc) {
	b, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 8))
	var tooBig *http.MaxBytesError
	note("%s, too big: %v", b, errors.As(err, &tooBig))
	if err != nil {
		http.Error(w, "too big", http.StatusRequestEntityTooLarge)
	}
}

func describeRequest(w http.ResponseWriter, r *http.Request, note noteFunc) {
	note("%s %s %s %d.%d", r.Method, r.RequestURI, r.Proto, r.ProtoMajor, r.ProtoMinor)
	note("url %q path %q raw %q query %q force %v", r.URL, r.URL.Path, r.URL.RawPath, r.URL.RawQuery, r.URL.ForceQuery)
	note("host %q header %v close %v tls %v pattern %q", r.Host, r.Header, r.Close, r.TLS != nil, r.Pattern)
	note("remote address %v", r.RemoteAddr != "")
	_, isServer := r.Context().Value(http.ServerContextKey).(*http.Server)
	note("server in context %v, address in context %v", isServer, r.Context().Value(http.LocalAddrContextKey) != nil)
}

// What a handler can do to the connection.
var controlCases = []parityCase{
	{name: "flush shows what is written", serve: func(w http.ResponseWriter, r *http.Request, _ noteFunc) {
		if r.URL.Path == "/go" {
			return
		}
		io.WriteString(w, "first")
		w.(http.Flusher).Flush()
		<-r.Context().Done() // the client sees "first" while the handler runs, and leaves
	}, talk: func(c *rawClient) {
		c.send(get("/"))
		c.until("first", 1)
		c.halfClose()
	}},
	{name: "flush before anything", serve: func(w http.ResponseWriter, _ *http.Request, note noteFunc) {
		note("%v", http.NewResponseController(w).Flush())
	}, talk: once(get("/"))},
	{name: "flush with a stated length", serve: func(w http.ResponseWriter, _ *http.Request, note noteFunc) {
		w.Header().Set("Content-Length", "10")
		io.WriteString(w, "first")
		note("%v", http.NewResponseController(w).Flush())
		io.WriteString(w, "other")
	}, talk: once(get("/"))},
	{name: "ReadFrom", serve: func(w http.ResponseWriter, _ *http.Request, note noteFunc) {
		n, err := w.(io.ReaderFrom).ReadFrom(strings.NewReader(long))
		note("%d %v", n, err)
	}, talk: once(get("/"))},
	{name: "ReadFrom after a write", serve: func(w http.ResponseWriter, _ *http.Request, note noteFunc) {
		io.WriteString(w, "<html>")
		n, err := w.(io.ReaderFrom).ReadFrom(strings.NewReader("text"))
		note("%d %v", n, err)
	}, talk: once(get("/"))},
	{name: "a file is sniffed and sent", serve: func(w http.ResponseWriter, r *http.Request, note noteFunc) {
		f, err := os.Open("doc.go")
		if err != nil {
			note("%v", err)
			return
		}
		defer f.Close()
		n, err := io.Copy(w, f)
		note("%v %v", n > 100, err)
	}, talk: once(get("/")),
		differs: "here a file shorter than what is sniffed has a length", differently: "\n  length "},
	{name: "optional interfaces", serve: func(w http.ResponseWriter, _ *http.Request, note noteFunc) {
		_, flusher := w.(http.Flusher)
		_, hijacker := w.(http.Hijacker)
		_, readerFrom := w.(io.ReaderFrom)
		_, stringWriter := w.(io.StringWriter)
		_, pusher := w.(http.Pusher)
		note("%v %v %v %v %v", flusher, hijacker, readerFrom, stringWriter, pusher)
	}, talk: once(get("/"))},

	{name: "hijack, with bytes already sent", closes: true, serve: func(w http.ResponseWriter, r *http.Request, note noteFunc) {
		conn, rw, err := w.(http.Hijacker).Hijack()
		if err != nil {
			note("%v", err)
			return
		}
		defer conn.Close()
		line, err := rw.ReadString('\n')
		note("%q %v", line, err)
		rw.WriteString("not HTTP: " + line)
		note("%v", rw.Flush())
		_, err = w.Write([]byte("x"))
		note("write afterwards: %v", errors.Is(err, http.ErrHijacked))
		_, _, err = w.(http.Hijacker).Hijack()
		note("again: %v", errors.Is(err, http.ErrHijacked))
	}, talk: once(get("/") + "left over\n")},
	{name: "hijack after a write", closes: true, serve: func(w http.ResponseWriter, _ *http.Request, note noteFunc) {
		io.WriteString(w, "lost?")
		conn, rw, err := http.NewResponseController(w).Hijack()
		if err != nil {
			note("%v", err)
			return
		}
		defer conn.Close()
		rw.WriteString("raw")
		rw.Flush()
	}, talk: once(get("/")),
		differs: "net/http loses what was written but not flushed", differently: "lost?"},

	{name: "read deadline passes", closes: true, serve: func(w http.ResponseWriter, r *http.Request, note noteFunc) {
		rc := http.NewResponseController(w)
		note("%v", rc.SetReadDeadline(time.Unix(1, 0)))
		_, err := io.ReadAll(r.Body)
		note("timeout: %v", errors.Is(err, os.ErrDeadlineExceeded))
	}, talk: once("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\nhello")},
	{name: "write deadline passes", closes: true, serve: func(w http.ResponseWriter, _ *http.Request, note noteFunc) {
		rc := http.NewResponseController(w)
		note("%v", rc.SetWriteDeadline(time.Unix(1, 0)))
		io.WriteString(w, "x")
		note("timeout: %v", errors.Is(rc.Flush(), os.ErrDeadlineExceeded))
	}, talk: once(get("/"))},
	{name: "deadline far away changes nothing", serve: func(w http.ResponseWriter, r *http.Request, note noteFunc) {
		rc := http.NewResponseController(w)
		note("%v %v", rc.SetReadDeadline(time.Now().Add(time.Hour)), rc.SetWriteDeadline(time.Now().Add(time.Hour)))
		readAll(w, r, note)
	}, talk: once(request("POST", "/", "hello"))},
}

// How a request and its connection come to an end.
var lifeCases = []parityCase{
	{name: "abort before the head", closes: true, serve: func(http.ResponseWriter, *http.Request, noteFunc) { panic(http.ErrAbortHandler) }, talk: once(get("/"))},
	{name: "abort after a write", closes: true, serve: func(w http.ResponseWriter, _ *http.Request, _ noteFunc) {
		io.WriteString(w, "buffered")
		panic(http.ErrAbortHandler)
	}, talk: once(get("/"))},
	{name: "abort after a flush", closes: true, serve: func(w http.ResponseWriter, _ *http.Request, _ noteFunc) {
		io.WriteString(w, "sent")
		w.(http.Flusher).Flush()
		panic(http.ErrAbortHandler)
	}, talk: once(get("/"))},
	{name: "panic", closes: true, serve: func(http.ResponseWriter, *http.Request, noteFunc) { panic("asked for") }, talk: once(get("/"))},
	{name: "panic takes the pipelined requests with it", closes: true, serve: func(w http.ResponseWriter, r *http.Request, note noteFunc) {
		note("%s", r.URL.Path)
		if r.URL.Path == "/2" {
			panic("asked for")
		}
	}, talk: once(get("/1") + get("/2") + get("/3"))},
	{name: "context lives while the handler runs", serve: func(_ http.ResponseWriter, r *http.Request, note noteFunc) {
		note("%v", r.Context().Err())
	}, talk: once(get("/"))},
	{name: "context ends when the client leaves", serve: func(_ http.ResponseWriter, r *http.Request, note noteFunc) {
		<-r.Context().Done()
		note("%v", r.Context().Err())
	}, talk: func(c *rawClient) {
		c.send(get("/"))
		c.halfClose()
	}},
	{name: "context ends when the client leaves after its body", serve: func(_ http.ResponseWriter, r *http.Request, note noteFunc) {
		b, err := io.ReadAll(r.Body)
		note("%s %v", b, err)
		<-r.Context().Done()
		note("%v", r.Context().Err())
	}, talk: func(c *rawClient) {
		c.send(request("POST", "/", "hello"))
		c.halfClose()
	}},
	{name: "empty lines between requests", serve: write("x"), talk: once(get("/") + "\r\n\r\n" + get("/")),
		differs: "net/http refuses them; RFC 9112 section 2.2 says that a server SHOULD ignore at least one"},
	{name: "keep-alives disabled", closes: true, serve: write("x"), talk: once(get("/")), noKeepAlives: true},
	{name: "connection state", serve: write("x"), talk: once(get("/"))},
}
