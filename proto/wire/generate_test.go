package wire

import (
	"math/rand"
	"strings"
	"testing"
)

// Generate makes messages out of pieces that are right, wrong and nearly right,
// for comparisons that a fuzzer would take long to come to.
func Generate(rnd *rand.Rand) []byte {
	var b strings.Builder
	for range 1 + rnd.Intn(2) {
		generateRequest(rnd, &b)
	}
	in := []byte(b.String())
	for range rnd.Intn(3) * rnd.Intn(2) * rnd.Intn(2) {
		if len(in) > 0 {
			in[rnd.Intn(len(in))] = oddBytes[rnd.Intn(len(oddBytes))]
		}
	}
	if rnd.Intn(8) == 0 {
		in = in[:rnd.Intn(len(in)+1)]
	}
	return in
}

const oddBytes = "\r\n\t\x00 :;,\"\\/%?#@[]\x7f\x80\xff\x0b\x1fAz09-_=H*"

func pick(rnd *rand.Rand, from ...string) string { return from[rnd.Intn(len(from))] }

// mostly picks the first of the pieces, with rare exceptions.
func mostly(rnd *rand.Rand, from ...string) string {
	if rnd.Intn(20) > 0 {
		return from[0]
	}
	return pick(rnd, from...)
}

func generateRequest(rnd *rand.Rand, b *strings.Builder) {
	b.WriteString(mostly(rnd, "", "\r\n", "\r\n\r\n", "\n", "\r"))
	b.WriteString(pick(rnd, "GET", "POST", "PUT", "HEAD", "OPTIONS", "CONNECT", "x-m", mostly(rnd, "GETX", "G@T")))
	b.WriteString(mostly(rnd, " ", "  ", "\t", ""))
	b.WriteString(mostly(rnd, pick(rnd, "/", "/a/b", "/a?b", "/%41?%42", "http://a.test"), "/a/b", "/a%20b?c=d&e", "/?", "/a?b?c", "/%zz", "/a%", "/%00", "/a?%00", "/caf\xc3\xa9",
		"/a#b", "/a?b#c", "//a", "/../a", "/a:b;c|d^", "/a\"<>`{}", "*", "**", "a.test:80", "a.test", "[::1]:80", ":80", "a.test:",
		"http://a.test", "http://a.test/", "HTTPS://a.test:443/b?c", "http://A.test:80?q", "http://[::1]:80/x", "http://u:p@a.test/",
		"http:///x", "http://", "ftp://a.test/", "http://a.test/%zz", "http://a.test:x/", "mailto:a", "?q", ""))
	b.WriteString(mostly(rnd, " ", "  ", "\t", ""))
	b.WriteString(mostly(rnd, "HTTP/1.1", "HTTP/1.0", "HTTP/1.2", "HTTP/2.0", "http/1.1", "HTTP/1.1 ", "HTTP/01.1", ""))
	b.WriteString(mostly(rnd, "\r\n", "\n", "\r\r\n", "\r"))
	b.WriteString(mostly(rnd, "Host: a.test\r\n", "host:a.test:80\r\n", "Host: [::1]:80\r\n", "Host:\r\n", "", "Host: b\r\nHost: b\r\n",
		"Host: a@b\r\n", "Host: a.test:443\r\n", "Host : a\r\n"))
	framing := pick(rnd, "", "length", "length", "chunked", "chunked", "odd")
	body := pick(rnd, "hello", "", "GET / HTTP/1.1\r\nHost: h\r\n\r\n", "\r\n")
	switch framing {
	case "length":
		generateField(rnd, b, "Content-Length", itoa(len(body)))
	case "chunked":
		generateField(rnd, b, "Transfer-Encoding", "chunked")
	case "odd":
		for range 1 + rnd.Intn(2) {
			generateField(rnd, b, pick(rnd, "Content-Length", "Transfer-Encoding", "Transfer_Encoding", "TE"),
				pick(rnd, "5", "05", "+5", "-5", "5,5", "5 5", "5\t", "0x5", "", "9223372036854775807", "9223372036854775808",
					"chunked", "Chunked", "gzip, chunked", "chunked, gzip", "chunked,chunked", "identity", ",chunked", "chunked\x0b", "\"chunked\"", "xchunked"))
		}
	}
	for range rnd.Intn(4) {
		generateField(rnd, b,
			pick(rnd, "X", "Cookie", "Accept", "Connection", "Upgrade", "Expect", "Trailer", "User-Agent", "x-very-long-name-of-a-field-which-nobody-knows"),
			pick(rnd, "", "a", "close", "keep-alive", "Keep-Alive, Upgrade", "upgrade", "100-continue", "a b\tc", "caf\xc3\xa9", "\x01", "a\x7f",
				"a-long-value-that-takes-several-words-to-scan-through", "X", "Host, Content-Length", ",,close,,"))
	}
	b.WriteString(mostly(rnd, "\r\n", "\n", "\r", ""))
	if framing == "chunked" || framing == "odd" && rnd.Intn(2) == 0 {
		generateChunks(rnd, b, body)
		return
	}
	b.WriteString(body)
}

