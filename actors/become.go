package actors

import (
	"fmt"
	"slices"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"stap-exporter/internal/scrape"
)

// become is the only place that sets the state and its receive function.
func (a *scriptActor) become(to scrape.State, receive actor.ReceiveFunc, cause scrape.Cause) {
	from := a.durable.status.Load().State
	if !a.since.IsZero() && !slices.Contains(transitions[from], to) {
		panic(fmt.Sprintf("no transition from %s to %s (%s)", from, to, cause))
	}
	a.behavior.Become(receive)
	a.state, a.since = to, a.cfg.Clock.Now()
	a.progress = ProcessProgressed{OSPID: a.progress.OSPID, Output: a.progress.Output}
	if to != scrape.Running {
		a.reader.source = nil
	}
	a.publish()
	e := scrape.StateChanged{
		Time:      a.since,
		Script:    a.durable.script.Name,
		Autostart: a.durable.script.Autostart,
		From:      from,
		To:        to,
		Cause:     cause,
		Run:       a.durable.run.number,
		OSPID:     a.progress.OSPID,
		RetryAt:   a.retryAt(),
		Reason:    a.durable.reason,
	}
	if to == scrape.Running {
		e.Took, e.Compiled = a.durable.lastStart.took, a.durable.lastStart.compiled
	}
	a.durable.listen(e)
}

// publish makes the actor's status visible to all goroutines.
func (a *scriptActor) publish() {
	d := a.durable
	backoff := time.Duration(0)
	if a.state == scrape.BackingOff {
		backoff = a.failures.backoff
	}
	d.status.Store(&scrape.Status{
		Script:              d.script,
		State:               a.state,
		Since:               a.since,
		Activity:            a.progress.Activity,
		RetryAt:             a.retryAt(),
		Reason:              d.reason,
		Run:                 d.run.number,
		OSPID:               a.progress.OSPID,
		LastStart:           d.lastStart.took,
		Requests:            d.requests,
		Paused:              d.paused,
		NewVersion:          d.update.pending.String(),
		Reads:               d.counted,
		Output:              a.progress.Output,
		Compiling:           a.progress.Compiling,
		LastCompile:         d.lastStart.compileTook,
		QueuePosition:       a.progress.Position,
		QueueLength:         a.progress.Length,
		Backoff:             backoff,
		ConsecutiveFailures: a.failures.count,
		CrashLoop:           a.failures.looping(),
		ActorFailed:         a.failures.dormant && a.state != scrape.Stopped,
		History:             d.history,
	})
}

func (a *scriptActor) retryAt() time.Time {
	if a.state == scrape.BackingOff {
		return a.failures.retryAt
	}
	return time.Time{}
}

// becomeIdle: there is no child, and no back-off.
func (a *scriptActor) becomeIdle(cause scrape.Cause) {
	a.become(scrape.Idle, a.idle, cause)
}

// becomeStarting starts a run. There must be none.
func (a *scriptActor) becomeStarting(cause scrape.Cause) {
	d := a.durable
	if d.run.process != nil {
		panic("start beside a running child")
	}
	d.run = run{number: d.run.number + 1, startedAt: a.cfg.Clock.Now()}
	a.nextCause = ""
	a.become(scrape.Starting, a.starting, cause)
	d.run.process = a.cfg.Starter.Start(d.script, d.run.number, a.send)
	interactive := cause != scrape.CauseAutostart && cause != scrape.CauseScriptChanged
	if interactive || len(a.startWaiters.list) > 0 {
		d.run.process.Prioritize()
	}
}

// becomeRunning uses the run's file, and begins a read for the waiters.
func (a *scriptActor) becomeRunning(m ProcessReady) {
	d := a.durable
	now := a.cfg.Clock.Now()
	d.run.readyAt = now
	d.lastStart.took, d.lastStart.compiled = now.Sub(d.run.startedAt)-m.Queued, m.Compiled
	if m.Compiled {
		d.lastStart.compileTook = d.lastStart.took
	}
	a.progress = ProcessProgressed{OSPID: m.OSPID, Output: m.Output}
	a.reader.source, a.reader.pausing = m.Source, false
	a.become(scrape.Running, a.running, scrape.CauseReady)
	a.armKeepalive(a.keepalive())
	a.awaitHealth()
	a.startWaiters.moveTo(&a.reader.next)
	a.readNext()
}

// becomeStopping ends the run: the read is closed first, since a child does not
// end while its file is open.
func (a *scriptActor) becomeStopping(cause scrape.Cause) {
	a.disarm()
	a.nextCause = ""
	closed := a.endRead()
	a.become(scrape.Stopping, a.stopping, cause)
	if a.durable.run.process == nil { // only a validation is under way
		return
	}
	a.durable.run.process.Stop(closed)
	if a.durable.killed {
		a.durable.run.process.Kill()
	}
}

// becomeBackingOff waits until the back-off is over.
func (a *scriptActor) becomeBackingOff(cause scrape.Cause) {
	a.become(scrape.BackingOff, a.backingOff, cause)
	a.armBackoff(a.failures.retryAt.Sub(a.cfg.Clock.Now()))
}

// becomeStopped is the end: there is no child, and none is started again.
func (a *scriptActor) becomeStopped() {
	a.disarm()
	a.become(scrape.Stopped, a.stopped, a.endCause())
	a.reportEnd()
}
