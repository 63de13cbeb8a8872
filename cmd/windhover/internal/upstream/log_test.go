package upstream_test

import (
	"bytes"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/windhover-server/windhover/cmd/windhover/internal/upstream"
)

func TestFailingUpstreamDoesNotFillTheLog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		target, err := upstream.Parse("unix:/nonexistent/sock")
		if err != nil {
			t.Fatal(err)
		}
		var out bytes.Buffer
		p, err := upstream.New(target, upstream.Options{Logger: slog.New(slog.NewTextHandler(&out, nil))})
		if err != nil {
			t.Fatal(err)
		}
		defer p.Close()
		for range 2 {
			for range 100 {
				w := httptest.NewRecorder()
				p.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/", nil))
				if w.Code != http.StatusBadGateway {
					t.Fatal(w.Code)
				}
			}
			time.Sleep(time.Second) // of the bubble
		}
		if n := strings.Count(out.String(), "upstream failed"); n != 20 || strings.Count(out.String(), "suppressed=90") != 1 {
			t.Errorf("%d records:\n%s", n, &out)
		}
	})
}
