package telemetry

import (
	"github.com/prometheus/client_golang/prometheus"

	"stap-exporter/internal/exposition"
	"stap-exporter/internal/scrape"
)

// scriptMetrics are the series of one script.
type scriptMetrics struct {
	all                                         *metrics
	name                                        string
	starts, restarts, shared, empty, readErrors prometheus.Counter
	exits                                       [scrape.EndCauses]prometheus.Counter
	readSeconds                                 prometheus.Observer
	bytes, samples, headroom                    prometheus.Gauge
}

// script returns the series of a script. All but those of lines and of the kinds
// of a start exist from now on, so that a rate sees the first event.
func (m *metrics) script(name string) *scriptMetrics {
	s := &scriptMetrics{
		all:         m,
		name:        name,
		starts:      m.starts.WithLabelValues(name),
		restarts:    m.restarts.WithLabelValues(name),
		shared:      m.shared.WithLabelValues(name),
		empty:       m.empty.WithLabelValues(name),
		readErrors:  m.readErrors.WithLabelValues(name),
		readSeconds: m.readSeconds.WithLabelValues(name),
		bytes:       m.bytes.WithLabelValues(name),
		samples:     m.samples.WithLabelValues(name),
		headroom:    m.headroom.WithLabelValues(name),
	}
	for cause := range scrape.EndCauses {
		s.exits[cause] = m.exits.WithLabelValues(name, cause.String())
	}
	return s
}

func (s *scriptMetrics) record(e scrape.Event) {
	switch e := e.(type) {
	case scrape.StateChanged:
		s.stateChanged(e)
	case scrape.ChildEnded:
		s.exits[e.End.Cause].Inc()
	case scrape.ReadEnded:
		s.readEnded(e)
	}
}

func (s *scriptMetrics) stateChanged(e scrape.StateChanged) {
	switch {
	case e.To == scrape.Starting:
		s.starts.Inc()
		if e.Autostart && e.Run > 1 {
			s.restarts.Inc()
		}
	case e.To == scrape.Running && e.From != e.To:
		kind := "loaded"
		if e.Compiled {
			kind = "compiled"
		}
		s.all.startSeconds.WithLabelValues(s.name, kind).Observe(e.Took.Seconds())
	}
}

func (s *scriptMetrics) readEnded(e scrape.ReadEnded) {
	s.readSeconds.Observe(e.Duration.Seconds())
	if e.Replies > 1 {
		s.shared.Add(float64(e.Replies - 1))
	}
	if e.Err != nil || e.Expired {
		s.readErrors.Inc()
		return
	}
	p := e.Page
	headroom, _ := p.Headroom()
	s.bytes.Set(float64(p.Size))
	s.samples.Set(float64(p.Samples))
	s.headroom.Set(float64(headroom))
	if p.Size == 0 {
		s.empty.Inc()
	}
	for _, r := range exposition.Reasons() {
		if n := p.Dropped[r]; n > 0 {
			s.all.dropped.WithLabelValues(s.name, r.String()).Add(float64(n))
		}
	}
	for _, r := range exposition.Repairs() {
		if n := p.Repaired[r]; n > 0 {
			s.all.repaired.WithLabelValues(s.name, r.String()).Add(float64(n))
		}
	}
}
