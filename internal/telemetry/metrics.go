package telemetry

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
)

// metrics are the metrics that count events, by script. What a status has
// already is collected at each scrape, see statusCollector.
type metrics struct {
	registry *prometheus.Registry

	starts, restarts, shared, empty, readErrors *prometheus.CounterVec
	exits, dropped, repaired                    *prometheus.CounterVec
	startSeconds, readSeconds                   *prometheus.HistogramVec
	bytes, samples, headroom                    *prometheus.GaugeVec
}

func newMetrics(version string) *metrics {
	m := &metrics{
		registry: prometheus.NewRegistry(),
		starts:   scriptCounter("starts_total", "Starts of the script."),
		restarts: scriptCounter("restarts_total", "Starts of an autostart script after it had ended."),
		exits: scriptCounter(
			"exits_total",
			"Ends of the script, by cause: stopped (by the exporter), ended (exit code 0), "+
				"failed (another exit code), signal, error (it could not be started, or was not running in time).",
			"cause",
		),
		shared: scriptCounter(
			"requests_shared_total",
			"Requests that were answered with the read of another request.",
		),
		empty:      scriptCounter("reads_empty_total", "Reads of the script's metrics that stayed empty."),
		readErrors: scriptCounter("reads_failed_total", "Reads of the script's metrics that failed or took too long."),
		dropped: scriptCounter(
			"lines_dropped_total",
			"Lines that were dropped because Prometheus would refuse the scrape for them, by reason.",
			"reason",
		),
		repaired: scriptCounter(
			"lines_repaired_total",
			"Repairs of lines of the script's metrics, by repair.",
			"repair",
		),
		startSeconds: scriptHistogram(
			"start_duration_seconds",
			"Time from the start of the script until its metrics are there, by kind: compiled, loaded from the cache.",
			[]float64{0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 40, 80, 160, 320},
			"kind",
		),
		readSeconds: scriptHistogram(
			"read_duration_seconds",
			"Time to read and sanitize the script's metrics.",
			[]float64{0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1, 2.5, 10},
		),
		bytes:   scriptGauge("read_bytes", "Size of the last text that was read from the script."),
		samples: scriptGauge("read_samples", "Samples in the last text that was read from the script."),
		headroom: scriptGauge(
			"read_headroom_bytes",
			"How many bytes longer the last text could have been before SystemTap truncates it and ends the script.",
		),
	}
	buildInfo := prometheus.NewGaugeVec(
		prometheus.GaugeOpts{Name: "stap_exporter_build_info", Help: "Always 1; the version is a label."},
		[]string{"version"},
	)
	buildInfo.WithLabelValues(version).Set(1)
	m.registry.MustRegister(
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		buildInfo,
		m.startSeconds,
		m.readSeconds,
	)
	for _, v := range m.counters() {
		m.registry.MustRegister(v)
	}
	for _, v := range m.gauges() {
		m.registry.MustRegister(v)
	}
	return m
}

func scriptCounter(name, help string, labels ...string) *prometheus.CounterVec {
	opts := prometheus.CounterOpts{Name: "stap_exporter_script_" + name, Help: help}
	return prometheus.NewCounterVec(opts, append([]string{"script"}, labels...))
}

func scriptGauge(name, help string) *prometheus.GaugeVec {
	opts := prometheus.GaugeOpts{Name: "stap_exporter_script_" + name, Help: help}
	return prometheus.NewGaugeVec(opts, []string{"script"})
}

func scriptHistogram(name, help string, buckets []float64, labels ...string) *prometheus.HistogramVec {
	opts := prometheus.HistogramOpts{Name: "stap_exporter_script_" + name, Help: help, Buckets: buckets}
	return prometheus.NewHistogramVec(opts, append([]string{"script"}, labels...))
}

func (m *metrics) counters() []*prometheus.CounterVec {
	return []*prometheus.CounterVec{
		m.starts,
		m.restarts,
		m.exits,
		m.shared,
		m.empty,
		m.readErrors,
		m.dropped,
		m.repaired,
	}
}

func (m *metrics) gauges() []*prometheus.GaugeVec {
	return []*prometheus.GaugeVec{m.bytes, m.samples, m.headroom}
}

// forget removes a script's series.
func (m *metrics) forget(name string) {
	label := prometheus.Labels{"script": name}
	for _, v := range m.counters() {
		v.DeletePartialMatch(label)
	}
	for _, v := range m.gauges() {
		v.DeletePartialMatch(label)
	}
	m.startSeconds.DeletePartialMatch(label)
	m.readSeconds.DeletePartialMatch(label)
}
