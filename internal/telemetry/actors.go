package telemetry

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// ActorKind is the label kind of the metrics of actors.
type ActorKind string

// The kinds.
const (
	RootActor   ActorKind = "root"
	ScriptActor ActorKind = "script"
)

// FailureReason is the label reason of the failures of actors.
type FailureReason string

// The reasons.
const (
	FailureChildEnded FailureReason = "child-ended" // of an autostart script, as intended
	FailureBug        FailureReason = "bug"
)

// ReceiveSample is how many messages of an actor there are for each one that is
// timed. Reading the clock costs more than handling a message.
const ReceiveSample = 16

// ActorMetrics are the metrics of the actors themselves. The supervisor counts
// in them. Its methods may be called from any goroutine, and allocate nothing.
type ActorMetrics struct {
	spawns, restarts, failures *prometheus.CounterVec
	receive                    prometheus.Histogram
	deadLetters                prometheus.Counter
}

func newActorMetrics() *ActorMetrics {
	vec := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: "stap_exporter_actor_" + name, Help: help}, labels)
	}
	a := &ActorMetrics{
		spawns:   vec("spawns_total", "Actors that were spawned, by kind: root or script.", "kind"),
		restarts: vec("restarts_total", "Actors that were restarted after a failure, by kind.", "kind"),
		failures: vec(
			"failures_total",
			"Failures of actors, by kind and reason: child-ended (an autostart script's, as intended) or bug.",
			"kind",
			"reason",
		),
		receive: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name:    "stap_exporter_actor_receive_duration_seconds",
			Help:    "Time that a script actor needs for a message; one in 16 is timed.",
			Buckets: prometheus.ExponentialBuckets(1e-7, 4, 12),
		}),
		deadLetters: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "stap_exporter_actor_dead_letters_total",
			Help: "Messages to actors that were gone.",
		}),
	}
	// All series exist from the beginning, so that a rate sees the first event.
	for _, kind := range []ActorKind{RootActor, ScriptActor} {
		a.spawns.WithLabelValues(string(kind))
		a.restarts.WithLabelValues(string(kind))
		a.failures.WithLabelValues(string(kind), string(FailureBug))
	}
	a.failures.WithLabelValues(string(ScriptActor), string(FailureChildEnded))
	return a
}

// Spawned counts an actor that was spawned.
func (a *ActorMetrics) Spawned(kind ActorKind) { a.spawns.WithLabelValues(string(kind)).Inc() }

// Restarted counts a restart after a failure.
func (a *ActorMetrics) Restarted(kind ActorKind) { a.restarts.WithLabelValues(string(kind)).Inc() }

// Failed counts a failure.
func (a *ActorMetrics) Failed(kind ActorKind, reason FailureReason) {
	a.failures.WithLabelValues(string(kind), string(reason)).Inc()
}

// Received records how long a script actor needed for a message, of one in
// ReceiveSample messages.
func (a *ActorMetrics) Received(d time.Duration) { a.receive.Observe(d.Seconds()) }

// DeadLetter counts a message to an actor that is gone.
func (a *ActorMetrics) DeadLetter() { a.deadLetters.Inc() }

// Describe implements prometheus.Collector.
func (a *ActorMetrics) Describe(out chan<- *prometheus.Desc) {
	for _, c := range a.collectors() {
		c.Describe(out)
	}
}

// Collect implements prometheus.Collector.
func (a *ActorMetrics) Collect(out chan<- prometheus.Metric) {
	for _, c := range a.collectors() {
		c.Collect(out)
	}
}

func (a *ActorMetrics) collectors() []prometheus.Collector {
	return []prometheus.Collector{a.spawns, a.restarts, a.failures, a.receive, a.deadLetters}
}
