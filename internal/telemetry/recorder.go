package telemetry

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"stap-exporter/internal/scrape"
)

// Config is what a Recorder needs.
type Config struct {
	Version  string                  // for build_info
	Statuses func() []*scrape.Status // of all scripts, at each scrape
	Usage    UsageFunc
	Logger   *zap.Logger
}

// Usage is what the living processes of a script use.
type Usage struct {
	CPU      time.Duration // user and system time
	Resident uint64        // bytes
}

// UsageFunc is called once for each scrape. What it returns finds the Usage of
// the script whose child has that process id; false if there is none.
type UsageFunc func() func(osPID int) (Usage, bool)

// Recorder records the events of all scripts: in the metrics, in the log, and
// in the list of the last events. Its methods may be called from any goroutine.
type Recorder struct {
	Actors *ActorMetrics

	log     *zap.Logger
	metrics *metrics
	events  eventRing
}

// New returns a Recorder with a registry of its own.
func New(cfg Config) *Recorder {
	r := &Recorder{Actors: newActorMetrics(), log: cfg.Logger}
	r.metrics = newMetrics(cfg.Version)
	r.metrics.registry.MustRegister(r.Actors, newStatusCollector(cfg.Statuses, cfg.Usage))
	return r
}

// Listener returns what records the events of the script called name. It must
// not be called by two goroutines at the same time.
func (r *Recorder) Listener(name string) func(scrape.Event) {
	log, metrics := newScriptLog(r.log, name), r.metrics.script(name)
	return func(e scrape.Event) {
		log.record(e)
		metrics.record(e)
		r.events.record(e)
	}
}

// Forget removes the series of the script called name.
func (r *Recorder) Forget(name string) { r.metrics.forget(name) }

// Gatherer gives the exporter's own metrics.
func (r *Recorder) Gatherer() prometheus.Gatherer { return r.metrics.registry }

// Events returns the last events of all scripts, the oldest first: at most
// 1,000.
func (r *Recorder) Events() []Event { return r.events.list() }
