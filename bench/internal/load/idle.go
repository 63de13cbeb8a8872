package load

import (
	"context"
	"fmt"
	"io"
	"net"
	"time"
)

// Idle is a set of keep-alive connections, each of which has been served once
// and now says nothing.
type Idle struct {
	request []byte
	head    headParser
	conns   []net.Conn
}

// idleBatch is how many connections are opened before their answers are read: few enough
// for any listen backlog.
const idleBatch = 128

// OpenIdle opens n connections to addr, sends request on each and checks the
// answer. The caller closes the set.
func OpenIdle(ctx context.Context, addr string, n int, request []byte, status int, length int64) (*Idle, error) {
	s := &Idle{request: request, head: headParser{status: status, length: length}}
	for len(s.conns) < n {
		from := len(s.conns)
		for range min(idleBatch, n-from) {
			d := net.Dialer{LocalAddr: sourceAddr(addr, int64(len(s.conns)/idleBatch)), KeepAlive: -1}
			c, err := d.DialContext(ctx, "tcp", addr)
			if err != nil {
				s.Close()
				return nil, fmt.Errorf("connection %d of %d: %w", len(s.conns)+1, n, err)
			}
			s.conns = append(s.conns, c)
		}
		if err := s.exchange(s.conns[from:]); err != nil {
			s.Close()
			return nil, fmt.Errorf("connections %d to %d of %d: %w", from+1, len(s.conns), n, err)
		}
	}
	return s, nil
}

// Len is the number of connections.
func (s *Idle) Len() int { return len(s.conns) }

// Check sends the request on every step-th connection, to see that they still
// live.
func (s *Idle) Check(step int) error {
	for i := 0; i < len(s.conns); i += step {
		if err := s.exchange(s.conns[i : i+1]); err != nil {
			return fmt.Errorf("idle connection %d: %w", i+1, err)
		}
	}
	return nil
}

// Close closes all connections.
func (s *Idle) Close() {
	for _, c := range s.conns {
		c.Close()
	}
	s.conns = nil
}

// exchange asks once on each connection, all requests first.
func (s *Idle) exchange(conns []net.Conn) error {
	deadline := time.Now().Add(DrainTimeout)
	for _, c := range conns {
		if err := c.SetDeadline(deadline); err != nil {
			return err
		}
		if _, err := c.Write(s.request); err != nil {
			return err
		}
	}
	buf := make([]byte, 4096)
	for _, c := range conns {
		if err := s.answer(c, buf); err != nil {
			return err
		}
	}
	return nil
}

// answer reads one whole response that is smaller than buf.
func (s *Idle) answer(c net.Conn, buf []byte) error {
	have := 0
	for {
		n, err := c.Read(buf[have:])
		if err != nil {
			if err == io.EOF {
				err = ErrEarlyClose
			}
			return err
		}
		have += n
		head, err := s.head.parse(buf[:have])
		if err != nil {
			return err
		}
		if want := head + int(max(s.head.length, 0)); head > 0 && have >= want {
			if have > want {
				return ErrUnasked
			}
			return nil
		}
		if have == len(buf) {
			return fmt.Errorf("an answer of more than %d bytes", len(buf))
		}
	}
}
