package wire

import (
	"bytes"
	"strings"
	"testing"
	"time"
)

// The request corpora: Kestrel's "plaintext" and "TechEmpower" benchmarks, the
// browser request of picohttpparser's bench.c, and Kestrel's live.asp.net
// request.
const (
	plaintextRequest = "GET /plaintext HTTP/1.1\r\nHost: localhost\r\n\r\n"

	techEmpowerRequest = "GET /plaintext HTTP/1.1\r\n" +
		"Host: localhost\r\n" +
		"Accept: text/plain,text/html;q=0.9,application/xhtml+xml;q=0.9,application/xml;q=0.8,*/*;q=0.7\r\n" +
		"Connection: keep-alive\r\n\r\n"

	browserRequest = "GET /wp-content/uploads/2010/03/hello-kitty-darth-vader-pink.jpg HTTP/1.1\r\n" +
		"Host: www.kittyhell.com\r\n" +
		"User-Agent: Mozilla/5.0 (Macintosh; U; Intel Mac OS X 10.6; ja-JP-mac; rv:1.9.2.3) Gecko/20100401 Firefox/3.6.3 Pathtraq/0.9\r\n" +
		"Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8\r\n" +
		"Accept-Language: ja,en-us;q=0.7,en;q=0.3\r\n" +
		"Accept-Encoding: gzip,deflate\r\n" +
		"Accept-Charset: Shift_JIS,utf-8;q=0.7,*;q=0.7\r\n" +
		"Keep-Alive: 115\r\n" +
		"Connection: keep-alive\r\n" +
		"Cookie: wp_ozh_wsa_visits=2; wp_ozh_wsa_visit_lasttime=xxxxxxxxxx; " +
		"__utma=xxxxxxxxx.xxxxxxxxxx.xxxxxxxxxx.xxxxxxxxxx.xxxxxxxxxx.x; " +
		"__utmz=xxxxxxxxx.xxxxxxxxxx.x.x.utmccn=(referral)|utmcsr=reader.livedoor.com|utmcct=/reader/|utmcmd=referral\r\n\r\n"

	liveAspNetRequest = "GET / HTTP/1.1\r\n" +
		"Host: live.asp.net\r\n" +
		"Connection: keep-alive\r\n" +
		"Upgrade-Insecure-Requests: 1\r\n" +
		"User-Agent: Mozilla/5.0 (Windows NT 10.0; WOW64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/54.0.2840.99 Safari/537.36\r\n" +
		"Accept: text/html,application/xhtml+xml,application/xml;q=0.9,image/webp,*/*;q=0.8\r\n" +
		"DNT: 1\r\n" +
		"Accept-Encoding: gzip, deflate, sdch, br\r\n" +
		"Accept-Language: en-US,en;q=0.8\r\n" +
		"Cookie: __unam=7a67379-1s65dc575c4-6d778abe-1; omniID=9519gfde_3347_4762_8762_df51458c8ec2\r\n\r\n"
)

func benchmarkHead(b *testing.B, request string) {
	in := []byte(request)
	var c Conn
	var h Head
	c.Init(nil)
	b.SetBytes(int64(len(in)))
	b.ReportAllocs()
	for b.Loop() {
		n, ev := c.Next(in, &h)
		if ev != Request || n != len(in) {
			b.Fatal(n, ev, c.Err())
		}
		c.SkipEnd()
	}
}

// Goals: 0 allocations; TechEmpower well under 250 ns.
func BenchmarkHead(b *testing.B) {
	for _, bench := range []struct{ name, request string }{
		{"plaintext", plaintextRequest},
		{"techempower", techEmpowerRequest},
		{"liveaspnet", liveAspNetRequest},
		{"browser", browserRequest},
	} {
		b.Run(bench.name, func(b *testing.B) { benchmarkHead(b, bench.request) })
	}
}

