package supervisor

import (
	"fmt"
	"runtime/debug"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"go.uber.org/zap"

	"stap-exporter/actors"
	"stap-exporter/internal/telemetry"
)

// dormantMessage is logged when an actor is dormant until its back-off is over.
const dormantMessage = "script actor fails repeatedly, waiting for its back-off"

var _ actor.SupervisorStrategy = (*rootActor)(nil)

// HandleFailure is the strategy for the script actors: the actor that failed is
// restarted, alone and at once. No mailbox is suspended while a back-off lasts.
// How long that is, and whether the next incarnation is dormant meanwhile, is
// counted here, and reaches it through its producer; see actors.Failures.
// It runs in the root's goroutine, also when the root has failed.
func (r *rootActor) HandleFailure(
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
	r.recorder.Actors.Failed(telemetry.ScriptActor, why)
	if e := r.entries[r.names[child.Id]]; e != nil {
		now := r.cfg.Clock.Now()
		e.failures.ActorFailed(now, reason)
		if e.failures.Dormant() {
			r.log.Error(
				dormantMessage,
				zap.String("script", e.Name),
				zap.Duration("retry_in", e.failures.RetryAt().Sub(now).Round(time.Millisecond)),
				zap.Any("error", reason),
			)
		}
	}
	r.recorder.Actors.Restarted(telemetry.ScriptActor)
	parent.RestartChildren(child)
}

// neverRestart is the strategy for the root: a restart would spawn every script
// actor again, beside the children of those before. It leaves the root
// suspended, with the catalogue as it is.
type neverRestart struct {
	root   *rootActor
	failed chan<- struct{} // closed when the catalogue is final
	fatal  chan<- error
	log    *zap.Logger
}

// HandleFailure reports the failure. It runs in the root's goroutine.
func (n *neverRestart) HandleFailure(
	_ *actor.ActorSystem,
	_ actor.Supervisor,
	_ *actor.PID,
	_ *actor.RestartStatistics,
	reason, _ any,
) {
	n.root.recorder.Actors.Failed(telemetry.RootActor, telemetry.FailureBug)
	n.log.Error("root actor failed", zap.Any("error", reason), zap.ByteString("stack", debug.Stack()))
	select {
	case n.fatal <- fmt.Errorf("root actor failed: %v", reason):
		n.root.frozen = true
		close(n.failed)
	default: // not for the first time
	}
}
