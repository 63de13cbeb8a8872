package portable

import (
	"errors"
	"net"
	"os"
	"testing"
	"time"

	"github.com/windhover-server/windhover/listen"
)

// tcpLink is a link on a real socket that no goroutine serves.
func tcpLink(t *testing.T) (*link, net.Conn) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	client, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	server, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close(); server.Close() })
	tr := new(Transport)
	tr.begin()
	return newLink(tr, server, withDefaults(listen.Options{})), client
}

// The conn is told of an earlier deadline, not of a later one.
func TestConnIsToldOnlyWhatItMustKnow(t *testing.T) {
	l, _ := tcpLink(t)
	start := time.Now()
	for _, tt := range []struct {
		in   time.Duration // deadline asked for; 0: none
		told time.Duration // deadline the conn has afterwards; 0: none
	}{
		{0, 0}, {time.Hour, time.Hour}, {2 * time.Hour, time.Hour}, {0, time.Hour},
		{time.Hour + time.Minute, time.Hour}, {time.Minute, time.Minute}, {time.Hour, time.Minute},
	} {
		var asked time.Time
		if tt.in > 0 {
			asked = start.Add(tt.in)
		}
		l.SetReadDeadline(asked)
		want := int64(never)
		if tt.told > 0 {
			want = l.sinceBase(start.Add(tt.told))
		}
		if got := l.rdl.told.Load(); got != want {
			t.Errorf("asked for %v: told %v, want %v", tt.in, time.Duration(got), time.Duration(want))
		}
	}
}

// When the deadline that the conn was told passes, a later one is waited for.
func TestEarlierDeadlineOfConnIsNoTimeout(t *testing.T) {
	l, client := tcpLink(t)
	l.SetReadDeadline(time.Now().Add(10 * time.Millisecond))
	l.SetReadDeadline(time.Now().Add(time.Minute))
	go func() {
		<-time.After(30 * time.Millisecond)
		client.Write([]byte("x"))
	}()
	if n, err := l.Read(make([]byte, 1)); n != 1 || err != nil {
		t.Errorf("Read: %d, %v", n, err)
	}
	due := time.Now().Add(20 * time.Millisecond)
	l.SetReadDeadline(due)
	if n, err := l.Read(make([]byte, 1)); n != 0 || !errors.Is(err, os.ErrDeadlineExceeded) || time.Now().Before(due) {
		t.Errorf("Read: %d, %v, %v left", n, err, time.Until(due))
	}
}

// A write deadline is no concern of conn's while the kernel takes everything.
func TestWriteDeadlineIsToldWhenAWriteWaits(t *testing.T) {
	l, client := tcpLink(t)
	l.SetWriteDeadline(time.Now().Add(time.Hour))
	l.SetSendRate(240, time.Second)
	if _, err := l.Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	if told := l.wdl.told.Load(); told != never {
		t.Errorf("conn was told %v", time.Duration(told))
	}
	l.SetSendRate(1e9, 20*time.Millisecond)
	if _, err := l.Write(make([]byte, 64<<20)); !errors.Is(err, listen.ErrSlowPeer) {
		t.Errorf("Write: %v", err)
	}
	client.Close()
}

// The rate demands what was sent since, not since the beginning.
func TestSendRateFormula(t *testing.T) {
	l, _ := tcpLink(t)
	l.SetSendRate(100, 5*time.Second)
	sec := int64(time.Second)
	near := func(what string, got, want int64) {
		t.Helper()
		if got < want || got > want+10*sec {
			t.Errorf("%s: deadline in %v, want %v", what, time.Duration(got), time.Duration(want))
		}
	}
	now := l.now()
	l.demand(1000)
	near("a first send", l.rateEnd-now, 15*sec)
	l.demand(1000)
	near("a second send right after", l.rateEnd-now, 25*sec)
	l.rateEnd = now - 3600*sec
	l.demand(1000)
	near("a send after a pause", l.rateEnd-now, 15*sec)
	l.account(200)
	l.demand(1000)
	near("with bytes that the kernel took at once", l.rateEnd-now, 27*sec)
}
