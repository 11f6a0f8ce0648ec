package telemetry

import "github.com/prometheus/client_golang/prometheus"

// HTTP is what the HTTP server counts.
type HTTP struct {
	Connections         int    // open now
	ConnectionsLimit    int    // that may be open at a time
	RejectedConnections uint64 // because too many were open
	EvictedConnections  uint64 // idle ones, closed to make room for others
	MalformedRequests   uint64 // 400
	RejectedLogins      uint64 // 401
	RateLimitedRequests uint64 // 429
	ClientDisconnects   uint64 // of clients whose request was waiting
}

// NewHTTPCollector returns the metrics of the HTTP server. It calls read at
// each scrape.
func NewHTTPCollector(read func() HTTP) prometheus.Collector {
	desc := func(name, help string) *prometheus.Desc {
		return prometheus.NewDesc("stap_exporter_http_"+name, help, nil, nil)
	}
	return &httpCollector{
		read:  read,
		open:  desc("connections", "Connections that are open."),
		limit: desc("connections_limit", "Connections that may be open at a time."),
		rejected: desc(
			"connections_rejected_total",
			"Connections that were rejected because too many were open.",
		),
		evicted: desc(
			"connections_evicted_total",
			"Idle connections that were closed to make room for others.",
		),
		requests: prometheus.NewDesc(
			"stap_exporter_http_requests_rejected_total",
			"Requests that were rejected, by status code: 400, 401 or 429.",
			[]string{"code"},
			nil,
		),
		disconnects: desc(
			"client_disconnects_total",
			"Requests whose client disconnected while they were waiting.",
		),
	}
}

type httpCollector struct {
	read                                                  func() HTTP
	open, limit, rejected, evicted, requests, disconnects *prometheus.Desc
}

// Describe implements prometheus.Collector.
func (c *httpCollector) Describe(out chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{c.open, c.limit, c.rejected, c.evicted, c.requests, c.disconnects} {
		out <- d
	}
}

// Collect implements prometheus.Collector.
func (c *httpCollector) Collect(out chan<- prometheus.Metric) {
	n := c.read()
	out <- prometheus.MustNewConstMetric(c.open, prometheus.GaugeValue, float64(n.Connections))
	out <- prometheus.MustNewConstMetric(c.limit, prometheus.GaugeValue, float64(n.ConnectionsLimit))
	out <- prometheus.MustNewConstMetric(c.rejected, prometheus.CounterValue, float64(n.RejectedConnections))
	out <- prometheus.MustNewConstMetric(c.evicted, prometheus.CounterValue, float64(n.EvictedConnections))
	for code, count := range map[string]uint64{
		"400": n.MalformedRequests,
		"401": n.RejectedLogins,
		"429": n.RateLimitedRequests,
	} {
		out <- prometheus.MustNewConstMetric(c.requests, prometheus.CounterValue, float64(count), code)
	}
	out <- prometheus.MustNewConstMetric(c.disconnects, prometheus.CounterValue, float64(n.ClientDisconnects))
}
