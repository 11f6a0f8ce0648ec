package supervisor

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"stap-exporter/internal/exposition"
	"stap-exporter/internal/scrape"
	"stap-exporter/internal/script"
	"stap-exporter/internal/stap"
)

// metrics are the exporter's own. What changes with events is counted here, by
// a listener that is bound to its script beforehand; what can be looked up is
// collected at a scrape, from the statuses.
type metrics struct {
	registry *prometheus.Registry

	starts, restarts, shared, empty, readErrors *prometheus.CounterVec
	exits, dropped, mended                      *prometheus.CounterVec
	startSeconds, readSeconds                   *prometheus.HistogramVec
	bytes, samples, room                        *prometheus.GaugeVec
	actors                                      *actorMetrics
}

func newMetrics(version string, statuses func() []*scrape.Status) *metrics {
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(
			prometheus.CounterOpts{Name: "stap_exporter_script_" + name, Help: help},
			append([]string{"script"}, labels...),
		)
	}
	gauge := func(name, help string) *prometheus.GaugeVec {
		return prometheus.NewGaugeVec(
			prometheus.GaugeOpts{Name: "stap_exporter_script_" + name, Help: help},
			[]string{"script"},
		)
	}
	m := &metrics{
		registry: prometheus.NewRegistry(),
		starts:   counter("starts_total", "Starts of the script."),
		restarts: counter("restarts_total", "Starts of an autostart script after it had ended."),
		exits: counter(
			"exits_total",
			"Ends of the script, by cause: stopped (by the exporter), ended (exit code 0), failed (another exit code), signal, error (it could not be started, or was not up in time).",
			"cause",
		),
		shared:     counter("requests_shared_total", "Requests that were answered with the read of another request."),
		empty:      counter("reads_empty_total", "Reads of the script's metrics that stayed empty."),
		readErrors: counter("reads_failed_total", "Reads of the script's metrics that failed or took too long."),
		dropped: counter(
			"lines_dropped_total",
			"Lines of the script's metrics that were left out since Prometheus would refuse the scrape for them, by reason.",
			"reason",
		),
		mended: counter("lines_mended_total", "What was put right in the script's metrics.", "what"),
		startSeconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "stap_exporter_script_start_duration_seconds",
			Help:    "Time from the start of the script to its metrics being there, by how: compiled, or loaded from the cache.",
			Buckets: []float64{0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 40, 80, 160, 320},
		}, []string{"script", "how"}),
		readSeconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "stap_exporter_script_read_duration_seconds", Help: "Time to read and check the script's metrics.",
			Buckets: []float64{0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1, 2.5, 10},
		}, []string{"script"}),
		bytes:   gauge("read_bytes", "Size of the last text that was read from the script."),
		samples: gauge("read_samples", "Samples in the last text that was read from the script."),
		room: gauge(
			"read_room_bytes",
			"Bytes that the last text could have been longer before SystemTap cuts it, and ends the script.",
		),
		actors: newActorMetrics(),
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
		m.starts,
		m.restarts,
		m.exits,
		m.shared,
		m.empty,
		m.readErrors,
		m.dropped,
		m.mended,
		m.startSeconds,
		m.readSeconds,
		m.bytes,
		m.samples,
		m.room,
		m.actors,
		newStatusCollector(statuses),
	)
	return m
}

// scriptMetrics are one script's, looked up once.
type scriptMetrics struct {
	m                                           *metrics
	name                                        string
	starts, restarts, shared, empty, readErrors prometheus.Counter
	exits                                       [scrape.EndCauses]prometheus.Counter
	readSeconds                                 prometheus.Observer
	bytes, samples, room                        prometheus.Gauge
}

// listener returns what counts the script's events. All its series are there
// from the beginning, so that a rate sees the first event.
func (m *metrics) listener(s script.Script) func(scrape.Event) {
	sm := &scriptMetrics{
		m:           m,
		name:        s.Name,
		starts:      m.starts.WithLabelValues(s.Name),
		restarts:    m.restarts.WithLabelValues(s.Name),
		shared:      m.shared.WithLabelValues(s.Name),
		empty:       m.empty.WithLabelValues(s.Name),
		readErrors:  m.readErrors.WithLabelValues(s.Name),
		readSeconds: m.readSeconds.WithLabelValues(s.Name),
		bytes:       m.bytes.WithLabelValues(s.Name),
		samples:     m.samples.WithLabelValues(s.Name),
		room:        m.room.WithLabelValues(s.Name),
	}
	for cause := range scrape.EndCauses {
		sm.exits[cause] = m.exits.WithLabelValues(s.Name, cause.String())
	}
	return sm.listen
}

// forget removes a script's series.
func (m *metrics) forget(name string) {
	label := prometheus.Labels{"script": name}
	for _, v := range []*prometheus.CounterVec{m.starts, m.restarts, m.exits, m.shared, m.empty, m.readErrors, m.dropped, m.mended} {
		v.DeletePartialMatch(label)
	}
	for _, v := range []*prometheus.GaugeVec{m.bytes, m.samples, m.room} {
		v.DeletePartialMatch(label)
	}
	m.startSeconds.DeletePartialMatch(label)
	m.readSeconds.DeletePartialMatch(label)
}

