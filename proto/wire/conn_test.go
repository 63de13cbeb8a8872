package wire

import "testing"

func TestSmoke(t *testing.T) {
	var c Conn
	c.Init(nil)
	var h Head
	n, ev := c.Next([]byte("GET /a?b HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabcdef"), &h)
	if ev != Request || string(h.Bytes(h.Path)) != "/a" || string(h.Bytes(h.Host)) != "x" {
		t.Fatal(n, ev, c.Err())
	}
}
