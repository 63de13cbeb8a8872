// Package scenario lists what is measured: for each scenario the requests, the
// load, and what a right answer is.
package scenario

import (
	"fmt"
	"strings"
	"sync"

	"github.com/windhover-server/windhover/bench/internal/content"
	"github.com/windhover-server/windhover/bench/internal/servers"
)

// Kind is how a scenario is run.
type Kind string

// The kinds of scenarios.
const (
	Saturate Kind = "saturate" // closed loop: how much, and what each request costs
	Paced    Kind = "paced"    // open loop at one rate for all servers: how late
	Idle     Kind = "idle"     // connections that say nothing: how much memory
)

// Beside is other load on the server while the requests are measured.
type Beside string

// The loads beside.
const (
	Alone   Beside = ""
	Burners Beside = "burners" // handlers that compute for 5 ms each
	Slow    Beside = "slow"    // clients that send a few bytes at a time
)

// Scenario is one line of the report.
type Scenario struct {
	Name  string
	Title string
	About string // one sentence
	Kind  Kind
	Needs servers.Feature

	Conns  int
	Depth  int
	Churn  bool
	TLS    bool
	Beside Beside

	Request Request
	// MiB, when not 0, is the size of one transfer: requests are counted by
	// the bytes that moved, since few end within a short window.
	MiB float64
	// Receives says that it is the response that is large.
	Receives bool
}

// Request is a request and its answer.
type Request struct {
	Head string // up to the empty line
	Body []byte

	Status  int
	Length  int64  // Content-Length of the answer
	Type    string // media type of the answer; "" if it does not matter
	Content []byte // the answer's body; nil: the pattern
	Upgrade bool   // an upgrade, after which Body is echoed
}

// Bytes is the request as sent.
func (r Request) Bytes() []byte {
	return append([]byte(r.Head+"\r\n"), r.Body...)
}

// host is the Host field of every request.
const host = "Host: 127.0.0.1\r\n"

func get(path, fields string, mediaType string, body []byte) Request {
	return Request{Head: "GET " + path + " HTTP/1.1\r\n" + host + fields, Status: 200,
		Length: int64(len(body)), Type: mediaType, Content: body}
}

func hello(fields string) Request {
	return get(content.PathPlaintext, fields, "text/plain", []byte(content.Hello))
}

func pattern(path string, n int64) Request {
	r := get(path, "", "", nil)
	r.Length, r.Content = n, nil
	return r
}

func echo(n int) Request {
	body := content.AppendPattern(nil, n)
	return Request{
		Head: fmt.Sprintf("POST %s HTTP/1.1\r\n%sContent-Type: %s\r\nContent-Length: %d\r\n",
			content.PathEcho, host, content.BinaryType, n),
		Body: body, Status: 200, Length: int64(n), Content: body,
	}
}

// uploadSize is the length of the upload's content.
const uploadSize = 16 << 20

// uploadBody is the upload in chunks of 16 KiB.
var uploadBody = sync.OnceValue(func() []byte {
	const chunk = 16 << 10
	data := content.AppendPattern(make([]byte, 0, uploadSize), uploadSize)
	body := make([]byte, 0, uploadSize+uploadSize/chunk*16)
	for len(data) > 0 {
		k := min(chunk, len(data))
		body = fmt.Appendf(body, "%x\r\n", k)
		body = append(append(body, data[:k]...), "\r\n"...)
		data = data[k:]
	}
	return append(body, "0\r\n\r\n"...)
})

func upload() Request {
	answer := fmt.Append(nil, uploadSize)
	return Request{
		Head: fmt.Sprintf("POST %s HTTP/1.1\r\n%sContent-Type: %s\r\nTransfer-Encoding: chunked\r\n",
			content.PathUpload, host, content.BinaryType),
		Body: uploadBody(), Status: 200, Length: int64(len(answer)), Type: "text/plain", Content: answer,
	}
}

func upgrade(message string) Request {
	return Request{
		Head: fmt.Sprintf("GET %s HTTP/1.1\r\n%sConnection: Upgrade\r\nUpgrade: %s\r\n", content.PathUpgrade, host, content.UpgradeToken),
		Body: []byte(message), Status: 101, Length: -1, Upgrade: true,
	}
}

// browserFields are 19 field lines that, with Host, make a request such as a
// browser behind two proxies sends: 20 fields, three cookies among them.
const browserFields = "User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36\r\n" +
	"Accept: text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8\r\n" +
	"Accept-Language: en-GB,en;q=0.8,de;q=0.6\r\n" +
	"Accept-Encoding: gzip, deflate, br, zstd\r\n" +
	"Cookie: session=9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08; theme=dark; consent=functional%2Cstatistics\r\n" +
	"Referer: http://127.0.0.1/products/garden?page=3&sort=price\r\n" +
	"Cache-Control: max-age=0\r\n" +
	"Upgrade-Insecure-Requests: 1\r\n" +
	"Sec-Fetch-Dest: document\r\n" +
	"Sec-Fetch-Mode: navigate\r\n" +
	"Sec-Fetch-Site: same-origin\r\n" +
	"Sec-Fetch-User: ?1\r\n" +
	"Sec-CH-UA: \"Chromium\";v=\"126\", \"Not.A/Brand\";v=\"24\"\r\n" +
	"Sec-CH-UA-Mobile: ?0\r\n" +
	"Sec-CH-UA-Platform: \"Linux\"\r\n" +
	"X-Forwarded-For: 203.0.113.60, 198.51.100.17\r\n" +
	"X-Forwarded-Proto: https\r\n" +
	"X-Request-Id: 4bf92f35-77b3-4da6-a3ce-929d0e0e4736\r\n" +
	"Traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01\r\n"