func (sm *scriptMetrics) listen(e scrape.Event) {
	switch e := e.(type) {
	case scrape.StateChanged:
		switch {
		case e.To == scrape.Starting:
			sm.starts.Inc()
			if e.Autostart && e.Run > 1 {
				sm.restarts.Inc()
			}
		case e.To == scrape.Running && e.From != e.To:
			how := "loaded"
			if e.Compiled {
				how = "compiled"
			}
			sm.m.startSeconds.WithLabelValues(sm.name, how).Observe(e.Took.Seconds())
		}
	case scrape.ChildEnded:
		sm.exits[e.End.Cause].Inc()
	case scrape.ReadEnded:
		sm.read(e)
	}
}

func (sm *scriptMetrics) read(e scrape.ReadEnded) {
	sm.readSeconds.Observe(e.Duration.Seconds())
	if e.Replies > 1 {
		sm.shared.Add(float64(e.Replies - 1))
	}
	if e.Err != nil || e.Expired {
		sm.readErrors.Inc()
		return
	}
	p := e.Page
	left, _ := p.Headroom()
	sm.bytes.Set(float64(p.Size))
	sm.samples.Set(float64(p.Samples))
	sm.room.Set(float64(left))
	if p.Size == 0 {
		sm.empty.Inc()
	}
	for _, r := range exposition.Reasons() {
		if n := p.Dropped[r]; n > 0 {
			sm.m.dropped.WithLabelValues(sm.name, r.String()).Add(float64(n))
		}
	}
	for _, w := range exposition.Repairs() {
		if n := p.Repaired[w]; n > 0 {
			sm.m.mended.WithLabelValues(sm.name, w.String()).Add(float64(n))
		}
	}
}

// statusCollector makes metrics of the published statuses, at each scrape.
type statusCollector struct {
	statuses                                                        func() []*scrape.Status
	state, up, requests, lastRequest, lastStart, cpu, memory, count *prometheus.Desc
	queued, crashLoop, quickEnds, holdOff                           *prometheus.Desc
}

func newStatusCollector(statuses func() []*scrape.Status) *statusCollector {
	desc := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc("stap_exporter_script_"+name, help, append([]string{"script"}, labels...), nil)
	}
	return &statusCollector{
		statuses: statuses,
		state:    desc("state", "1 for the state that the script is in, 0 for the others.", "state"),
		up:       desc("up", "1 while the script is running, 0 otherwise."),
		requests: desc("requests_total", "Requests for the script, by the HTTP code of the answer.", "code"),
		lastRequest: desc(
			"since_last_request_seconds",
			"Time since the last request for the script; not there before the first.",
		),
		lastStart: desc(
			"last_start_duration_seconds",
			"Time that the script's latest start took; not there before the first.",
		),
		crashLoop: desc(
			"crash_loop",
			"1 while the script is in a crash loop: at least five quick ends in a row; 0 otherwise.",
		),
		quickEnds: desc("quick_ends", "Ends of the script in a row, each before it was healthy for ten minutes."),
		holdOff:   desc("hold_off_seconds", "How long the script is held off in all, while it is; 0 otherwise."),
		cpu: desc(
			"cpu_seconds_total",
			"CPU time of the script's running processes; begins anew when the script is started.",
		),
		memory: desc("resident_memory_bytes", "Resident memory of the script's running processes."),
		queued: prometheus.NewDesc(
			"stap_exporter_starts_queued",
			"Scripts that wait for their turn to start, see --start.max-parallel.",
			nil,
			nil,
		),
		count: prometheus.NewDesc("stap_exporter_scripts", "Scripts in the folder.", nil, nil),
	}
}

// Describe says which metrics there are.
func (c *statusCollector) Describe(out chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{c.state, c.up, c.requests, c.lastRequest, c.lastStart, c.cpu, c.memory, c.count, c.queued, c.crashLoop, c.quickEnds, c.holdOff} {
		out <- d
	}
}

// Collect looks at all statuses, and at all processes for what the scripts'
// use.
func (c *statusCollector) Collect(out chan<- prometheus.Metric) {
	statuses := c.statuses()
	usage := stap.GroupUsage()
	now := time.Now()
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	gauge(c.count, float64(len(statuses)))
	queued := 0
	for _, st := range statuses {
		if st.QueuePosition > 0 {
			queued++
		}
	}
	gauge(c.queued, float64(queued))
	for _, st := range statuses {
		name := st.Script.Name
		for state := scrape.Idle; state <= scrape.Stopped; state++ {
			gauge(c.state, oneIf(st.State == state), name, state.String())
		}
		gauge(c.up, oneIf(st.State == scrape.Running), name)
		gauge(c.crashLoop, oneIf(st.CrashLoop), name)
		gauge(c.quickEnds, float64(st.ConsecutiveFailures), name)
		gauge(c.holdOff, st.Backoff.Seconds(), name)
		for i, code := range scrape.RequestCodes {
			out <- prometheus.MustNewConstMetric(c.requests, prometheus.CounterValue, float64(st.Requests.Total(i)), name, codeName(code))
		}
		if at, ok := st.Requests.Last(); ok {
			gauge(c.lastRequest, now.Sub(at).Seconds(), name)
		}
		if st.LastStart > 0 {
			gauge(c.lastStart, st.LastStart.Seconds(), name)
		}
		if u, ok := usage[st.OSPID]; ok && st.OSPID != 0 {
			out <- prometheus.MustNewConstMetric(c.cpu, prometheus.CounterValue, u.CPU.Seconds(), name)
			gauge(c.memory, float64(u.Resident), name)
		}
	}
}

func oneIf(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

func codeName(code int) string {
	// The codes are of three digits.
	return string([]byte{byte('0' + code/100), byte('0' + code/10%10), byte('0' + code%10)})
}
