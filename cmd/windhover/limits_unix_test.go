//go:build unix

package main_test

import (
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/net/websocket"
)

// A limit of 0 allows nothing, as in Kestrel, however it is given.
func TestZeroLimitsAllowNothing(t *testing.T) {
	args := []string{"proxy", echoBackend(t).URL, "--urls", any4}
	file := filepath.Join(write(t, map[string]string{
		"w.yaml": "limits: {max-request-body-size: 0, max-concurrent-upgraded-connections: 0}",
	}), "w.yaml")
	byVariables := exec.Command(binary, args...)
	byVariables.Env = append(os.Environ(), "WINDHOVER_MAX_REQUEST_BODY_SIZE=0", "WINDHOVER_MAX_CONCURRENT_UPGRADED_CONNECTIONS=0")
	for name, cmd := range map[string]*exec.Cmd{
		"flags":     exec.Command(binary, append(slices.Clone(args), "--max-request-body-size", "0", "--max-concurrent-upgraded-connections", "0")...),
		"file":      exec.Command(binary, append(slices.Clone(args), "--config", file)...),
		"variables": byVariables,
	} {
		t.Run(name, func(t *testing.T) {
			p := spawn(t, cmd)
			p.awaitStart()
			for body, want := range map[string]int{"": http.StatusOK, "x": http.StatusRequestEntityTooLarge} {
				res, err := client(t).Post(p.url(), "text/plain", strings.NewReader(body))
				if err != nil {
					t.Fatal(err)
				}
				res.Body.Close()
				if res.StatusCode != want {
					t.Errorf("a body of %d bytes: status %d, want %d", len(body), res.StatusCode, want)
				}
			}
			// The request to upgrade is answered as if it were none.
			ws, err := websocket.Dial("ws"+strings.TrimPrefix(p.url(), "http"), "", p.url())
			if err == nil {
				ws.Close()
				t.Error("the connection was upgraded")
			}
			p.stop()
		})
	}
}
