package supervisor

import (
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"github.com/prometheus/client_golang/prometheus"
)

// sampled is how many messages of an actor there are for each one that is
// timed: reading the clock costs more than handling a message.
const sampled = 16

// actorMetrics are the metrics of the actors themselves. They cost one addition
// a message, and no allocation.
type actorMetrics struct {
	spawns, restarts *prometheus.CounterVec
	failures         *prometheus.CounterVec
	receive          prometheus.Histogram
	deadLetters      prometheus.Counter
}

func newActorMetrics() *actorMetrics {
	vec := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: "stap_exporter_actor_" + name, Help: help}, labels)
	}
	a := &actorMetrics{
		spawns:   vec("spawns_total", "Actors that were spawned, by kind: root or script.", "kind"),
		restarts: vec("restarts_total", "Actors that were restarted after a failure, by kind.", "kind"),
		failures: vec(
			"failures_total",
			"Failures of actors, by kind and reason: child-ended (an autostart script's, as it should be) or bug.",
			"kind",
			"reason",
		),
		receive: prometheus.NewHistogram(
			prometheus.HistogramOpts{
				Name:    "stap_exporter_actor_receive_duration_seconds",
				Help:    "Time that a script actor needs for a message; one in 16 is timed.",
				Buckets: prometheus.ExponentialBuckets(1e-7, 4, 12),
			},
		),
		deadLetters: prometheus.NewCounter(
			prometheus.CounterOpts{
				Name: "stap_exporter_actor_dead_letters_total",
				Help: "Messages to actors that were gone.",
			},
		),
	}
	for _, kind := range []string{"root", "script"} {
		a.spawns.WithLabelValues(kind)
		a.restarts.WithLabelValues(kind)
		a.failures.WithLabelValues(kind, "bug")
	}
	a.failures.WithLabelValues("script", "child-ended")
	return a
}

// Describe implements prometheus.Collector.
func (a *actorMetrics) Describe(out chan<- *prometheus.Desc) {
	for _, c := range a.parts() {
		c.Describe(out)
	}
}

// Collect implements prometheus.Collector.
func (a *actorMetrics) Collect(out chan<- prometheus.Metric) {
	for _, c := range a.parts() {
		c.Collect(out)
	}
}

func (a *actorMetrics) parts() []prometheus.Collector {
	return []prometheus.Collector{a.spawns, a.restarts, a.failures, a.receive, a.deadLetters}
}

// countDeadLetters counts messages to actors that are gone.
func (a *actorMetrics) countDeadLetters(system *actor.ActorSystem) {
	system.EventStream.Subscribe(func(e any) {
		if _, ok := e.(*actor.DeadLetterEvent); ok {
			a.deadLetters.Inc()
		}
	})
}

// timed wraps an incarnation of a script's actor.
func (a *actorMetrics) timed(next actor.Actor) actor.Actor {
	return &timedActor{next: next, seconds: a.receive}
}

// timedActor times one message in 16 of the actor in it. It is used in that
// actor's goroutine. A receiver middleware of protoactor-go would do the same,
// but costs an allocation for each message.
type timedActor struct {
	next    actor.Actor
	seconds prometheus.Observer
	count   uint
}

// Receive hands the message on.
func (t *timedActor) Receive(ctx actor.Context) {
	t.count++
	if t.count%sampled != 0 {
		t.next.Receive(ctx)
		return
	}
	begun := time.Now()
	t.next.Receive(ctx)
	t.seconds.Observe(time.Since(begun).Seconds())
}
