package wire

import (
	"strings"
	"testing"
)

func TestContentLength(t *testing.T) {
	for _, test := range []struct{ fields, want string }{
		{"Content-Length: 5\r\n", "ok"},
		{"content-length:5\r\n", "ok"},
		{"Content-Length: \t 5 \t\r\n", "ok"},
		{"Content-Length: 0005\r\n", "ok"},
		{"Content-Length: 00000000000000000000000000005\r\n", "ok"},
		{"Content-Length: 9223372036854775807\r\n", "incomplete-content"},
		{"Content-Length: 6\r\n", "incomplete-content"},
		{"Content-Length: 9223372036854775808\r\n", "invalid-content-length"},
		{"Content-Length: 18446744073709551621\r\n", "invalid-content-length"},
		{"Content-Length: 99999999999999999999999999999999999999999999999999\r\n", "invalid-content-length"},
		{"Content-Length: +5\r\n", "invalid-content-length"},
		{"Content-Length: -5\r\n", "invalid-content-length"},
		{"Content-Length: -0\r\n", "invalid-content-length"},
		{"Content-Length: 0x5\r\n", "invalid-content-length"},
		{"Content-Length: 1_0\r\n", "invalid-content-length"},
		{"Content-Length: 5 5\r\n", "invalid-content-length"},
		{"Content-Length: 5,5\r\n", "invalid-content-length"},
		{"Content-Length: 5, 6\r\n", "invalid-content-length"},
		{"Content-Length: 5.0\r\n", "invalid-content-length"},
		{"Content-Length: 5;\r\n", "invalid-content-length"},
		{"Content-Length: \"5\"\r\n", "invalid-content-length"},
		{"Content-Length: 5/1\r\n", "invalid-content-length"},
		{"Content-Length:\r\n", "invalid-content-length"},
		{"Content-Length:  \r\n", "invalid-content-length"},
		{"Content-Length: \xa05\r\n", "invalid-content-length"},
		{"Content-Length: \xef\xbc\x95\r\n", "invalid-content-length"},
		{"Content-Length: 5\r\nContent-Length: 5\r\n", "multiple-content-lengths"},
		{"Content-Length: 5\r\nContent-Length: 6\r\n", "multiple-content-lengths"},
		{"Content-Length: 5\r\nContent-Length:\r\n", "multiple-content-lengths"},
		{"Content-Length: 5\r\nX: y\r\ncONTENT-lENGTH: 5\r\n", "multiple-content-lengths"},
	} {
		for _, version := range []string{"1.0", "1.1"} {
			wantVerdict(t, nil, "POST / HTTP/"+version+"\r\nHost: a\r\n"+test.fields+"\r\nhello", test.want)
		}
	}
}

