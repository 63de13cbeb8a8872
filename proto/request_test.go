package proto

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net/http"
	"reflect"
	"strings"
	"testing"
)

// TestHeaderMap compares the header map with net/http's, for field sections of
// every size around those at which its memory is made differently.
func TestHeaderMap(t *testing.T) {
	lines := []string{
		"Accept: a\r\n", "X-One: 1\r\n", "x-two: 2\r\n", "ACCEPT: b\r\n", "X-ONE: 3\r\n", "Cookie: c\r\n", "X-Two: 4\r\n",
		"x-one: 5\r\n", "Via: v\r\n", "User-Agent: u\r\n", "accept: d\r\n", "Pragma: no-cache\r\n", "Cookie: e\r\n",
	}
	for n := range 30 {
		in := "GET / HTTP/1.1\r\n"
		for i := range n {
			if i == n/2 {
				in += "Host: a\r\n"
			}
			in += lines[i%len(lines)]
		}
		if n == 0 {
			in += "Host: a\r\n"
		}
		in += "\r\n"
		req, err := http.ReadRequest(bufio.NewReader(strings.NewReader(in)))
		if err != nil {
			t.Fatal(err)
		}
		var got http.Header
		play(t, &Service{Handler: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { got = r.Header })}, in)
		if !reflect.DeepEqual(got, req.Header) {
			t.Fatalf("%d fields:\n got %v\nwant %v", n, got, req.Header)
		}
		for k, vv := range got {
			_ = append(vv, "overwritten")
			vv[0] = k
		}
		for k, vv := range req.Header {
			if vv[0] = k; !reflect.DeepEqual(got[k], vv) {
				t.Fatalf("%d fields: %s is %v after writing to the others, want %v", n, k, got[k], vv)
			}
		}
	}
}

// TestContextAfterReturn: whether or not somebody has asked a context something
// before, it has ended when the handler has returned.
func TestContextAfterReturn(t *testing.T) {
	ask := map[string]func(context.Context){
		"nothing": func(context.Context) {},
		"Done":    func(ctx context.Context) { ctx.Done() },
		"Err":     func(ctx context.Context) { _ = ctx.Err() },
	}
	for name, f := range ask {
		var kept []context.Context
		play(t, &Service{Handler: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			kept = append(kept, r.Context())
			f(r.Context())
		})}, strings.Repeat("GET / HTTP/1.1\r\nHost: a\r\n\r\n", 2))
		for _, ctx := range kept {
			<-ctx.Done()
			if err := ctx.Err(); !errors.Is(err, context.Canceled) {
				t.Errorf("%s: %v", name, err)
			}
			ran := make(chan struct{})
			if stop := context.AfterFunc(ctx, func() { close(ran) }); stop() {
				t.Errorf("%s: AfterFunc waited", name)
			}
			<-ran
			ctx.(*reqCtx).peerGone()
			if err := SetMaxRequestBodySize(new(http.Request).WithContext(ctx), 1); !errors.Is(err, ErrNotHere) {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
	if over.closed || over.funcs != nil || over.watching {
		t.Errorf("the shared state has changed: %+v", over)
	}
}

// TestUpgradeOfNativeContext: the context of an Exchange has no ResponseWriter.
func TestUpgradeOfNativeContext(t *testing.T) {
	err := errors.New("panicked")
	play(t, &Service{Native: HandlerFunc(func(x *Exchange) {
		_, err = Upgrade(nil, new(http.Request).WithContext(x.Context()), "echo")
	})}, "GET / HTTP/1.1\r\nHost: a\r\n\r\n")
	if !errors.Is(err, ErrNotUpgradable) {
		t.Error(err)
	}
}

// TestHeaderOrder sends headers around the size up to which they are sorted on
// the stack, twice on a connection.
func TestHeaderOrder(t *testing.T) {
	for n := 1; n < 3*fewEntries; n++ {
		fields := ""
		for i := range n {
			fields += fmt.Sprintf("X-%02d: a\r\nX-%02d: b\r\n", i, i)
		}
		early := "HTTP/1.1 103 Early Hints\r\n" + fields + "\r\n"
		in := "GET / HTTP/1.1\r\nHost: a\r\n\r\n"
		got, _ := play(t, &Service{ServerHeader: "-", Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			for i := n - 1; i >= 0; i-- {
				w.Header()[fmt.Sprintf("X-%02d", i)] = []string{"a", "b"}
			}
			w.Header()["Bad Name"] = []string{"x"}
			w.WriteHeader(http.StatusEarlyHints)
			w.Header()["Content-Length"] = []string{"-1"}
			w.Header()["Date"] = nil
			w.Write([]byte("x"))
			if v, ok := w.Header()["Content-Length"]; ok {
				t.Errorf("Content-Length stayed: %q", v)
			}
		})}, in+in)
		want := early + "HTTP/1.1 200 OK\r\n" + fields + "Content-Length: 1\r\nContent-Type: text/plain; charset=utf-8\r\n\r\nx"
		if got != want+want {
			t.Fatalf("%d entries:\n got %q\nwant %q", n, got, want+want)
		}
	}
}
