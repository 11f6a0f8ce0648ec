package telemetry

import (
	"strconv"

	"github.com/prometheus/client_golang/prometheus"

	"stap-exporter/internal/scrape"
)

// statusCollector makes metrics of the scripts' statuses and of what their
// processes use, at each scrape.
type statusCollector struct {
	statuses func() []*scrape.Status
	usage    UsageFunc

	scripts, queued                         *prometheus.Desc
	state, up, requests, lastRequest        *prometheus.Desc
	crashLoop, consecutiveFailures, backoff *prometheus.Desc
	lastStart, cpu, memory                  *prometheus.Desc
}

func newStatusCollector(statuses func() []*scrape.Status, usage UsageFunc) *statusCollector {
	desc := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc("stap_exporter_script_"+name, help, append([]string{"script"}, labels...), nil)
	}
	return &statusCollector{
		statuses: statuses,
		usage:    usage,
		scripts:  prometheus.NewDesc("stap_exporter_scripts", "Scripts in the script directory.", nil, nil),
		queued: prometheus.NewDesc(
			"stap_exporter_starts_queued",
			"Scripts that wait in the start queue, see --script.max-parallel-starts.",
			nil,
			nil,
		),
		state:    desc("state", "1 for the state that the script is in, 0 for the others.", "state"),
		up:       desc("up", "1 while the script is running, 0 otherwise."),
		requests: desc("requests_total", "Requests for the script, by the HTTP code of the answer.", "code"),
		lastRequest: desc(
			"last_request_timestamp_seconds",
			"Time of the last request for the script, in seconds since the Unix epoch; absent before the first.",
		),
		crashLoop: desc(
			"crash_loop",
			"1 while the script is in a crash loop: at least five consecutive failures; 0 otherwise.",
		),
		consecutiveFailures: desc(
			"consecutive_failures",
			"Consecutive failures: ends of the script before it was healthy for ten minutes.",
		),
		backoff: desc(
			"backoff_seconds",
			"Length of the back-off that the script is in; 0 otherwise.",
		),
		lastStart: desc(
			"last_start_duration_seconds",
			"Time that the script's latest start took; absent before the first.",
		),
		cpu: desc(
			"cpu_seconds_total",
			"CPU time of the script's running processes; starts at zero with each run.",
		),
		memory: desc("resident_memory_bytes", "Resident memory of the script's running processes."),
	}
}

// Describe implements prometheus.Collector.
func (c *statusCollector) Describe(out chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{
		c.scripts,
		c.queued,
		c.state,
		c.up,
		c.requests,
		c.lastRequest,
		c.crashLoop,
		c.consecutiveFailures,
		c.backoff,
		c.lastStart,
		c.cpu,
		c.memory,
	} {
		out <- d
	}
}

// Collect implements prometheus.Collector. It may take as long as a scan of all
// processes.
func (c *statusCollector) Collect(out chan<- prometheus.Metric) {
	statuses, usage := c.statuses(), c.usage()
	queued := 0
	for _, st := range statuses {
		if st.QueuePosition > 0 {
			queued++
		}
		c.script(out, st)
		if st.OSPID == 0 {
			continue
		}
		if u, ok := usage(st.OSPID); ok {
			name := st.Script.Name
			out <- prometheus.MustNewConstMetric(c.cpu, prometheus.CounterValue, u.CPU.Seconds(), name)
			out <- prometheus.MustNewConstMetric(c.memory, prometheus.GaugeValue, float64(u.Resident), name)
		}
	}
	out <- prometheus.MustNewConstMetric(c.scripts, prometheus.GaugeValue, float64(len(statuses)))
	out <- prometheus.MustNewConstMetric(c.queued, prometheus.GaugeValue, float64(queued))
}

// script collects what the status of one script has.
func (c *statusCollector) script(out chan<- prometheus.Metric, st *scrape.Status) {
	name := st.Script.Name
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, append([]string{name}, labels...)...)
	}
	for state := scrape.Idle; state <= scrape.Stopped; state++ {
		gauge(c.state, oneIf(st.State == state), state.String())
	}
	gauge(c.up, oneIf(st.State == scrape.Running))
	gauge(c.crashLoop, oneIf(st.CrashLoop))
	gauge(c.consecutiveFailures, float64(st.ConsecutiveFailures))
	gauge(c.backoff, st.Backoff.Seconds())
	for i, code := range scrape.RequestCodes {
		n := float64(st.Requests.Total(i))
		out <- prometheus.MustNewConstMetric(c.requests, prometheus.CounterValue, n, name, strconv.Itoa(code))
	}
	if at, ok := st.Requests.Last(); ok {
		gauge(c.lastRequest, float64(at.UnixNano())/1e9)
	}
	if st.LastStart > 0 {
		gauge(c.lastStart, st.LastStart.Seconds())
	}
}

func oneIf(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
