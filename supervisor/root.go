package supervisor

import (
	"fmt"
	"runtime/debug"

	"github.com/asynkron/protoactor-go/actor"
	"go.uber.org/zap"

	"stap-exporter/actors"
	"stap-exporter/internal/script"
)

// rootActor owns the catalogue: it spawns the script actors and publishes the snapshot by which they are found.
type rootActor struct {
	scripts []script.Script
	cfg     *actors.Config
	publish func(*catalogue)
	log     *zap.Logger
}

// Receive handles the root's lifecycle. Requests do not come here.
func (r *rootActor) Receive(ctx actor.Context) {
	switch ctx.Message().(type) {
	case *actor.Started:
		r.spawnAll(ctx)
	}
}

// spawnAll publishes what it has spawned even when it panics, so that Shutdown finds it.
func (r *rootActor) spawnAll(ctx actor.Context) {
	c := &catalogue{byName: make(map[string]*actors.Handle, len(r.scripts))}
	defer func() { r.publish(c) }()
	for _, s := range r.scripts {
		h, err := actors.Spawn(ctx, r.cfg, s)
		if err != nil {
			r.log.Error("script refused", zap.String("script", s.Name), zap.Error(err))
			continue
		}
		c.byName[s.Name] = h
		c.sorted = append(c.sorted, h)
	}
}

// restartAlways is the strategy for the script actors: one for one, at once. The reborn actor itself holds off before it starts its child again, and answers meanwhile.
type restartAlways struct{ metrics *actorMetrics }

// HandleFailure restarts the child that failed, alone.
func (r restartAlways) HandleFailure(_ *actor.ActorSystem, parent actor.Supervisor, child *actor.PID, _ *actor.RestartStatistics, reason, _ any) {
	why := "bug"
	if actors.ChildEndedFailure(reason) {
		why = "child-ended"
	}
	r.metrics.failures.WithLabelValues("script", why).Inc()
	r.metrics.restarts.WithLabelValues("script").Inc()
	parent.RestartChildren(child)
}

// neverRestart is the strategy for the root: a restart would respawn every script actor, and their children would be orphans. It leaves the root suspended and says so.
type neverRestart struct {
	fatal chan<- error
	log   *zap.Logger
}

// HandleFailure reports the failure.
func (n *neverRestart) HandleFailure(_ *actor.ActorSystem, _ actor.Supervisor, _ *actor.PID, _ *actor.RestartStatistics, reason, _ any) {
	n.log.Error("root actor failed", zap.Any("error", reason), zap.ByteString("stack", debug.Stack()))
	select {
	case n.fatal <- fmt.Errorf("root actor failed: %v", reason):
	default:
	}
}