// BenchmarkHeadInTwo is the browser request that arrives in two pieces.
func BenchmarkHeadInTwo(b *testing.B) {
	in := []byte(browserRequest)
	var c Conn
	var h Head
	c.Init(nil)
	b.SetBytes(int64(len(in)))
	b.ReportAllocs()
	for b.Loop() {
		if _, ev := c.Next(in[:len(in)/2], &h); ev != NeedData {
			b.Fatal(ev)
		}
		if _, ev := c.Next(in, &h); ev != Request {
			b.Fatal(ev)
		}
		c.SkipEnd()
	}
}

// BenchmarkHeadByByte is the worst that a slow client can do.
func BenchmarkHeadByByte(b *testing.B) {
	in := []byte(browserRequest)
	var c Conn
	var h Head
	c.Init(nil)
	b.SetBytes(int64(len(in)))
	b.ReportAllocs()
	for b.Loop() {
		for i := 1; i < len(in); i++ {
			c.Next(in[:i], &h)
		}
		if _, ev := c.Next(in, &h); ev != Request {
			b.Fatal(ev)
		}
		c.SkipEnd()
	}
}

// BenchmarkChunkedUpload decodes a megabyte in chunks of 4 KiB, given in
// buffers of 16 KiB, and then the same in chunks of 64 bytes.
func BenchmarkChunkedUpload(b *testing.B) {
	for _, bench := range []struct {
		name string
		size int
	}{{"4KiB", 4096}, {"64B", 64}} {
		b.Run(bench.name, func(b *testing.B) {
			var e Encoder
			e.Begin(Framing{Kind: Chunked}, false)
			body := []byte("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
			for range 1 << 20 / bench.size {
				body, _ = e.AppendContent(body, []byte(strings.Repeat("x", bench.size)))
			}
			body, _ = e.AppendEnd(body, nil)
			var c Conn
			var h Head
			c.Init(nil)
			b.SetBytes(int64(len(body)))
			b.ReportAllocs()
			for b.Loop() {
				got, from, to := 0, 0, 0
				for ev := NeedData; ev != End; {
					var n int
					if ev == NeedData {
						to = min(from+16<<10, len(body))
					}
					n, ev = c.Next(body[from:to], &h)
					from += n
					got += len(c.Content())
					if ev == Failed {
						b.Fatal(c.Err())
					}
				}
				if got != 1<<20 {
					b.Fatal(got)
				}
			}
		})
	}
}

// BenchmarkResponseHead encodes the head of a plaintext response.
func BenchmarkResponseHead(b *testing.B) {
	date := AppendDate(nil, time.Unix(784111777, 0))
	dst := make([]byte, 0, 512)
	b.ReportAllocs()
	for b.Loop() {
		dst = AppendStatusLine(dst[:0], HTTP11, 200, "")
		dst = AppendField(dst, "Date", date)
		dst = AppendField(dst, "Content-Type", "text/plain")
		dst = AppendLengthField(dst, 13)
		dst = append(dst, '\r', '\n')
	}
	b.SetBytes(int64(len(dst)))
}

// BenchmarkAppendPath decodes a path without and with escapes.
func BenchmarkAppendPath(b *testing.B) {
	for _, path := range []string{"/wp-content/uploads/2010/03/pink.jpg", "/a%20b/%C3%A5/../%7Euser/index.html"} {
		b.Run(path, func(b *testing.B) {
			raw, dst := []byte(path), make([]byte, 0, 64)
			b.ReportAllocs()
			b.SetBytes(int64(len(raw)))
			for b.Loop() {
				dst, _ = AppendPath(dst[:0], raw)
			}
		})
	}
}

// BenchmarkFindHeadEnd is the floor for any parser: finding the end of the
// browser request with the standard library's vector code.
func BenchmarkFindHeadEnd(b *testing.B) {
	in := []byte(browserRequest)
	b.SetBytes(int64(len(in)))
	for b.Loop() {
		if !bytes.Contains(in, []byte("\r\n\r\n")) {
			b.Fatal()
		}
	}
}
