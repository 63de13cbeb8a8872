package proto

import (
	"io"
	"testing"

	"github.com/windhover-server/windhover/listen"
)

// waiter is a sleeve's Protocol that makes the inner one at the first Data.
type waiter struct {
	listen.Protocol
	make func() listen.Protocol
}

func (w *waiter) Data(p []byte) listen.Verdict {
	if w.Protocol == nil {
		if w.Protocol = w.make(); w.Protocol == nil {
			return listen.Abort
		}
	}
	return w.Protocol.Data(p)
}

func (w *waiter) Lost(err error) {
	if w.Protocol != nil {
		w.Protocol.Lost(err)
	}
}

// dressed is a sleeve's Link.
type dressed struct{ listen.Link }

func (d dressed) Unwrap() listen.Link { return d.Link }

func TestConnectionsInASleeveTakeAPlace(t *testing.T) {
	const get = "GET /hello HTTP/1.1\r\nHost: a\r\n\r\n"
	for name, dress := range map[string]func(listen.Link) listen.Link{
		"its own link":    func(l listen.Link) listen.Link { return l },
		"another link":    func(l listen.Link) listen.Link { return dressed{l} },
		"two other links": func(l listen.Link) listen.Link { return dressed{dressed{l}} },
	} {
		t.Run(name, func(t *testing.T) {
			svc := handlers()["http"]
			svc.Limits.MaxConcurrentConnections = 1
			if err := svc.Prepare(); err != nil {
				t.Fatal(err)
			}
			sleeves := 0
			accept := svc.Reserve(func(next listen.Acceptor) listen.Acceptor {
				sleeves++
				return func(l listen.Link) listen.Protocol {
					return &waiter{make: func() listen.Protocol { return next(dress(l)) }}
				}
			}, svc.Accept)
			open := func(want int64) {
				t.Helper()
				if n, _ := svc.Connections(); n != want {
					t.Errorf("%d connections, want %d", n, want)
				}
			}

			silent := accept(new(testLink))
			open(1)
			if accept(new(testLink)) != nil || svc.Counters.Rejected.Load() != 1 {
				t.Error("a second one is accepted, or not counted")
			}
			silent.Lost(io.EOF)
			open(0)

			speaks := accept(new(testLink))
			if v := speaks.Data([]byte(get)); v != listen.Wait {
				t.Errorf("verdict %v", v)
			}
			open(1)
			speaks.Lost(nil)
			open(0)
			if sleeves != 1 {
				t.Errorf("the sleeve was made %d times", sleeves)
			}
		})
	}
}

func TestPlacesOfConnectionsThatASleeveRefusesOrPassesOn(t *testing.T) {
	svc := handlers()["http"]
	svc.Limits.MaxConcurrentConnections = 1
	if err := svc.Prepare(); err != nil {
		t.Fatal(err)
	}
	refuse := true
	var got listen.Link
	accept := svc.Reserve(func(next listen.Acceptor) listen.Acceptor {
		return func(l listen.Link) listen.Protocol {
			if refuse {
				return nil
			}
			return next(l)
		}
	}, func(l listen.Link) listen.Protocol { got = l; return svc.Accept(l) })
	if accept(new(testLink)) != nil {
		t.Error("not refused")
	}
	refuse = false
	link := new(testLink)
	p := accept(link)
	if _, ok := p.(*Conn); !ok || got != listen.Link(link) {
		t.Errorf("passed on as %T on %T", p, got)
	}
	p.Lost(nil)
	if n, _ := svc.Connections(); n != 0 {
		t.Errorf("%d connections", n)
	}
}
