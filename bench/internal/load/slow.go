package load

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// Slow is a crowd of slow clients: each sends its request in small pieces with
// a pause after each, reads the answer, and begins again.
type Slow struct {
	Addr    string
	Conns   int
	Request []byte
	Piece   int           // bytes per piece
	Pause   time.Duration // after each piece
}

// Run keeps the crowd going until ctx ends. It returns how many requests were
// answered, and the first error there was.
func (s Slow) Run(ctx context.Context) (int64, error) {
	var (
		wg       sync.WaitGroup
		answered atomic.Int64
		once     sync.Once
		first    error
	)
	for range s.Conns {
		wg.Go(func() {
			if err := s.client(ctx, &answered); err != nil && ctx.Err() == nil {
				once.Do(func() { first = err })
			}
		})
	}
	wg.Wait()
	return answered.Load(), first
}

func (s Slow) client(ctx context.Context, answered *atomic.Int64) error {
	var d net.Dialer
	c, err := d.DialContext(ctx, "tcp", s.Addr)
	if err != nil {
		return err
	}
	defer c.Close()
	defer context.AfterFunc(ctx, func() { c.SetDeadline(time.Now()) })()
	br := bufio.NewReaderSize(c, 1024)
	for {
		for rest := s.Request; len(rest) > 0; {
			k := min(s.Piece, len(rest))
			if _, err := c.Write(rest[:k]); err != nil {
				return err
			}
			rest = rest[k:]
			if !sleep(ctx, s.Pause) {
				return nil
			}
		}
		res, err := http.ReadResponse(br, nil)
		if err != nil {
			return err
		}
		_, err = io.Copy(io.Discard, res.Body)
		if err = errors.Join(err, res.Body.Close()); err != nil {
			return err
		}
		if res.StatusCode != http.StatusOK {
			return errors.New("a slow client was answered " + res.Status)
		}
		answered.Add(1)
	}
}
