package proto

import (
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/windhover-server/windhover/listen"
)

// slowLink delivers input a second after it is asked to, and takes a second to
// send what is flushed.
type slowLink struct{ testLink }

func (l *slowLink) Read(p []byte) (int, error) {
	time.Sleep(time.Second)
	return l.testLink.Read(p)
}

func (l *slowLink) Flush() error {
	time.Sleep(time.Second)
	return nil
}

// TestClockAfterSlowRequest: the Date field is that of the response's beginning
// and the keep-alive timeout counts from the end, whatever took the time.
func TestClockAfterSlowRequest(t *testing.T) {
	const (
		get  = "GET / HTTP/1.1\r\nHost: a\r\n\r\n"
		post = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\n"
	)
	sleep := http.HandlerFunc(func(http.ResponseWriter, *http.Request) { time.Sleep(time.Minute) })
	tests := []struct {
		name string
		svc  Service
		in   string
		took time.Duration
		date string // of the last response
	}{
		{"handler", Service{Handler: sleep}, get, time.Minute, "00:01:00"},
		{"second handler", Service{Handler: sleep}, get + get, 2 * time.Minute, "00:02:00"},
		{"draining", Service{Handler: sleep}, post, time.Minute + time.Second, "00:01:00"},
		{"sending", Service{Handler: sleep, WriteTimeout: time.Hour}, get, time.Minute + time.Second, "00:01:00"},
		{"own rate", Service{Handler: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			if err := SetMinResponseDataRate(r, DataRate{}); err != nil {
				t.Error(err)
			}
		})}, get, time.Second, "00:00:00"},
		{"head sent before", Service{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			time.Sleep(time.Minute)
			w.(http.Flusher).Flush()
			time.Sleep(time.Minute)
		})}, get, 2*time.Minute + time.Second, "00:01:00"},
		{"native", Service{Native: HandlerFunc(func(*Exchange) { time.Sleep(time.Minute) })}, get, time.Minute, "00:00:00"},
		{"native apart", Service{Native: HandlerFunc(func(x *Exchange) {
			x.Go(func(*Exchange) { time.Sleep(time.Minute) })
		})}, get, time.Minute, "00:01:00"},
		{"native apart, then not", Service{Native: HandlerFunc(func(x *Exchange) {
			if x.Request() == 1 {
				x.Go(func(*Exchange) {})
				return
			}
			time.Sleep(time.Minute)
		})}, get + get, time.Minute, "00:00:00"},
	}
	for i := range tests {
		tt := &tests[i]
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				if err := tt.svc.Prepare(); err != nil {
					t.Fatal(err)
				}
				l := &slowLink{testLink{more: [][]byte{[]byte("x")}}}
				c := tt.svc.Accept(l).(*Conn)
				begun := time.Now()
				if v := c.Data([]byte(tt.in)); v != listen.Wait {
					t.Fatalf("verdict %v after %q", v, l.out)
				}
				if took := time.Since(begun); took != tt.took {
					t.Errorf("took %v, want %v", took, tt.took)
				}
				if got := l.read.Sub(begun) - DefaultKeepAliveTimeout; got != tt.took {
					t.Errorf("the keep-alive timeout counts from %v, want %v", got, tt.took)
				}
				if got := string(l.out[strings.LastIndex(string(l.out), "Date: "):]); !strings.Contains(got, tt.date) {
					t.Errorf("%q, want %s", got, tt.date)
				}
			})
		})
	}
}
