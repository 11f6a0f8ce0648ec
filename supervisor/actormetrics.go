package supervisor

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"github.com/prometheus/client_golang/prometheus"

	"stap-exporter/actors"
)

// sampled is how many messages of an actor there are for each one that is
// timed: reading the clock costs more than handling a message.
const sampled = 16

// actorMetrics are the metrics of the actors themselves, fed by hooks in the
// mailbox, by what wraps Receive, and by the event stream. They cost a few
// atomic additions a message, and no allocation.
type actorMetrics struct {
	spawns, restarts *prometheus.CounterVec
	failures         *prometheus.CounterVec
	messages         *prometheus.CounterVec
	receive, wait    prometheus.Histogram
	deadLetters      prometheus.Counter
	depthDesc        *prometheus.Desc
	byType           [len(messageTypes)]prometheus.Counter

	mu     sync.Mutex // mailboxes come and go with scripts
	meters map[string]*mailboxMeter
}

// messageTypes are the values of the label type, in the order of typeOf.
var messageTypes = [...]string{
	"ReadMetrics",
	"ReadFinished",
	"ReadExpired",
	"ProcessProgressed",
	"ProcessReady",
	"ProcessExited",
	"KeepaliveExpired",
	"HoldOffExpired",
	"Shutdown",
	"KillChild",
	"lifecycle",
	"ReadDue",
	"ReplaceScript",
	"TrialEnded",
	"StartNow",
	"StopNow",
	"RestartNow",
	"AskerLeft",
	"RunProvedHealthy",
	"other",
}

func typeOf(m any) int {
	switch m.(type) {
	case *actors.ReadMetrics:
		return 0
	case actors.ReadFinished:
		return 1
	case actors.ReadExpired:
		return 2
	case actors.ProcessProgressed:
		return 3
	case actors.ProcessReady:
		return 4
	case actors.ProcessExited:
		return 5
	case actors.KeepaliveExpired:
		return 6
	case actors.BackoffExpired:
		return 7
	case actors.Shutdown:
		return 8
	case actors.KillChild:
		return 9
	case actor.SystemMessage, actor.AutoReceiveMessage:
		return 10
	case actors.ReadDue:
		return 11
	case actors.ReplaceScript:
		return 12
	case actors.ValidationEnded:
		return 13
	case actors.StartNow:
		return 14
	case actors.StopNow:
		return 15
	case actors.RestartNow:
		return 16
	case actors.RequesterLeft:
		return 17
	case actors.RunProvedHealthy:
		return 18
	default:
		return 19
	}
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
		messages: vec("messages_total", "Messages that script actors handled, by type.", "type"),
		receive: prometheus.NewHistogram(
			prometheus.HistogramOpts{
				Name:    "stap_exporter_actor_receive_duration_seconds",
				Help:    "Time that a script actor needs for a message; one in 16 is timed.",
				Buckets: prometheus.ExponentialBuckets(1e-7, 4, 12),
			},
		),
		wait: prometheus.NewHistogram(
			prometheus.HistogramOpts{
				Name:    "stap_exporter_actor_mailbox_wait_seconds",
				Help:    "Time that a request waits in a script actor's mailbox; one in 16 is timed.",
				Buckets: prometheus.ExponentialBuckets(1e-6, 4, 12),
			},
		),
		deadLetters: prometheus.NewCounter(
			prometheus.CounterOpts{
				Name: "stap_exporter_actor_dead_letters_total",
				Help: "Messages to actors that were gone.",
			},
		),
		depthDesc: prometheus.NewDesc(
			"stap_exporter_actor_mailbox_messages",
			"Messages that wait in a script actor's mailbox.",
			[]string{"script"},
			nil,
		),
		meters: map[string]*mailboxMeter{},
	}
	for i, t := range messageTypes {
		a.byType[i] = a.messages.WithLabelValues(t)
	}
	for _, kind := range []string{"root", "script"} {
		a.spawns.WithLabelValues(kind)
		a.restarts.WithLabelValues(kind)
		a.failures.WithLabelValues(kind, "bug")
	}
	a.failures.WithLabelValues("script", "child-ended")
	return a
}