func generateField(rnd *rand.Rand, b *strings.Builder, name, value string) {
	switch rnd.Intn(8) {
	case 0:
		name = strings.ToLower(name)
	case 1:
		name = strings.ToUpper(name)
	}
	b.WriteString(name)
	b.WriteString(mostly(rnd, ": ", ":", ":\t", ":  ", " : ", "", ":\r\n "))
	b.WriteString(value)
	b.WriteString(mostly(rnd, "\r\n", " \r\n", "\t\r\n", "\n", "\r\r\n", "\r\n \r\n"))
}

func generateChunks(rnd *rand.Rand, b *strings.Builder, body string) {
	for len(body) > 0 {
		n := 1 + rnd.Intn(len(body))
		b.WriteString(mostly(rnd, "", "0", "00000000000000000", "+", "0x", " "))
		b.WriteString(itoa16(n))
		b.WriteString(mostly(rnd, "", ";a", ";a=b", ";a=\"b\"", ";a=\"\\\"\" ; c = d", ";", " ", "\t;a", ";a=", ";\"a\"", ";a\x00", ";a\n", ";a\rb"))
		b.WriteString(mostly(rnd, "\r\n", "\n", "\r"))
		b.WriteString(body[:n])
		b.WriteString(mostly(rnd, "\r\n", "\n", "", "\r\n\r\n", "x\r\n"))
		body = body[n:]
	}
	b.WriteString(mostly(rnd, "0", "00", "0;a", "0;", "", "-0"))
	b.WriteString(mostly(rnd, "\r\n", "\n"))
	for range rnd.Intn(3) * rnd.Intn(2) {
		generateField(rnd, b, pick(rnd, "X", "ETag", "Host", "Content-Length", "Content-Type", "Trailer"), pick(rnd, "a", "", "b c"))
	}
	b.WriteString(mostly(rnd, "\r\n", "\n", "", "X\r\n"))
}

func itoa(n int) string {
	if n < 10 {
		return string(rune('0' + n))
	}
	return itoa(n/10) + itoa(n%10)
}

func itoa16(n int) string {
	const digits = "0123456789aBCdEF"
	if n < 16 {
		return digits[n : n+1]
	}
	return itoa16(n/16) + itoa16(n%16)
}

// TestGeneratedMessages: whatever the message, its events do not depend on how
// it is cut, and parser and scanner agree.
func TestGeneratedMessages(t *testing.T) {
	rounds := 20000
	if testing.Short() {
		rounds = 2000
	}
	rnd := rand.New(rand.NewSource(5))
	accepted := 0
	reasons := map[string]int{}
	for range rounds {
		in := Generate(rnd)
		want := play(nil, in)
		if got := play(nil, in, everyByte(len(in))...); got != want {
			t.Fatalf("%q byte by byte\n%s\nwhole\n%s", in, got, want)
		}
		cuts := randomCuts(rnd, len(in))
		if got := play(nil, in, cuts...); got != want {
			t.Fatalf("%q cut at %v\n%s\nwhole\n%s", in, cuts, got, want)
		}
		if strings.Contains(want, "End\n") {
			accepted++
		}
		reasons[verdict(want)]++
	}
	if accepted < rounds/10 || len(reasons) < 25 {
		t.Errorf("of %d messages %d were accepted, with %d verdicts: the generator is of no use", rounds, accepted, len(reasons))
	}
}
