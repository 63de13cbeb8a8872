package main

import (
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/windhover-server/windhover/proto"
)

// native is the same application for Windhover's native handler.
type native struct{}

// nativeEndpoints are the paths that stand for themselves.
var nativeEndpoints = map[string]func(x *proto.Exchange){
	"/":             func(x *proto.Exchange) { x.Respond(200, "text/plain", []byte("Hello World!")) },
	"/sentinel":     func(x *proto.Exchange) { nativeText(x, 200, "SENTINEL-REACHED") },
	"/headers":      nativeDescribe,
	"/echo":         nativeEcho,
	"/chunked-echo": nativeChunkedEcho,
	"/upload":       nativeUpload,
	"/slow":         func(x *proto.Exchange) { x.Go(nativeSlow) },
	"/large":        nativeLarge,
	"/stream":       func(x *proto.Exchange) { x.Go(nativeStream) },
	"/nolength":     nativeNoLength,
	"/noread":       func(x *proto.Exchange) { nativeText(x, 200, "ok") },
	"/trailers":     nativeTrailers,
	"/close":        nativeClose,
	"/set-header":   nativeSetHeader,
	"/panic":        nativePanic,
	"/abort":        (*proto.Exchange).Abort,
	"/toomany":      nativeTooMany,
	"/toofew":       nativeTooFew,
	"/upgrade":      func(x *proto.Exchange) { x.Go(nativeUpgrade) },
}

// ServeExchange implements proto.Handler.
func (native) ServeExchange(x *proto.Exchange) {
	path := string(x.Path())
	switch f := nativeEndpoints[path]; {
	case string(x.Method()) == http.MethodConnect:
		nativeText(x, http.StatusMethodNotAllowed, "no tunnels here")
	case f != nil:
		f(x)
	case strings.HasPrefix(path, "/headers/"):
		nativeDescribe(x)
	case strings.HasPrefix(path, "/status/"):
		nativeStatus(x, path[len("/status/"):])
	case strings.HasPrefix(path, "/body-on/"):
		code, _ := strconv.Atoi(path[len("/body-on/"):])
		x.SetStatus(code)
		x.WriteString("must not appear")
	default:
		nativeText(x, http.StatusNotFound, "not found")
	}
}

func nativeText(x *proto.Exchange, code int, s string) {
	x.SetStatus(code)
	x.SetHeader("Content-Type", "text/plain")
	x.SetContentLength(int64(len(s)))
	x.WriteString(s)
}

func nativeBadBody(x *proto.Exchange, err error) {
	x.SetStatus(badBodyStatus(err))
	x.SetHeader("Connection", "close")
	x.SetContentLength(0)
}

func nativeBody(x *proto.Exchange) ([]byte, bool) {
	b, err := io.ReadAll(x)
	if err != nil {
		nativeBadBody(x, err)
		return nil, false
	}
	return b, true
}

func nativeDescribe(x *proto.Exchange) {
	body, ok := nativeBody(x)
	if !ok {
		return
	}
	d := description{
		Method: string(x.Method()), Target: string(x.Target()), Path: string(x.Path()), Query: string(x.Query()),
		Host: string(x.Host()), Proto: "HTTP/1.1", BodyLen: len(body), Headers: [][2]string{}, Trailers: [][2]string{},
	}
	if x.HTTP10() {
		d.Proto = "HTTP/1.0"
	}
	for i := range x.NumFields() {
		name, value := x.FieldAt(i)
		d.Headers = append(d.Headers, [2]string{string(name), string(value)})
	}
	for i := range x.NumTrailers() {
		name, value := x.TrailerAt(i)
		d.Trailers = append(d.Trailers, [2]string{string(name), string(value)})
	}
	b, err := json.Marshal(d)
	if err != nil {
		panic(err)
	}
	x.Respond(http.StatusOK, "application/json", b)
}

func nativeEcho(x *proto.Exchange) {
	if body, ok := nativeBody(x); ok {
		x.Respond(http.StatusOK, "application/octet-stream", body)
	}
}

func nativeUpload(x *proto.Exchange) {
	n, err := io.Copy(io.Discard, x)
	if err != nil {
		nativeBadBody(x, err)
		return
	}
	nativeText(x, http.StatusOK, strconv.FormatInt(n, 10))
}

