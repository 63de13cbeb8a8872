package h2

import (
	"context"
	"net/http"
	"time"

	"github.com/windhover-server/windhover/listen"
)

// protocol is one HTTP/2 connection as a transport drives it.
type protocol struct {
	server *Server
	link   listen.Link
	base   listen.Protocol
}

var _ listen.Protocol = (*protocol)(nil)

// Data runs the whole connection.
func (p *protocol) Data(b []byte) listen.Verdict {
	p.link.Leave()
	p.link.SetReadDeadline(time.Time{})
	c := newConn(p.link, b)
	s := p.server
	if rate := s.Limits.MinResponseDataRate; rate > 0 {
		p.link.SetSendRate(rate, s.Limits.MinResponseDataGracePeriod)
	} else {
		p.link.SetSendRate(0, 0)
	}
	ctx := context.Background()
	if s.Context != nil {
		ctx = s.Context(p.link, p.base)
	}
	s.engine.serve(ctx, c, s.serving, http.HandlerFunc(s.serveHTTP))
	// The link is http2's until its last goroutine has let go of it.
	c.shut()
	return listen.Close
}

// EOF implements [listen.Protocol]: the client has left before its preface.
func (p *protocol) EOF() listen.Verdict { return listen.Close }

// Expired implements [listen.Protocol]: no preface has come.
func (p *protocol) Expired() listen.Verdict { return listen.Close }

// Drain implements [listen.Protocol]: no preface has come, so it is as with
// any connection that has not asked for anything.
func (p *protocol) Drain() listen.Verdict { return p.base.Drain() }

// Gone implements [listen.Protocol]. http2 reads all the time and finds out.
func (p *protocol) Gone(error) {}

// Lost implements [listen.Protocol].
func (p *protocol) Lost(err error) { p.base.Lost(err) }
