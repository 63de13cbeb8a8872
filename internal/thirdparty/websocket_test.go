package thirdparty

import (
	"bytes"
	"net/http"
	"strings"
	"sync"
	"testing"

	coder "github.com/coder/websocket"
	gorilla "github.com/gorilla/websocket"
)

// gorillaEcho hijacks the connection by http.Hijacker.
func gorillaEcho(w http.ResponseWriter, r *http.Request) {
	up := gorilla.Upgrader{EnableCompression: true}
	c, err := up.Upgrade(w, r, nil)
	if err != nil {
		return // Upgrade has answered
	}
	defer c.Close()
	for {
		kind, msg, err := c.ReadMessage()
		if err != nil {
			return
		}
		if err := c.WriteMessage(kind, msg); err != nil {
			return
		}
	}
}

// coderEcho hijacks by http.ResponseController and probes the bufio pair that
// it gets.
func coderEcho(w http.ResponseWriter, r *http.Request) {
	c, err := coder.Accept(w, r, &coder.AcceptOptions{CompressionMode: coder.CompressionContextTakeover})
	if err != nil {
		return // Accept has answered
	}
	defer c.CloseNow()
	c.SetReadLimit(1 << 20)
	for {
		kind, msg, err := c.Read(r.Context())
		if err != nil {
			return
		}
		if err := c.Write(r.Context(), kind, msg); err != nil {
			return
		}
	}
}

// messages are short, empty, and longer than any buffer.
var messages = [][]byte{[]byte("hello"), {}, bytes.Repeat([]byte("0123456789abcdef"), 20_000), []byte("bye")}

func TestWebSocketServers(t *testing.T) {
	for name, h := range map[string]http.HandlerFunc{"gorilla": gorillaEcho, "coder": coderEcho} {
		t.Run(name, func(t *testing.T) {
			onEachNetwork(t, h, []string{"tcp", "unix", "tls"}, func(t *testing.T, p peer) {
				res, err := p.httpClient(t).Get(p.url)
				if err != nil {
					t.Fatal(err)
				}
				res.Body.Close()
				if res.StatusCode < 400 { // each library has its own status for it
					t.Errorf("an ordinary GET got status %d", res.StatusCode)
				}
				var wg sync.WaitGroup
				for range 4 {
					wg.Go(func() { gorillaClient(t, p) })
					wg.Go(func() { coderClient(t, p) })
				}
				wg.Wait()
			})
		})
	}
}

func gorillaClient(t *testing.T, p peer) {
	d := gorilla.Dialer{EnableCompression: true, NetDialContext: p.dial, TLSClientConfig: p.tls}
	c, _, err := d.DialContext(t.Context(), "ws"+strings.TrimPrefix(p.url, "http"), nil)
	if err != nil {
		t.Error(err)
		return
	}
	defer c.Close()
	for _, m := range messages {
		if err := c.WriteMessage(gorilla.BinaryMessage, m); err != nil {
			t.Error(err)
			return
		}
		_, got, err := c.ReadMessage()
		if err != nil || !bytes.Equal(got, m) {
			t.Errorf("%d bytes came back as %d: %v", len(m), len(got), err)
			return
		}
	}
	c.WriteMessage(gorilla.CloseMessage, gorilla.FormatCloseMessage(gorilla.CloseNormalClosure, ""))
	if _, _, err := c.ReadMessage(); !gorilla.IsCloseError(err, gorilla.CloseNormalClosure) {
		t.Errorf("after a close frame: %v", err)
	}
}

func coderClient(t *testing.T, p peer) {
	c, _, err := coder.Dial(t.Context(), p.url, &coder.DialOptions{HTTPClient: p.httpClient(t), CompressionMode: coder.CompressionNoContextTakeover})
	if err != nil {
		t.Error(err)
		return
	}
	defer c.CloseNow()
	c.SetReadLimit(1 << 20)
	for _, m := range messages {
		if err := c.Write(t.Context(), coder.MessageBinary, m); err != nil {
			t.Error(err)
			return
		}
		_, got, err := c.Read(t.Context())
		if err != nil || !bytes.Equal(got, m) {
			t.Errorf("%d bytes came back as %d: %v", len(m), len(got), err)
			return
		}
	}
	if err := c.Close(coder.StatusNormalClosure, ""); err != nil {
		t.Errorf("closing handshake: %v", err)
	}
}