func nativeChunkedEcho(x *proto.Exchange) {
	x.SetHeader("Content-Type", "application/octet-stream")
	buf := make([]byte, 8<<10)
	started := false
	for {
		n, err := x.Read(buf)
		if n > 0 {
			started = true
			x.Write(buf[:n])
			x.Flush()
		}
		switch {
		case err == io.EOF && started:
			return
		case err == io.EOF:
			x.Flush()
			return
		case err != nil && started:
			x.Abort()
			return
		case err != nil:
			nativeBadBody(x, err)
			return
		}
	}
}

func nativeStatus(x *proto.Exchange, arg string) {
	code, err := strconv.Atoi(arg)
	switch {
	case err != nil || code < 200 || code > 599:
		nativeText(x, http.StatusNotFound, "not found")
	case code == 204, code == 205, code == 304:
		x.SetStatus(code)
	default:
		nativeText(x, code, "status "+strconv.Itoa(code))
	}
}

func nativeQuery(x *proto.Exchange) url.Values {
	q, err := url.ParseQuery(string(x.Query()))
	if err != nil {
		return url.Values{}
	}
	return q
}

func nativeSlow(x *proto.Exchange) {
	time.Sleep(time.Duration(number(nativeQuery(x), "ms")) * time.Millisecond)
	nativeText(x, http.StatusOK, "slow")
}

func nativeLarge(x *proto.Exchange) {
	q := nativeQuery(x)
	n := number(q, "bytes")
	if n < 0 || n > 64<<20 {
		nativeText(x, http.StatusNotFound, "not found")
		return
	}
	x.SetHeader("Content-Type", "application/octet-stream")
	if q.Get("chunked") == "" {
		x.SetContentLength(int64(n))
	}
	for n > 0 {
		k, err := x.Write(pattern[:min(n, len(pattern))])
		if err != nil {
			return
		}
		n -= k
	}
}

func nativeStream(x *proto.Exchange) {
	q := nativeQuery(x)
	x.SetHeader("Content-Type", "text/plain")
	for i := range number(q, "n") {
		if i > 0 {
			time.Sleep(time.Duration(number(q, "ms")) * time.Millisecond)
		}
		x.WriteString("part " + strconv.Itoa(i) + "\n")
		x.Flush()
	}
}

func nativeNoLength(x *proto.Exchange) {
	x.SetHeader("Content-Type", "text/plain")
	x.WriteString("no length")
}

func nativeTrailers(x *proto.Exchange) {
	x.SetHeader("Content-Type", "text/plain")
	x.SetHeader("Trailer", "X-Checksum")
	x.WriteString("trailers follow\n")
	x.Flush()
	x.AddTrailer("X-Checksum", "1234")
}

func nativeClose(x *proto.Exchange) {
	x.SetHeader("Connection", "close")
	nativeText(x, http.StatusOK, "bye")
}

func nativeSetHeader(x *proto.Exchange) {
	q := nativeQuery(x)
	if err := x.SetHeader(q.Get("name"), q.Get("value")); err != nil {
		nativeText(x, http.StatusInternalServerError, "refused")
		return
	}
	nativeText(x, http.StatusOK, "ok")
}

func nativePanic(x *proto.Exchange) {
	if nativeQuery(x).Get("after") != "" {
		x.WriteString("partial")
		x.Flush()
	}
	panic("asked for")
}

func nativeTooMany(x *proto.Exchange) {
	x.SetContentLength(5)
	x.WriteString("hello")
	x.WriteString(" world")
}

func nativeTooFew(x *proto.Exchange) {
	x.SetContentLength(10)
	if nativeQuery(x).Get("n") != "0" {
		x.WriteString("hello")
		x.Flush()
	}
}

func nativeUpgrade(x *proto.Exchange) {
	conn, err := x.Upgrade("echo")
	if err != nil {
		x.SetHeader("Upgrade", "echo")
		x.SetHeader("Connection", "upgrade")
		nativeText(x, http.StatusUpgradeRequired, "upgrade required")
		return
	}
	defer conn.Close()
	io.Copy(conn, conn)
}
