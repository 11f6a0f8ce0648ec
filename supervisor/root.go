package supervisor

import (
	"fmt"
	"runtime/debug"

	"github.com/asynkron/protoactor-go/actor"
	"go.uber.org/zap"

	"stap-exporter/actors"
	"stap-exporter/internal/telemetry"
)

// rootActor owns the catalogue: it spawns the script actors and publishes the
// snapshot by which they are found.
type rootActor struct {
	scripts  []found // to begin with
	cfg      *actors.Config
	publish  func(*catalogue)
	recorder *telemetry.Recorder
	gate     *gate
	log      *zap.Logger

	entries    map[string]*entry // by script name
	names      map[string]string // script name by actor id
	refused    map[string]string // files that can be no scripts, with the reason
	generation uint64            // counts the actors that were spawned
}

// Receive handles changes of the catalogue. Requests do not come here.
func (r *rootActor) Receive(ctx actor.Context) {
	r.gate.Lock() // held by others for a moment only
	defer r.gate.Unlock()
	if r.gate.closed {
		return
	}
	switch m := ctx.Message().(type) {
	case *actor.Started:
		r.spawnAll(ctx)
	case catalogueScanned:
		r.scanned(ctx, m)
	case *actor.Terminated:
		r.stopped(ctx, m.Who)
	}
}

// spawnAll publishes what it has spawned even when it panics, so that Shutdown
// finds it.
func (r *rootActor) spawnAll(ctx actor.Context) {
	defer func() { r.publish(r.snapshot()) }()
	for _, f := range r.scripts {
		r.spawn(ctx, f)
	}
}

// restartAlways is the strategy for the script actors: one for one, at once.
// The reborn actor itself holds off before it starts its child again, and
// answers meanwhile.
type restartAlways struct{ metrics *telemetry.ActorMetrics }

// HandleFailure restarts the child that failed, alone.
func (r restartAlways) HandleFailure(
	_ *actor.ActorSystem,
	parent actor.Supervisor,
	child *actor.PID,
	_ *actor.RestartStatistics,
	reason, _ any,
) {
	why := telemetry.FailureBug
	if actors.ChildEndedFailure(reason) {
		why = telemetry.FailureChildEnded
	}
	r.metrics.Failed(telemetry.ScriptActor, why)
	r.metrics.Restarted(telemetry.ScriptActor)
	parent.RestartChildren(child)
}

// neverRestart is the strategy for the root: a restart would respawn every
// script actor, and their children would be orphans. It leaves the root
// suspended and says so.
type neverRestart struct {
	fatal   chan<- error
	metrics *telemetry.ActorMetrics
	log     *zap.Logger
}

// HandleFailure reports the failure.
func (n *neverRestart) HandleFailure(
	_ *actor.ActorSystem,
	_ actor.Supervisor,
	_ *actor.PID,
	_ *actor.RestartStatistics,
	reason, _ any,
) {
	n.metrics.Failed(telemetry.RootActor, telemetry.FailureBug)
	n.log.Error("root actor failed", zap.Any("error", reason), zap.ByteString("stack", debug.Stack()))
	select {
	case n.fatal <- fmt.Errorf("root actor failed: %v", reason):
	default:
	}
}
