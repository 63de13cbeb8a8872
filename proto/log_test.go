package proto

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net/http"
	"os"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/windhover-server/windhover/listen"
)

// logOf plays input and returns the records by name, and their order.
func logOf(t *testing.T, svc *Service, level slog.Level, input string, end func(*Conn)) (map[string]map[string]any, string) {
	t.Helper()
	var out bytes.Buffer
	svc.Logger = slog.New(slog.NewJSONHandler(&out, &slog.HandlerOptions{Level: level}))
	c, _ := open(t, svc)
	c.Data([]byte(input))
	end(c)
	return records(t, &out)
}

func records(t *testing.T, out *bytes.Buffer) (byName map[string]map[string]any, order string) {
	t.Helper()
	byName = make(map[string]map[string]any)
	for line := range bytes.Lines(out.Bytes()) {
		var r map[string]any
		if err := json.Unmarshal(line, &r); err != nil {
			t.Fatal(err)
		}
		name := r["msg"].(string)
		byName[name] = r
		order += fmt.Sprintf(" %s %v", r["level"], name)
	}
	return byName, strings.TrimSpace(order)
}

func TestEventsOfAConnection(t *testing.T) {
	const get = "GET /hello HTTP/1.1\r\nHost: a\r\n\r\n"
	lost := func(err error) func(*Conn) { return func(c *Conn) { c.Lost(err) } }
	for _, c := range []struct {
		name, input string
		end         func(*Conn)
		want        string
	}{
		{"request", get, lost(nil), "DEBUG ConnectionStart DEBUG ConnectionKeepAlive DEBUG ConnectionDisconnect DEBUG ConnectionStop"},
		{"end by the client", get, func(c *Conn) { c.EOF(); c.Lost(nil) }, "DEBUG ConnectionStart DEBUG ConnectionKeepAlive DEBUG ConnectionReadFin DEBUG ConnectionWriteFin DEBUG ConnectionDisconnect DEBUG ConnectionStop"},
		{"reset", get, lost(&os.SyscallError{Err: syscall.ECONNRESET}), "DEBUG ConnectionStart DEBUG ConnectionKeepAlive DEBUG ConnectionReset DEBUG ConnectionStop"},
		{"strange error", "", lost(errors.New("strange")), "DEBUG ConnectionStart INFO ConnectionError DEBUG ConnectionStop"},
		{"strange error in a head", "GET / HT", lost(errors.New("strange")), "DEBUG ConnectionStart INFO ConnectionError INFO RequestProcessingError DEBUG ConnectionStop"},
		{"strange error in a body", "POST /hello HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n", lost(errors.New("strange")), "DEBUG ConnectionStart INFO RequestBodyNotEntirelyRead INFO RequestBodyDrainTimedOut INFO ConnectionError INFO RequestProcessingError DEBUG ConnectionStop"},
		{"reset in a head", "GET / HT", lost(&os.SyscallError{Err: syscall.ECONNRESET}), "DEBUG ConnectionStart DEBUG ConnectionReset DEBUG ConnectionStop"},
		{"Close in a head", "GET / HT", lost(listen.ErrServerClosed), "DEBUG ConnectionStart INFO ConnectionError DEBUG ConnectionStop"},
		{"slow reader", get, lost(listen.ErrSlowPeer), "DEBUG ConnectionStart DEBUG ConnectionKeepAlive INFO ResponseMinimumDataRateNotSatisfied DEBUG ConnectionStop"},
		{"body", "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi", lost(nil), "DEBUG ConnectionStart DEBUG RequestBodyStart DEBUG RequestBodyDone DEBUG ConnectionKeepAlive DEBUG ConnectionDisconnect DEBUG ConnectionStop"},
		{"body that nobody reads", "POST /hello HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n", lost(nil), "DEBUG ConnectionStart INFO RequestBodyNotEntirelyRead INFO RequestBodyDrainTimedOut DEBUG ConnectionWriteFin DEBUG ConnectionDisconnect DEBUG ConnectionStop"},
		{"HEAD", "HEAD /hello HTTP/1.1\r\nHost: a\r\n\r\n", lost(nil), "DEBUG ConnectionStart DEBUG ConnectionHeadResponseBodyWrite DEBUG ConnectionKeepAlive DEBUG ConnectionDisconnect DEBUG ConnectionStop"},
		{"bad request", "nonsense\r\n\r\n", lost(nil), "DEBUG ConnectionStart INFO ConnectionBadRequest DEBUG ConnectionWriteFin DEBUG ConnectionDisconnect DEBUG ConnectionStop"},
		{"half a head", "GET / HT", func(c *Conn) { c.Expired(); c.Lost(nil) }, "DEBUG ConnectionStart INFO RequestHeadersTimeout DEBUG ConnectionWriteFin DEBUG ConnectionDisconnect DEBUG ConnectionStop"},
		{"abort", "GET /panic HTTP/1.1\r\nHost: a\r\n\r\n", lost(nil), "DEBUG ConnectionStart INFO ApplicationAbortedConnection DEBUG ConnectionWriteFin DEBUG ConnectionDisconnect DEBUG ConnectionStop"},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				if _, order := logOf(t, handlers()["http"], slog.LevelDebug, c.input, c.end); order != c.want {
					t.Errorf("got  %s\nwant %s", order, c.want)
				}
			})
		})
	}
}

