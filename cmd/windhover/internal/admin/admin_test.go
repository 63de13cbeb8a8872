package admin_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/windhover-server/windhover/cmd/windhover/internal/admin"
)

func get(h http.Handler, path string) (int, string) {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
	return w.Code, w.Body.String()
}

func TestReadinessFollowsTheState(t *testing.T) {
	var state admin.State
	h := admin.Handler(&state, prometheus.NewRegistry(), false)
	step := func(readiness int, text string) {
		t.Helper()
		if code, body := get(h, "/readyz"); code != readiness || body != text+"\n" {
			t.Errorf("readyz: %d %q", code, body)
		}
		if code, _ := get(h, "/livez"); code != http.StatusOK {
			t.Errorf("livez: %d", code)
		}
	}
	step(http.StatusServiceUnavailable, "starting")
	state.Ready()
	step(http.StatusOK, "ok")
	state.Draining()
	step(http.StatusServiceUnavailable, "draining")
	state.Ready() // too late
	step(http.StatusServiceUnavailable, "draining")
}

func TestMetricsAndProfiles(t *testing.T) {
	registry := prometheus.NewRegistry()
	registry.MustRegister(collectors.NewGoCollector())
	var state admin.State
	h := admin.Handler(&state, registry, false)
	if code, body := get(h, "/metrics"); code != http.StatusOK || !strings.Contains(body, "go_goroutines") {
		t.Errorf("%d %.100q", code, body)
	}
	if code, _ := get(h, "/debug/pprof/"); code != http.StatusNotFound {
		t.Errorf("profiles without being asked for: %d", code)
	}
	if code, body := get(admin.Handler(&state, registry, true), "/debug/pprof/"); code != http.StatusOK || !strings.Contains(body, "goroutine") {
		t.Errorf("%d", code)
	}
}
