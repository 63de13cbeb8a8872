package wire_test

import (
	"fmt"
	"time"

	"github.com/windhover-server/windhover/proto/wire"
)

// A connection with two requests, of which the second comes in two pieces.
func ExampleConn() {
	var c wire.Conn
	var head wire.Head
	c.Init(nil)

	var in []byte
	for _, received := range []string{
		"GET /hello?x=1 HTTP/1.1\r\nHost: a.test\r\n\r\nPOST /up HTTP/1.1\r\nHost: a.t",
		"est\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nX-Checksum: 1234\r\n\r\n",
	} {
		in = append(in, received...)
		for ev := wire.Request; ev != wire.NeedData; {
			var n int
			n, ev = c.Next(in, &head)
			in = in[n:]
			switch ev {
			case wire.Request:
				fmt.Printf("%s %s for %s\n", head.Bytes(head.Method), head.Bytes(head.Path), head.Bytes(head.Host))
			case wire.Content:
				fmt.Printf("content %q\n", c.Content())
			case wire.End:
				fmt.Println("end, trailers:", len(head.Trailers))
			case wire.Failed:
				fmt.Println(c.Err())
				return
			}
		}
	}
	// Output:
	// GET /hello for a.test
	// end, trailers: 0
	// POST /up for a.test
	// content "hello"
	// end, trailers: 1
}

// A response whose length is not known in advance.
func ExampleEncoder() {
	out := wire.AppendStatusLine(nil, wire.HTTP11, 200, "")
	out = append(out, "Date: "...)
	out = wire.AppendDate(out, time.Unix(784111777, 0))
	out = append(out, "\r\n"...)
	out = wire.AppendField(out, "Transfer-Encoding", "chunked")
	out = append(out, "\r\n"...)

	var e wire.Encoder
	e.Begin(wire.Framing{Kind: wire.Chunked}, false)
	out, _ = e.AppendContent(out, []byte("hello"))
	out, _ = e.AppendEnd(out, wire.AppendField(nil, "X-Checksum", "1234"))
	fmt.Printf("%q\n", out)

	e.Begin(wire.Framing{Kind: wire.Length, Length: 3}, false)
	_, err := e.AppendContent(nil, []byte("hello"))
	fmt.Println(err)
	// Output:
	// "HTTP/1.1 200 OK\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nX-Checksum: 1234\r\n\r\n"
	// wire: content exceeds the declared length
}

// The path of a request as an application sees it.
func ExampleAppendPath() {
	path, err := wire.AppendPath(nil, []byte("/docs/%C3%A5/../a%2Fb%20c"))
	fmt.Println(string(path), err)
	_, err = wire.AppendPath(nil, []byte("/a%00b"))
	fmt.Println(err)
	// Output:
	// /docs/a%2Fb c <nil>
	// wire: invalid request target
}