// A FIN is logged with why it was sent, and only when one was sent.
func TestWriteFinSaysWhy(t *testing.T) {
	const get = "GET /hello HTTP/1.1\r\nHost: a\r\n"
	drained := func(c *Conn) { c.Drain() }
	native := func() *Service { return &Service{Native: HandlerFunc(nativeHello)} }
	aborting := func() *Service { return &Service{Native: HandlerFunc((*Exchange).Abort)} }
	usual := func() *Service { return handlers()["http"] }
	for _, c := range []struct {
		name  string
		svc   func() *Service
		input string
		end   func(*Conn)
		want  any
	}{
		{"Connection: close", usual, get + "Connection: close\r\n\r\n", func(*Conn) {}, closingReasons[closingServed]},
		{"Connection: close, native", native, get + "Connection: close\r\n\r\n", func(*Conn) {}, closingReasons[closingServed]},
		{"cut short", usual, "GET /panic HTTP/1.1\r\nHost: a\r\n\r\n", func(*Conn) {}, closingReasons[closingServed]},
		{"bad request", usual, "nonsense\r\n\r\n", func(*Conn) {}, closingReasons[closingRefused]},
		{"end by the client", usual, get + "\r\n", func(c *Conn) { c.EOF() }, closingReasons[closingFin]},
		{"keep-alive timeout", usual, get + "\r\n", func(c *Conn) { c.Expired() }, closingReasons[closingTimeout]},
		{"drain", usual, get + "\r\n", drained, closingReasons[closingDrain]},
		{"drain in a head", usual, "GET / HT", drained, nil}, // goes on
		{"abort", aborting, get + "\r\n", func(*Conn) {}, nil},
		{"abort by the link", usual, get + "\r\n", func(*Conn) {}, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				events, order := logOf(t, c.svc(), slog.LevelDebug, c.input, func(cn *Conn) { c.end(cn); cn.Lost(nil) })
				if fin := events["ConnectionWriteFin"]; fin["reason"] != c.want || fin != nil && fin["event_id"] != 7.0 {
					t.Errorf("%v, in %s", fin, order)
				}
			})
		})
	}
}

func TestEventsCarryTheirIdentifiers(t *testing.T) {
	svc := &Service{Handler: http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic("oh") })}
	events, _ := logOf(t, svc, slog.LevelDebug, "GET / HTTP/1.1\r\nHost: a\r\n\r\n", func(c *Conn) { c.Lost(nil) })
	start, failed := events["ConnectionStart"], events["ApplicationError"]
	conn, _ := start["conn"].(string)
	if len(conn) != 13 || start["event_id"] != 1.0 || start["remote"] != "remote" || start["req"] != nil {
		t.Errorf("%v", start)
	}
	if failed["event_id"] != 13.0 || failed["conn"] != conn || failed["req"] != conn+":00000001" || failed["error"] != "oh" || failed["level"] != "ERROR" {
		t.Errorf("%v", failed)
	}
	if stack, _ := failed["stack"].(string); !strings.Contains(stack, "TestEventsCarryTheirIdentifiers") {
		t.Errorf("stack: %s", stack)
	}
}

