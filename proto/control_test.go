package proto

import (
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"reflect"
	"strings"
	"testing"

	"github.com/windhover-server/windhover/listen"
)

// TestLimitsPerRequest pins that a handler's own limits hold for its request
// and for no other one on the connection.
func TestLimitsPerRequest(t *testing.T) {
	h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/small" {
			if err := SetMaxRequestBodySize(r, 3); err != nil {
				t.Error(err)
			}
		}
		_, err := io.Copy(io.Discard, r.Body)
		var tooLarge *http.MaxBytesError
		fmt.Fprintf(w, "too large: %t;", errors.As(err, &tooLarge))
		if err := SetMaxRequestBodySize(r, 3); !errors.Is(err, ErrReadingBegun) {
			t.Errorf("after the first read: %v", err)
		}
	})
	const post = " HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello"
	got, v := play(t, &Service{Handler: h}, "POST /any"+post+"POST /small"+post)
	if v != listen.Close || strings.Count(got, "too large: false;") != 1 || strings.Count(got, "too large: true;") != 1 {
		t.Errorf("got %q, %v", got, v)
	}
	// Each request of a connection starts from the server's limits.
	got, v = play(t, &Service{Handler: h, Limits: Limits{MaxRequestBodySize: 8}}, strings.Repeat("POST /any"+post, 4))
	if v != listen.Wait || strings.Count(got, "too large: false;") != 4 {
		t.Errorf("got %q, %v", got, v)
	}
}

func TestControlOutsideARequest(t *testing.T) {
	r, _ := http.NewRequest("GET", "/", nil)
	if err := SetMaxRequestBodySize(r, 1); !errors.Is(err, ErrNotHere) {
		t.Errorf("a request of nobody's: %v", err)
	}
	var kept *http.Request
	svc := &Service{Handler: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		kept = r
		if id := RequestID(r); len(id) != 22 || !strings.HasSuffix(id, ":00000001") {
			t.Errorf("request id %q", id)
		}
	})}
	play(t, svc, "GET / HTTP/1.1\r\nHost: a\r\n\r\n")
	if err := SetMinResponseDataRate(kept, DataRate{}); !errors.Is(err, ErrNotHere) {
		t.Errorf("after the handler returned: %v", err)
	}
}

// None for one request is no body, too, and 0 means what it says.
func TestNoBodyPerRequest(t *testing.T) {
	for _, n := range []int64{0, None} {
		h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if err := SetMaxRequestBodySize(r, n); err != nil {
				t.Error(err)
			}
			_, err := io.Copy(io.Discard, r.Body)
			var tooLarge *http.MaxBytesError
			fmt.Fprintf(w, "too large: %t", errors.As(err, &tooLarge))
		})
		const post = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx"
		if got, _ := play(t, &Service{Handler: h}, post); !strings.HasSuffix(got, "too large: true") {
			t.Errorf("%d: got %q", n, got)
		}
	}
}

func TestLimitsAreChecked(t *testing.T) {
	for name, l := range map[string]Limits{
		"grace period of a second": {MinResponseDataRate: DataRate{GracePeriod: 1e9}},
		"buffer below the line":    {MaxRequestBufferSize: 4096},
		"buffer below the headers": {MaxRequestBufferSize: 8192, MaxRequestLineSize: 100},
		"no connection at all":     {MaxConcurrentConnections: None},
		"rate that is no number":   {MinRequestBodyDataRate: DataRate{BytesPerSecond: math.NaN()}},
		"infinite rate":            {MinResponseDataRate: DataRate{BytesPerSecond: math.Inf(1)}},
	} {
		var le *LimitError
		err := l.Validate()
		if !errors.As(err, &le) || le.Allowed == "" || le.Value == "" || reflect.ValueOf(l).FieldByName(strings.Split(le.Name, ".")[0]).IsZero() {
			t.Errorf("%s: %v", name, err)
			continue
		}
		for _, part := range []string{le.Name, le.Value, le.Allowed} {
			if !strings.Contains(err.Error(), part) {
				t.Errorf("%s: no %q in %v", name, part, err)
			}
		}
		if got := (&Service{Limits: l}).Prepare(); got == nil {
			t.Errorf("%s: the service takes it", name)
		}
	}
	if err := (Limits{}).Validate(); err != nil {
		t.Errorf("the defaults: %v", err)
	}
}
