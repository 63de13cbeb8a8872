// Package admin is the program's second door, for those who run it: metrics,
// probes and, if wanted, profiles. It belongs on an address that the public
// cannot reach.
package admin

import (
	"net/http"
	"net/http/pprof"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// State is how far the program's life has come. Its methods may be called from
// any goroutine.
type State struct{ v atomic.Int32 }

const (
	starting int32 = iota
	ready
	draining
)

// Ready says that every address is bound and accepts.
func (s *State) Ready() { s.v.CompareAndSwap(starting, ready) }

// Draining says that the program is stopping. It does not become ready again.
func (s *State) Draining() { s.v.Store(draining) }

// Handler serves
//
//	/livez        200 as long as the process answers at all
//	/readyz       200 when it wants traffic, 503 while it starts or drains
//	/metrics      Prometheus
//	/debug/pprof/ if profiles is set
func Handler(state *State, metrics *prometheus.Registry, profiles bool) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /livez", func(w http.ResponseWriter, _ *http.Request) { answer(w, http.StatusOK, "ok") })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		switch state.v.Load() {
		case ready:
			answer(w, http.StatusOK, "ok")
		case draining:
			answer(w, http.StatusServiceUnavailable, "draining")
		default:
			answer(w, http.StatusServiceUnavailable, "starting")
		}
	})
	mux.Handle("GET /metrics", promhttp.HandlerFor(metrics, promhttp.HandlerOpts{Registry: metrics}))
	if profiles {
		mux.HandleFunc("/debug/pprof/", pprof.Index)
		mux.HandleFunc("/debug/pprof/cmdline", pprof.Cmdline)
		mux.HandleFunc("/debug/pprof/profile", pprof.Profile)
		mux.HandleFunc("/debug/pprof/symbol", pprof.Symbol)
		mux.HandleFunc("/debug/pprof/trace", pprof.Trace)
	}
	return mux
}

func answer(w http.ResponseWriter, status int, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = w.Write([]byte(text + "\n")) // a prober that is gone asks again
}
