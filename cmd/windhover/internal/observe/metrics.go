package observe

import (
	"net/http"
	"strconv"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/windhover-server/windhover"
)

// Metrics counts requests, with the names and units of OpenTelemetry's HTTP
// server conventions, and shows the server's own counters, with Kestrel's.
type Metrics struct {
	registry *prometheus.Registry
	duration *prometheus.HistogramVec
	size     *prometheus.HistogramVec
	active   prometheus.Gauge
}

// NewMetrics makes the metrics of one process.
func NewMetrics() *Metrics {
	m := &Metrics{
		registry: prometheus.NewRegistry(),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "http_server_request_duration_seconds",
			Help:    "Time from the head of a request to the end of its handler.",
			Buckets: []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10},
		}, []string{"method", "status"}),
		size: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "http_server_response_body_size_bytes",
			Help:    "Size of response bodies.",
			Buckets: prometheus.ExponentialBuckets(256, 8, 8),
		}, []string{"method"}),
		active: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "http_server_active_requests", Help: "Requests that are being answered.",
		}),
	}
	m.registry.MustRegister(m.duration, m.size, m.active,
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

// Registry is where the metrics are gathered from.
func (m *Metrics) Registry() *prometheus.Registry { return m.registry }

// Begin implements [Observer].
func (m *Metrics) Begin(*http.Request) { m.active.Inc() }

// End implements [Observer].
func (m *Metrics) End(x *Exchange) {
	m.active.Dec()
	method := methodLabel(x.Request.Method)
	m.duration.WithLabelValues(method, strconv.Itoa(x.Status)).Observe(x.Duration.Seconds())
	m.size.WithLabelValues(method).Observe(float64(x.Bytes))
}

// methodLabel keeps clients from making up label values.
func methodLabel(method string) string {
	switch method {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch,
		http.MethodDelete, http.MethodConnect, http.MethodOptions, http.MethodTrace:
		return method
	}
	return "_OTHER"
}

// WatchServer adds the counters of a server.
func (m *Metrics) WatchServer(stats func() windhover.Stats) {
	for _, c := range []struct {
		name, help string
		gauge      bool
		get        func(windhover.Stats) int64
	}{
		{"kestrel_active_connections", "Open connections, upgraded ones not counted.", true, func(s windhover.Stats) int64 { return s.Connections }},
		{"kestrel_upgraded_connections", "Open upgraded connections.", true, func(s windhover.Stats) int64 { return s.UpgradedConnections }},
		{"kestrel_rejected_connections_total", "Connections refused at the limit.", false, func(s windhover.Stats) int64 { return s.Rejected }},
		{"kestrel_active_tls_handshakes", "TLS handshakes under way.", true, func(s windhover.Stats) int64 { return s.Handshakes.Active }},
		{"windhover_tls_handshakes_total", "Successful TLS handshakes.", false, func(s windhover.Stats) int64 { return s.Handshakes.Succeeded }},
		{"windhover_tls_resumed_handshakes_total", "Successful TLS handshakes that resumed a session.", false, func(s windhover.Stats) int64 { return s.Handshakes.Resumed }},
		{"windhover_tls_failed_handshakes_total", "Failed TLS handshakes.", false, func(s windhover.Stats) int64 { return s.Handshakes.Failed }},
		{"windhover_bad_requests_total", "Requests that the server itself refused.", false, func(s windhover.Stats) int64 { return s.BadRequests }},
		{"windhover_timeouts_total", "Connections that ended by a timeout or a data rate.", false, func(s windhover.Stats) int64 { return s.Timeouts }},
		{"windhover_handler_panics_total", "Handlers that panicked.", false, func(s windhover.Stats) int64 { return s.Panics }},
	} {
		m.watch(c.name, c.help, c.gauge, func() float64 { return float64(c.get(stats())) })
	}
}

// WatchLog adds the counters of the access log's buffer.
func (m *Metrics) WatchLog(dropped, failed func() uint64) {
	m.watch("windhover_access_log_dropped_total", "Access log records dropped because the log was slow.", false, func() float64 { return float64(dropped()) })
	m.watch("windhover_access_log_failed_writes_total", "Failed writes of the access log.", false, func() float64 { return float64(failed()) })
}

func (m *Metrics) watch(name, help string, gauge bool, get func() float64) {
	if gauge {
		m.registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, get))
		return
	}
	m.registry.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{Name: name, Help: help}, get))
}