// All returns every scenario in the order of the report.
func All() []Scenario {
	static := content.PathStatic + content.StaticName(64<<10)
	return []Scenario{
		Plaintext(64, 1), Plaintext(64, 16), Plaintext(512, 1), Plaintext(512, 16),
		{Name: "json", Title: "JSON", About: "A JSON object, encoded for each request.",
			Kind: Saturate, Needs: servers.JSON, Conns: 64,
			Request: get(content.PathJSON, "", "application/json", content.JSON())},
		{Name: "headers", Title: "20 header fields", About: "Plaintext, asked for as a browser behind two proxies does: 20 fields with cookies.",
			Kind: Saturate, Needs: servers.Plaintext, Conns: 64, Request: hello(browserFields)},
		{Name: "echo-1k", Title: "Echo 1 KiB", About: "A body of 1 KiB is read and sent back.",
			Kind: Saturate, Needs: servers.Echo, Conns: 64, Request: echo(1 << 10)},
		{Name: "echo-64k", Title: "Echo 64 KiB", About: "A body of 64 KiB is read and sent back.",
			Kind: Saturate, Needs: servers.Echo, Conns: 64, Request: echo(64 << 10)},
		{Name: "download-64k", Title: "Download 64 KiB", About: "64 KiB from memory (nginx, h2o: from a file).",
			Kind: Saturate, Needs: servers.Bytes, Conns: 64, Request: pattern(content.PathBytes+"65536", 64<<10)},
		{Name: "download-16m", Title: "Download 16 MiB", About: "16 MiB from memory (nginx, h2o: from a file); requests are counted by bytes.",
			Kind: Saturate, Needs: servers.Bytes, Conns: 4, MiB: 16, Receives: true, Request: pattern(content.PathBytes+"16777216", 16<<20)},
		{Name: "upload-16m", Title: "Upload 16 MiB, chunked", About: "16 MiB in chunks of 16 KiB, read and counted; requests are counted by bytes.",
			Kind: Saturate, Needs: servers.Upload, Conns: 4, MiB: 16, Request: upload()},
		{Name: "static-64k", Title: "Static file 64 KiB", About: "A file of 64 KiB from disk (in the page cache).",
			Kind: Saturate, Needs: servers.Static, Conns: 64, Request: pattern(static, 64<<10)},
		{Name: "churn", Title: "New connection per request", About: "Connect, ask with Connection: close, read until the server closes.",
			Kind: Saturate, Needs: servers.Plaintext, Conns: 64, Churn: true, Request: hello("Connection: close\r\n")},
		{Name: "tls-keepalive", Title: "TLS keep-alive", About: "Plaintext over TLS 1.3 connections that stay open.",
			Kind: Saturate, Needs: servers.Plaintext | servers.TLS, Conns: 64, TLS: true, Request: hello("")},
		{Name: "tls-handshake", Title: "TLS full handshake", About: "A full TLS 1.3 handshake (ECDSA P-256, no resumption) and one request.",
			Kind: Saturate, Needs: servers.Plaintext | servers.TLS, Conns: 16, TLS: true, Churn: true, Request: hello("Connection: close\r\n")},
		{Name: "idle", Title: "Idle connections", About: "Keep-alive connections that were served once and stay silent: resident memory for each.",
			Kind: Idle, Needs: servers.Plaintext, Conns: 15000, Request: hello("")},
		{Name: "half-load", Title: "Half load", About: "Plaintext at a fixed rate, about half of what net/http can do here.",
			Kind: Paced, Needs: servers.Plaintext, Conns: 64, Request: hello("")},
		{Name: "beside-burners", Title: "Beside CPU-burning handlers", About: "The same, while other connections ask for 5 ms of computing each, a quarter of the server's processors.",
			Kind: Paced, Needs: servers.Plaintext | servers.Burn, Conns: 64, Beside: Burners, Request: hello("")},
		{Name: "beside-slow", Title: "Beside slow clients", About: "The same, while 256 other clients send their requests 8 bytes at a time.",
			Kind: Paced, Needs: servers.Plaintext | servers.JSON, Conns: 64, Beside: Slow, Request: hello("")},
		{Name: "upgrade-echo", Title: "Upgrade echo", About: "Messages of 64 bytes, echoed on connections that have left HTTP by Upgrade.",
			Kind: Saturate, Needs: servers.Upgrade, Conns: 64, Request: upgrade(strings.Repeat("message ", 8))},
	}
}

// Plaintext is the plaintext scenario with so many connections and requests at
// once on each.
func Plaintext(conns, depth int) Scenario {
	s := Scenario{
		Name:  fmt.Sprintf("plaintext-c%d", conns),
		Title: fmt.Sprintf("Plaintext, %d connections", conns),
		About: "Hello, World!",
		Kind:  Saturate, Needs: servers.Plaintext, Conns: conns, Depth: depth, Request: hello(""),
	}
	if depth > 1 {
		s.Name += fmt.Sprintf("-p%d", depth)
		s.Title += fmt.Sprintf(", pipelined %d", depth)
		s.About += fmt.Sprintf(" %d requests are sent at once.", depth)
	}
	return s
}

// BurnRequest asks for n rounds of computing.
func BurnRequest(n int64) Request {
	return get(fmt.Sprint(content.PathBurn, n), "", "text/plain", []byte(content.Hello))
}

// SlowRequest is what the slow clients ask for.
func SlowRequest() Request {
	return get(content.PathJSON, "", "application/json", content.JSON())
}
