package supervisor

import (
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"stap-exporter/internal/telemetry"
)

// timedActor times one in telemetry.ReceiveSample messages of the actor in it.
// It is used in that actor's goroutine. A receiver middleware of protoactor-go
// would do the same, but costs an allocation for each message.
type timedActor struct {
	next    actor.Actor
	metrics *telemetry.ActorMetrics
	count   uint
}

// Receive hands the message on to the actor.
func (t *timedActor) Receive(ctx actor.Context) {
	t.count++
	if t.count%telemetry.ReceiveSample != 0 {
		t.next.Receive(ctx)
		return
	}
	begun := time.Now()
	t.next.Receive(ctx)
	t.metrics.Received(time.Since(begun))
}

// countDeadLetters counts the messages to actors that are gone.
func countDeadLetters(system *actor.ActorSystem, metrics *telemetry.ActorMetrics) {
	system.EventStream.Subscribe(func(e any) {
		if _, ok := e.(*actor.DeadLetterEvent); ok {
			metrics.DeadLetter()
		}
	})
}
