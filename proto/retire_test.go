package proto

import (
	"strings"
	"testing"

	"github.com/windhover-server/windhover/listen"
)

// A retired service answers what comes and closes nothing that waits.
func TestRetiredServiceAnnouncesTheEnd(t *testing.T) {
	const get = "GET /hello HTTP/1.1\r\nHost: a\r\n\r\n"
	svc := handlers()["http"]
	c, l := open(t, svc)
	if v := c.Data([]byte(get)); v != listen.Wait || strings.Contains(string(l.out), "Connection: close") {
		t.Fatalf("verdict %v\n%s", v, l.out)
	}
	l.out = nil
	svc.Retire()
	if v := c.Data([]byte("GET /hel")); v != listen.Wait {
		t.Errorf("half a request: verdict %v", v)
	}
	if v := c.Data([]byte("lo HTTP/1.1\r\nHost: a\r\n\r\n")); v != listen.Close || !strings.Contains(string(l.out), "Connection: close\r\n") || !strings.HasSuffix(string(l.out), "Hello World!") {
		t.Errorf("verdict %v\n%s", v, l.out)
	}
	fresh := svc.Accept(new(testLink))
	if fresh == nil {
		t.Fatal("a new connection is refused")
	}
	if v := fresh.Data([]byte(get)); v != listen.Close {
		t.Errorf("a new connection: verdict %v", v)
	}
}
