package httpfront

import "github.com/prometheus/client_golang/prometheus"

var (
	openDesc  = prometheus.NewDesc("stap_exporter_http_connections", "Connections that are open.", nil, nil)
	limitDesc = prometheus.NewDesc(
		"stap_exporter_http_connections_limit",
		"Connections that may be open at a time.",
		nil,
		nil,
	)
	refusedDesc = prometheus.NewDesc(
		"stap_exporter_http_connections_refused_total",
		"Connections that were refused since too many were open.",
		nil,
		nil,
	)
	leftDesc = prometheus.NewDesc(
		"stap_exporter_http_clients_left_total",
		"Requests whose client left while they were waiting.",
		nil,
		nil,
	)
)

// Describe makes a Server a prometheus.Collector.
func (s *Server) Describe(out chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{openDesc, limitDesc, refusedDesc, leftDesc} {
		out <- d
	}
}

// Collect gives the server's own metrics.
func (s *Server) Collect(out chan<- prometheus.Metric) {
	s.mu.Lock()
	open := len(s.conns)
	s.mu.Unlock()
	out <- prometheus.MustNewConstMetric(openDesc, prometheus.GaugeValue, float64(open))
	out <- prometheus.MustNewConstMetric(limitDesc, prometheus.GaugeValue, float64(s.cfg.MaxConnections))
	out <- prometheus.MustNewConstMetric(refusedDesc, prometheus.CounterValue, float64(s.refused.Load()))
	out <- prometheus.MustNewConstMetric(leftDesc, prometheus.CounterValue, float64(s.left.Load()))
}
