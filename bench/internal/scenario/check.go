package scenario

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/windhover-server/windhover/bench/internal/content"
)

// checkLimit bounds one check.
const checkLimit = 10 * time.Second

// Check sends the scenario's request once and compares the whole answer, body
// included: what the measurement itself has no time for.
func (s Scenario) Check(ctx context.Context, addr string) error {
	ctx, cancel := context.WithTimeout(ctx, checkLimit)
	defer cancel()
	var d net.Dialer
	conn, err := d.DialContext(ctx, "tcp", addr)
	if err != nil {
		return err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(checkLimit)); err != nil {
		return err
	}
	if s.TLS {
		t := tls.Client(conn, ClientTLS())
		if err := t.HandshakeContext(ctx); err != nil {
			return err
		}
		if v := t.ConnectionState().Version; v != tls.VersionTLS13 {
			return fmt.Errorf("%s was negotiated instead of TLS 1.3", tls.VersionName(v))
		}
		conn = t
	}
	if err := s.Request.check(conn); err != nil {
		return fmt.Errorf("%s: %w", strings.TrimSuffix(firstLine(s.Request.Head), " HTTP/1.1"), err)
	}
	return nil
}

// ClientTLS is the load generator's configuration: HTTP/1.1 over TLS 1.3, and
// no session cache, so that every handshake is a full one. The certificate is
// one that the program has just made.
func ClientTLS() *tls.Config {
	return &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS13, NextProtos: []string{"http/1.1"}}
}

func firstLine(head string) string {
	line, _, _ := strings.Cut(head, "\r\n")
	return line
}

func (r Request) check(conn net.Conn) error {
	sent := make(chan error, 1)
	go func() {
		b := r.Bytes()
		if r.Upgrade {
			b = []byte(r.Head + "\r\n")
		}
		_, err := conn.Write(b)
		sent <- err
	}()
	br := bufio.NewReader(conn)
	res, err := http.ReadResponse(br, nil)
	if err != nil {
		return errors.Join(err, drained(sent))
	}
	defer res.Body.Close()
	if err := <-sent; err != nil {
		return err
	}
	if res.StatusCode != r.Status {
		return fmt.Errorf("status %d instead of %d", res.StatusCode, r.Status)
	}
	if r.Upgrade {
		return r.checkEcho(conn, br)
	}
	if res.ContentLength != r.Length {
		return fmt.Errorf("a Content-Length of %d instead of %d", res.ContentLength, r.Length)
	}
	if got := res.Header.Get("Content-Type"); !strings.HasPrefix(got, r.Type) {
		return fmt.Errorf("the Content-Type is %q instead of %q", got, r.Type)
	}
	body, err := io.ReadAll(res.Body)
	if err != nil {
		return err
	}
	want := r.Content
	if want == nil {
		want = content.AppendPattern(nil, int(r.Length))
	}
	if !bytes.Equal(body, want) {
		return fmt.Errorf("the body is wrong: it starts %.40q", body)
	}
	return nil
}

// drained returns a write error that is there already.
func drained(sent <-chan error) error {
	select {
	case err := <-sent:
		return err
	default:
		return nil
	}
}

func (r Request) checkEcho(conn net.Conn, br *bufio.Reader) error {
	if _, err := conn.Write(r.Body); err != nil {
		return err
	}
	got := make([]byte, len(r.Body))
	if _, err := io.ReadFull(br, got); err != nil {
		return err
	}
	if !bytes.Equal(got, r.Body) {
		return fmt.Errorf("%.40q came back instead of %.40q", got, r.Body)
	}
	return nil
}
