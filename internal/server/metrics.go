package server

import (
	"net/http"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/weirhq/weir/internal/store/sqlstore"
)

// metrics are what /metrics tells. Labels have few values: operations come
// from a table, and identifiers never appear.
type metrics struct {
	registry *prometheus.Registry
	requests *prometheus.CounterVec
	duration *prometheus.HistogramVec
	limited  *prometheus.CounterVec
}

func newMetrics(s *Server) *metrics {
	m := &metrics{
		registry: prometheus.NewRegistry(),
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "weir_http_requests_total", Help: "Requests answered, by operation and status.",
		}, []string{"operation", "status"}),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "weir_http_request_duration_seconds", Help: "Time to answer a request, by operation.",
			Buckets: []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 10},
		}, []string{"operation"}),
		limited: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "weir_limited_requests_total", Help: "Requests refused with 429, by the limit that refused them.",
		}, []string{"limit"}),
	}
	for _, name := range limitNames {
		m.limited.WithLabelValues(name)
	}
	replicas := prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "weir_replicas", Help: "Servers on this database that share the rate limits, this one included.",
	}, func() float64 { return float64(s.limits.exchange.Replicas()) })
	connections := prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "weir_connections", Help: "Connections that are open, where --max-connections bounds them.",
	}, func() float64 { return float64(s.connections.count()) })
	cacheHits := prometheus.NewCounterFunc(prometheus.CounterOpts{
		Name: "weir_cache_hits_total", Help: "Reads of SQLite that the cache answered.",
	}, func() float64 {
		hits, _ := sqlstore.CacheReads(s.database)
		return float64(hits)
	})
	cacheMisses := prometheus.NewCounterFunc(prometheus.CounterOpts{
		Name: "weir_cache_misses_total", Help: "Reads of SQLite that the cache could not answer.",
	}, func() float64 {
		_, misses := sqlstore.CacheReads(s.database)
		return float64(misses)
	})
	build := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "weir_build_info", Help: "Always 1; the label says which version runs.",
		ConstLabels: prometheus.Labels{"version": s.version},
	})
	build.Set(1)
	m.registry.MustRegister(m.requests, m.duration, m.limited, replicas, connections, cacheHits, cacheMisses, build,
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	m.registry.MustRegister(s.audit.Collectors()...)
	if s.tracer != nil {
		m.registry.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{
			Name: "weir_trace_export_failures_total", Help: "Batches of spans that could not be sent to the collector.",
		}, s.tracer.Failures))
	}
	return m
}

// observe counts a request; what is no operation of the API counts as "other".
func (m *metrics) observe(operation string, status int, elapsed time.Duration) {
	if operation == "" {
		operation = "other"
	}
	m.requests.WithLabelValues(operation, strconv.Itoa(status)).Inc()
	m.duration.WithLabelValues(operation).Observe(elapsed.Seconds())
}

// refused counts a request that a limit refused.
func (m *metrics) refused(limit string) { m.limited.WithLabelValues(limit).Inc() }

func (m *metrics) handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{})
}