// Describe and Collect make one collector of all of them.
func (a *actorMetrics) Describe(out chan<- *prometheus.Desc) {
	for _, c := range a.parts() {
		c.Describe(out)
	}
	out <- a.depthDesc
}

// Collect looks into the mailboxes.
func (a *actorMetrics) Collect(out chan<- prometheus.Metric) {
	for _, c := range a.parts() {
		c.Collect(out)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	for name, m := range a.meters {
		out <- prometheus.MustNewConstMetric(a.depthDesc, prometheus.GaugeValue, float64(m.depth()), name)
	}
}

func (a *actorMetrics) parts() []prometheus.Collector {
	return []prometheus.Collector{a.spawns, a.restarts, a.failures, a.messages, a.receive, a.wait, a.deadLetters}
}

// countDeadLetters counts messages to actors that are gone.
func (a *actorMetrics) countDeadLetters(system *actor.ActorSystem) {
	system.EventStream.Subscribe(func(e any) {
		if _, ok := e.(*actor.DeadLetterEvent); ok {
			a.deadLetters.Inc()
		}
	})
}

// decorate gives a script's actor a mailbox with hooks, and wraps what receives
// its messages.
func (a *actorMetrics) decorate(name string) (wrap func(actor.Actor) actor.Actor, mailbox actor.MailboxProducer) {
	m := &mailboxMeter{}
	a.mu.Lock()
	a.meters[name] = m
	a.mu.Unlock()
	a.spawns.WithLabelValues("script").Inc()
	wrap = func(next actor.Actor) actor.Actor { return &measured{all: a, box: m, next: next} }
	mailbox = func() actor.Mailbox {
		box := actor.Unbounded(m)()
		m.box.Store(&box)
		return box
	}
	return wrap, mailbox
}

func (a *actorMetrics) forget(name string) {
	a.mu.Lock()
	delete(a.meters, name)
	a.mu.Unlock()
}

// measured is the receiver middleware: protoactor's own would allocate an
// envelope for each message. It lives as long as the incarnation in it, in its
// goroutine.
type measured struct {
	all  *actorMetrics
	box  *mailboxMeter
	next actor.Actor
	n    uint
}

// Receive counts the message, times one in 16, and hands it on.
func (r *measured) Receive(ctx actor.Context) {
	message := ctx.Message()
	r.all.byType[typeOf(message)].Inc()
	if request, ok := message.(*actors.ReadMetrics); ok {
		if t := r.box.timed.Load(); t != nil && t.request == request && r.box.timed.CompareAndSwap(t, nil) {
			r.all.wait.Observe(time.Since(t.posted).Seconds())
		}
	}
	r.n++
	if r.n%sampled != 0 {
		r.next.Receive(ctx)
		return
	}
	begun := time.Now()
	r.next.Receive(ctx)
	r.all.receive.Observe(time.Since(begun).Seconds())
}

// mailboxMeter hooks into one actor's mailbox.
type mailboxMeter struct {
	box   atomic.Pointer[actor.Mailbox]
	sent  atomic.Uint64
	timed atomic.Pointer[timedRequest] // the request that is being timed, one at a time
}

type timedRequest struct {
	request *actors.ReadMetrics
	posted  time.Time
}

func (m *mailboxMeter) depth() int {
	if box := m.box.Load(); box != nil {
		return (*box).UserMessageCount()
	}
	return 0
}

// MailboxStarted is of no interest.
func (m *mailboxMeter) MailboxStarted() {}

// MailboxEmpty is of no interest.
func (m *mailboxMeter) MailboxEmpty() {}

// MessageReceived is of no interest: it is not called for a message that
// panics.
func (m *mailboxMeter) MessageReceived(any) {}

// MessagePosted times one request in 16. It is called by whoever sends.
func (m *mailboxMeter) MessagePosted(message any) {
	r, ok := message.(*actors.ReadMetrics)
	if !ok || m.sent.Add(1)%sampled != 0 {
		return
	}
	m.timed.Store(&timedRequest{r, time.Now()})
}
