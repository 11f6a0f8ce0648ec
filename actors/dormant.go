package actors

import (
	"fmt"

	"github.com/asynkron/protoactor-go/actor"

	"stap-exporter/internal/scrape"
)

// becomeDormant waits for the end of the back-off after too many bugs in a row.
// The state is backing-off, with a receive function of its own that recovers
// from every panic: what failed before may fail again at each message. Meanwhile
// Handle.Ask answers from the published status.
func (a *scriptActor) becomeDormant() {
	d := a.durable
	a.behavior.Become(a.dormant)
	a.guarded(func() { a.become(scrape.BackingOff, a.dormant, scrape.CauseRestarted) })
	a.guarded(func() { a.armBackoff(a.failures.retryAt.Sub(a.cfg.Clock.Now())) })
	a.guarded(func() {
		if d.run.process == nil {
			a.takePending()
			return
		}
		d.run.process.Stop(a.endRead())
		if d.killed {
			d.run.process.Kill()
		}
	})
	a.endDormant()
}

// dormant: the child is told to end, if there is one, and none is started.
func (a *scriptActor) dormant(ctx actor.Context) {
	switch m := ctx.Message().(type) {
	case BackoffExpired:
		if m.Timer == a.timer && !a.durable.shutdown {
			a.wake(ctx)
		}
	case ReplaceScript, StartNow, StopNow, RestartNow:
		if !a.durable.shutdown {
			a.wake(ctx)
		}
	default:
		a.guarded(func() { a.whileDormant(ctx) })
		a.endDormant()
	}
}

// wake lets the actor handle a message as after any failure.
func (a *scriptActor) wake(ctx actor.Context) {
	a.failures.dormant = false
	if a.durable.run.process != nil {
		a.becomeStopping(scrape.CauseRestarted)
	} else {
		a.takePending()
		a.behavior.Become(a.backingOff)
	}
	a.behavior.Receive(ctx)
}

// whileDormant handles what does not wake the actor.
func (a *scriptActor) whileDormant(ctx actor.Context) {
	switch m := ctx.Message().(type) {
	case *ReadMetrics: // it was in the mailbox
		a.refuse(m, dormantError(a.durable.reason))
	case ProcessExited:
		a.reap(m)
	case Shutdown:
		a.noteShutdown(m)
	default:
		a.anyState(ctx)
	}
}

// endDormant is the end after Shutdown, when there is no child any more.
func (a *scriptActor) endDormant() {
	d := a.durable
	if !d.shutdown || d.run.process != nil || d.update.validation != nil {
		return
	}
	a.disarm()
	a.guarded(func() { a.become(scrape.Stopped, a.stopped, a.endCause()) })
	a.guarded(a.reportEnd)
}

// dormantError is what requests get from a dormant actor.
func dormantError(reason string) error { return fmt.Errorf("%w: %s", scrape.ErrInternal, reason) }