func TestPanicsGoToTheErrorLogIfThereIsOne(t *testing.T) {
	var text bytes.Buffer
	svc := &Service{
		Handler:  http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic("oh") }),
		ErrorLog: log.New(&text, "", 0),
	}
	events, _ := logOf(t, svc, slog.LevelInfo, "GET / HTTP/1.1\r\nHost: a\r\n\r\n", func(c *Conn) { c.Lost(nil) })
	if len(events) != 0 || !strings.HasPrefix(text.String(), "http: panic serving remote: oh\n") {
		t.Errorf("%v\n%s", events, &text)
	}
}

func TestRejectionsAreCountedAndLoggedOnceASecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		svc := &Service{Limits: Limits{MaxConcurrentConnections: 1}, Logger: slog.New(slog.NewJSONHandler(&out, nil))}
		open(t, svc)
		for range 3 {
			for range 1000 {
				if svc.Accept(new(testLink)) != nil {
					t.Fatal("accepted over the limit")
				}
			}
			time.Sleep(time.Second) // of the bubble
		}
		events, order := records(t, &out)
		last := events["ConnectionRejected"]
		if strings.Count(order, "WARN ConnectionRejected") != 3 || last["limit"] != 1.0 || last["suppressed"] != 999.0 || last["event_id"] != 24.0 {
			t.Errorf("%s\n%v", order, last)
		}
		if n := svc.Counters.Rejected.Load(); n != 3000 {
			t.Errorf("%d counted", n)
		}
	})
}

func TestFloodsOfBadRequestsDoNotFillTheLog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		svc := &Service{Logger: slog.New(slog.NewJSONHandler(&out, nil))}
		flood := func() {
			for range 500 {
				c, _ := open(t, svc)
				c.Data([]byte("nonsense\r\n\r\n"))
				c.Lost(nil)
			}
		}
		flood()
		time.Sleep(time.Second) // of the bubble
		flood()
		events, order := records(t, &out)
		if n := strings.Count(order, "ConnectionBadRequest"); n != 2*maxEventsPerSecond || !strings.Contains(out.String(), `"suppressed":490`) {
			t.Errorf("%d records, the last: %v", n, events["ConnectionBadRequest"])
		}
		if n := svc.Counters.BadRequests.Load(); n != 1000 {
			t.Errorf("%d counted", n)
		}
	})
}

func TestErrorLogIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var text bytes.Buffer
		svc := &Service{ErrorLog: log.New(&text, "", 0)}
		for i := range 250 {
			svc.logf("http: message %d", i)
		}
		time.Sleep(time.Second) // of the bubble
		svc.logf("http: the last")
		lines := strings.Split(strings.TrimSpace(text.String()), "\n")
		if n := len(lines); n != maxErrorsPerSecond+2 || lines[n-2] != "http: 150 messages were left out of this log" || lines[n-1] != "http: the last" {
			t.Errorf("%d lines, ending in %q", n, lines[n-2:])
		}
	})
}

// What nobody asked for costs nothing.
func TestEventsBelowTheLevelAreNotMade(t *testing.T) {
	svc := handlers()["http"]
	svc.Logger = slog.New(slog.NewJSONHandler(io.Discard, nil))
	c, _ := open(t, svc)
	if n := testing.AllocsPerRun(100, func() { c.log(evKeepAlive) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
	if svc.Logger.Enabled(context.Background(), slog.LevelDebug) {
		t.Error("the test is about a level above")
	}
}

// docs/configuration.md has every event.
func TestEventsAreDocumented(t *testing.T) {
	doc, err := os.ReadFile("../docs/configuration.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, ev := range []event{
		evConnectionStart, evConnectionStop, evReadFin, evWriteFin, evKeepAlive, evProcessingError, evDisconnect, evApplicationError, evConnectionError,
		evBadRequest, evRequestHeadersTimeout, evHeadBodyWrite, evConnectionReset, evConnectionRejected, evBodyStart, evBodyDone,
		evBodyRateNotSatisfied, evResponseRateTooLow, evBodyNotEntirelyRead, evBodyDrainTimedOut, evApplicationAborted,
	} {
		row := fmt.Sprintf("| %d | %s | %s |", ev.id, ev.name, strings.ToLower(ev.level.String()))
		if !strings.Contains(string(doc), row) {
			t.Errorf("no row %q", row)
		}
	}
}