func TestTransferEncoding(t *testing.T) {
	for _, test := range []struct{ fields, want string }{
		{"Transfer-Encoding: chunked\r\n", "ok"},
		{"transfer-encoding:\tCHUNKED \r\n", "ok"},
		{"Transfer-Encoding: gzip\r\n", "chunked-not-final"},
		{"Transfer-Encoding: identity\r\n", "chunked-not-final"},
		{"Transfer-Encoding: xchunked\r\n", "chunked-not-final"},
		{"Transfer-Encoding: chunkedx\r\n", "chunked-not-final"},
		{"Transfer-Encoding: chunkedchunked\r\n", "chunked-not-final"},
		{"Transfer-Encoding: chunked, gzip\r\n", "chunked-not-final"},
		{"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n", "chunked-not-final"},
		{"Transfer-Encoding: chunked\r\nTransfer-encoding: cow\r\n", "chunked-not-final"},
		{"Transfer-Encoding: chunked, chunked\r\n", "chunked-twice"},
		{"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", "chunked-twice"},
		{"Transfer-Encoding: chunked, gzip, chunked\r\n", "chunked-twice"},
		{"Transfer-Encoding: gzip, chunked\r\n", "unsupported-coding"},
		{"Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n", "unsupported-coding"},
		{"Transfer-Encoding: cow,chunked\r\n", "unsupported-coding"},
		{"Transfer-Encoding:\r\n", "invalid-transfer-encoding"},
		{"Transfer-Encoding: ,\r\n", "invalid-transfer-encoding"},
		{"Transfer-Encoding: , chunked ,\r\n", "invalid-transfer-encoding"},
		{"Transfer-Encoding: chunked,\r\n", "invalid-transfer-encoding"},
		{"Transfer-Encoding: ,chunked\r\n", "invalid-transfer-encoding"},
		{"Transfer-Encoding: chunked x\r\n", "invalid-transfer-encoding"},
		{"Transfer-Encoding: x chunked\r\n", "invalid-transfer-encoding"},
		{"Transfer-Encoding: chu nked\r\n", "invalid-transfer-encoding"},
		{"Transfer-Encoding: chunked;q=1\r\n", "invalid-transfer-encoding"},
		{"Transfer-Encoding: \"chunked\"\r\n", "invalid-transfer-encoding"},
		{"Transfer-Encoding: [chunked]\r\n", "invalid-transfer-encoding"},
		{"Transfer-Encoding: \xa0chunked\xa0\r\n", "invalid-transfer-encoding"},
		{"Transfer-Encoding: \x85chunked\r\n", "invalid-transfer-encoding"},
		{"Transfer-Encoding: chun\xe2\x84\xaaed\r\n", "invalid-transfer-encoding"},
		{"Transfer-Encoding:: chunked\r\n", "invalid-transfer-encoding"},
		{"Transfer-Encoding: chunked\r\nTransfer-Encoding:\r\n", "invalid-transfer-encoding"},
		{"Transfer-Encoding: \x0bchunked\r\n", "invalid-field-value"},
		{"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n", "length-with-coding"},
		{"Content-Length: 0\r\nTransfer-Encoding: chunked\r\n", "length-with-coding"},
		{"Content-Length: +5\r\nTransfer-Encoding: chunked\r\n", "invalid-content-length"},
		{"Content-Length: 5\r\nContent-Length: 6\r\nTransfer-Encoding: chunked\r\n", "multiple-content-lengths"},
		{"Content-Length: 5\r\nTransfer-Encoding: identity\r\n", "chunked-not-final"},
		{"Content-Length: 5\r\nTransfer-Encoding: ,\r\n", "invalid-transfer-encoding"},
		{"Transfer-Encoding: chunked\r\nTrailer: X, ETag\r\n", "ok"},
		{"Transfer-Encoding: chunked\r\nTrailer: X\r\nTrailer: ,content-length\r\n", "forbidden-trailer"},
		{"Trailer: Host\r\nTransfer-Encoding: chunked\r\n", "forbidden-trailer"},
	} {
		wantVerdict(t, nil, "POST / HTTP/1.1\r\nHost: a\r\n"+test.fields+"\r\n5\r\nhello\r\n0\r\n\r\n", test.want)
	}
	wantVerdict(t, nil, "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "coding-in-http10")
}

func TestConnectionOptions(t *testing.T) {
	for _, test := range []struct {
		version, fields string
		keep, close     bool
	}{
		{"1.1", "", true, false},
		{"1.0", "", false, false},
		{"1.1", "Connection: close\r\n", false, true},
		{"1.1", "Connection: Close\r\n", false, true},
		{"1.0", "Connection: close\r\n", false, true},
		{"1.1", "Connection: keep-alive\r\n", true, false},
		{"1.0", "Connection: Keep-Alive\r\n", true, false},
		{"1.0", "Connection:  foo ,\tkeep-alive \r\n", true, false},
		{"1.1", "Connection: keep-alive, close\r\n", false, true},
		{"1.1", "Connection: close, keep-alive\r\n", false, true},
		{"1.0", "Connection: keep-alive, close\r\n", false, true},
		{"1.1", "Connection: keep-alive\r\nConnection: close\r\n", false, true},
		{"1.1", "Connection: close\r\nConnection: keep-alive\r\n", false, true},
		{"1.1", "Connection: , close,,\r\n", false, true},
		{"1.1", "Connection:  foo ,\tclose \r\n", false, true},
		{"1.1", "Connection: closed\r\n", true, false},
		{"1.1", "Connection: closeclose\r\n", true, false},
		{"1.1", "Connection: close 2\r\n", true, false},
		{"1.1", "Connection: \"close\"\r\n", true, false},
		{"1.1", "Connection: clo\xc5\xbfe\r\n", true, false},
		{"1.1", "Connection: foo\r\n", true, false},
		{"1.1", "Connection:\r\n", true, false},
		{"1.0", "Connection: keep-alive 2\r\n", false, false},
		{"1.0", "Proxy-Connection: keep-alive\r\n", false, false},
	} {
		h := parse(t, "GET / HTTP/"+test.version+"\r\nHost: a\r\n"+test.fields+"\r\n")
		if h.KeepAlive != test.keep || h.ConnectionClose != test.close {
			t.Errorf("%s %q: keep-alive %v, close %v", test.version, test.fields, h.KeepAlive, h.ConnectionClose)
		}
	}
}

// parse parses one head, whole.
func parse(t *testing.T, input string) *Head {
	t.Helper()
	var c Conn
	h := new(Head)
	c.Init(nil)
	if _, ev := c.Next([]byte(input), h); ev != Request {
		t.Fatalf("%q: %v", input, c.Err())
	}
	return h
}

func TestUpgradeOffers(t *testing.T) {
	for _, test := range []struct {
		version, fields string
		want            bool
	}{
		{"1.1", "Connection: Upgrade\r\nUpgrade: websocket\r\n", true},
		{"1.1", "Upgrade: h2c\r\nConnection: keep-alive, upGRADE, HTTP2-Settings\r\n", true},
		{"1.1", "Connection: upgrade\r\nUpgrade: a\r\nUpgrade: b\r\n", true},
		{"1.1", "Connection: Upgrade\r\nUpgrade: x\r\nContent-Length: 0\r\n", true},
		{"1.1", "Connection: close, upgrade\r\nUpgrade: x\r\n", true},
		{"1.0", "Connection: Upgrade\r\nUpgrade: x\r\n", false},
		{"1.1", "Connection: Upgrade\r\n", false},
		{"1.1", "Upgrade: x\r\n", false},
		{"1.1", "Connection: kupgrade\r\nUpgrade: x\r\n", false},
		{"1.1", "Connection: Upgrade\r\nUpgrade: x\r\nContent-Length: 1\r\n", false},
		{"1.1", "Connection: Upgrade\r\nUpgrade: x\r\nTransfer-Encoding: chunked\r\n", false},
	} {
		if h := parse(t, "GET / HTTP/"+test.version+"\r\nHost: a\r\n"+test.fields+"\r\n"); h.Upgrade != test.want {
			t.Errorf("%s %q: %v", test.version, test.fields, h.Upgrade)
		}
	}
}

func TestExpectations(t *testing.T) {
	for _, test := range []struct {
		version, fields string
		cont, other     bool
	}{
		{"1.1", "Content-Length: 1\r\n", false, false},
		{"1.1", "Content-Length: 1\r\nExpect: 100-continue\r\n", true, false},
		{"1.1", "Content-Length: 1\r\nExpect: 100-Continue\r\n", true, false},
		{"1.1", "Transfer-Encoding: chunked\r\nExpect: , 100-continue\r\n", true, false},
		{"1.1", "Expect: 100-continue\r\n", false, false},
		{"1.1", "Content-Length: 0\r\nExpect: 100-continue\r\n", false, false},
		{"1.0", "Content-Length: 1\r\nExpect: 100-continue\r\n", false, false},
		{"1.1", "Content-Length: 1\r\nExpect: 100-continue2\r\n", false, true},
		{"1.1", "Content-Length: 1\r\nExpect: x\r\nExpect: 100-continue\r\n", true, true},
		{"1.1", "Expect: x\r\n", false, true},
		{"1.0", "Expect: x\r\n", false, true},
		{"1.1", "Expect:\r\n", false, false},
	} {
		h := parse(t, "POST / HTTP/"+test.version+"\r\nHost: a\r\n"+test.fields+"\r\n")
		if h.ExpectContinue != test.cont || h.ExpectOther != test.other {
			t.Errorf("%s %q: continue %v, other %v", test.version, test.fields, h.ExpectContinue, h.ExpectOther)
		}
	}
}

// TestBodiesThatLookLikeRequests: what a body holds is never a request.
func TestBodiesThatLookLikeRequests(t *testing.T) {
	const hidden = "GET /sentinel HTTP/1.1\r\nHost: a\r\n\r\n"
	for _, input := range []string{
		"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 37\r\n\r\n" + hidden,
		"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 37\r\n\r\n" + hidden,
		"HEAD / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n25\r\n" + hidden + "\r\n0\r\n\r\n",
	} {
		got := playAll(t, nil, input)
		if strings.Count(got, "Request ") != 1 || !strings.Contains(got, "Content \"GET /sentinel") {
			t.Errorf("%q:\n%s", input, got)
		}
	}
}
