package actors

import (
	"cmp"

	"github.com/asynkron/protoactor-go/actor"

	"stap-exporter/internal/scrape"
)

// The states of a script, and what each message does in them. The receive
// functions below follow the table: one function per state, in its order. A
// message that is not listed is ignored, and so is every report of an earlier
// run, read or timer. Tests hold the table against the code.
//
//	state        message            action                                                       next state
//	idle         ReadMetrics        starts a run; the request waits if it wants to               starting
//	idle         ReplaceScript      the next run is of the new version; autostart: starts it     starting
//	idle         StartNow           starts a run                                                 starting
//	idle         StopNow            no request starts the script                                 -
//	idle         RestartNow         starts a run                                                 starting
//	idle         Shutdown           the end; a validation under way is killed first              stopped, stopping
//	starting     ReadMetrics        waits if it wants to, up to the limit                        -
//	starting     ProcessProgressed  is shown in the status                                       -
//	starting     ProcessReady       all waiters share a read                                     running
//	starting     ProcessExited      back-off; the waiters are answered                           backing-off
//	starting     ReplaceScript      stops the run, the next is of the new version                stopping
//	starting     StartNow           gives the start priority                                     -
//	starting     StopNow            stops the run; the waiters are answered                      stopping
//	starting     RestartNow         stops the run, another follows                               stopping
//	starting     Shutdown           stops the run                                                stopping
//	running      ReadMetrics        waits for the next read, or begins it, up to the limit       -
//	running      ReadFinished       answers its waiters, begins the next; file gone: stops       stopping
//	running      ReadExpired        answers its waiters; abandons the read where that is safe    -
//	running      ReadDue            the pause after a read is over: begins the next one          -
//	running      KeepaliveExpired   on-demand and unused: stops the run                          stopping
//	running      RunProvedHealthy   resets the failures, which ends a crash loop                 -
//	running      ProcessExited      back-off; on-demand, served and exit code 0: none            backing-off, idle
//	running      ReplaceScript      validates the new version; an executable: stops the run      stopping
//	running      ValidationEnded    good: stops the run, the next is of the new version          stopping
//	running      StartNow           resets the failures                                          -
//	running      StopNow            stops the run; the waiters are answered                      stopping
//	running      RestartNow         stops the run, another follows                               stopping
//	running      Shutdown           closes the read, then stops the run                          stopping
//	stopping     ReadMetrics        waits for the next run if it wants to, up to the limit       -
//	stopping     ProcessExited      the next run, or back-off                                    starting, backing-off
//	stopping     ProcessExited      no run follows; after Shutdown: the end                      idle, stopped
//	stopping     ValidationEnded    after Shutdown, without a child: the end                     stopped
//	stopping     ReplaceScript      the next run is of the new version                           -
//	stopping     StartNow           another run follows                                          -
//	stopping     StopNow            no run follows                                               -
//	stopping     RestartNow         another run follows                                          -
//	stopping     Shutdown           no run follows                                               -
//	backing-off  ReadMetrics        is answered at once: why, and until when                     -
//	backing-off  BackoffExpired     autostart: starts a run; on-demand: idle                     starting, idle
//	backing-off  ReplaceScript      ends the back-off; autostart: starts a run                   starting, idle
//	backing-off  StartNow           starts a run                                                 starting
//	backing-off  StopNow            no request starts the script                                 idle
//	backing-off  RestartNow         starts a run                                                 starting
//	backing-off  Shutdown           the end; a validation under way is killed first              stopped, stopping
//	stopped      ReadMetrics        is answered at once                                          -
//	stopped      Shutdown           with Removed: requests find no script any more               -
//	any          RequesterLeft      frees the request's slot                                     -
//	any          ReadFinished       the file of a read is closed                                 -
//	any          ValidationEnded    the validation is over                                       -
//	any          KillChild          kills the child and the validation                           -
//
// When the child of an autostart script ends, the actor fails: it panics with a
// childEnded. The supervisor counts the failure and restarts the actor. The
// incarnation that failed then becomes backing-off as its last act, and the
// next one begins there.
// Five consecutive failures are a crash loop. That is a mark on the script and
// no state: what may happen next is what may happen in back-off, which is the
// longest from then on. The mark goes with the failures: after a run that was
// healthy for long, or that served and was ended by keepalive, with a new
// version, or by an operator.
// A script that is refused (see script.Script) is idle until shutdown, and
// answers why.
// After a panic that is a bug the next incarnation begins in stopping while
// there is a child, else in backing-off. After too many of them it is dormant:
// in backing-off with a receive function of its own, see dormant.go.
var transitions = map[scrape.State][]scrape.State{
	scrape.Idle:       {scrape.Starting, scrape.Stopping, scrape.Stopped},
	scrape.Starting:   {scrape.Running, scrape.Stopping, scrape.BackingOff},
	scrape.Running:    {scrape.Stopping, scrape.BackingOff, scrape.Idle},
	scrape.Stopping:   {scrape.Idle, scrape.Starting, scrape.BackingOff, scrape.Stopped},
	scrape.BackingOff: {scrape.Starting, scrape.Idle, scrape.Stopping, scrape.Stopped},
	scrape.Stopped:    {},
}

// idle: there is no child.
func (a *scriptActor) idle(ctx actor.Context) {
	switch m := ctx.Message().(type) {
	case *ReadMetrics:
		if a.admits(m) {
			a.startForRequest(m)
		}
	case ReplaceScript:
		a.prepareUpdate(m)
		a.adopt(m.Script, m.Version)
		if a.autostarts() {
			a.becomeStarting(scrape.CauseScriptChanged)
		} else {
			a.publish()
		}
	case StartNow:
		a.startNow(scrape.CauseStartRequested)
	case StopNow:
		a.durable.paused = true
		a.publish()
	case RestartNow:
		a.startNow(scrape.CauseRestartRequested)
	case Shutdown:
		a.endWithoutChild(m)
	default:
		a.anyState(ctx)
	}
}

// starting: the child compiles or loads.
func (a *scriptActor) starting(ctx actor.Context) {
	switch m := ctx.Message().(type) {
	case *ReadMetrics:
		if a.admits(m) {
			a.waitForStart(m)
			a.durable.run.process.Prioritize()
		}
	case ProcessProgressed:
		if m.Run == a.durable.run.number {
			a.progress = m
			a.publish()
		}
	case ProcessReady:
		if m.Run == a.durable.run.number {
			a.becomeRunning(m)
		}
	case ProcessExited:
		if a.reap(m) {
			a.runEnded(m.Exit)
		}
	case ReplaceScript:
		a.replaceStarting(m)
	case StartNow:
		if a.release() {
			a.durable.run.process.Prioritize()
		}
	case StopNow:
		a.stopNow()
	case RestartNow:
		if a.release() {
			a.restart(scrape.CauseRestartRequested)
		}
	case Shutdown:
		a.endChild(m)
	default:
		a.anyState(ctx)
	}
}

// running: the child offers its metrics.
func (a *scriptActor) running(ctx actor.Context) {
	switch m := ctx.Message().(type) {
	case *ReadMetrics:
		if !m.Query.Passive {
			a.noteRequest()
		}
		a.waitForRead(m)
	case ReadFinished:
		a.readFinished(m)
	case ReadExpired:
		a.readExpired(m)
	case ReadDue:
		if m.Read == a.durable.reads.number {
			a.reader.pausing = false
			a.readNext()
		}
	case KeepaliveExpired:
		if m.Timer == a.timer {
			a.keepaliveExpired()
		}
	case RunProvedHealthy:
		if m.Run == a.durable.run.number {
			a.resetFailures("healthy")
			a.publish()
		}
	case ProcessExited:
		if a.reap(m) {
			a.runEnded(m.Exit)
		}
	case ReplaceScript:
		a.replaceRunning(m)
	case ValidationEnded:
		a.runningValidated(m)
	case StartNow:
		a.release()
	case StopNow:
		a.stopNow()
	case RestartNow:
		if a.release() {
			a.restart(scrape.CauseRestartRequested)
		}
	case Shutdown:
		a.endChild(m)
	default:
		a.anyState(ctx)
	}
}

// stopping: the child was told to end, or a validation was, after Shutdown.
func (a *scriptActor) stopping(ctx actor.Context) {
	switch m := ctx.Message().(type) {
	case *ReadMetrics:
		switch {
		case !a.admits(m):
		case a.durable.shutdown:
			a.refuse(m, a.endError())
		default:
			a.waitForStart(m)
			a.nextCause = cmp.Or(a.nextCause, scrape.CauseRequest)
		}
	case ProcessExited:
		if a.reap(m) {
			a.childGone()
		}
	case ValidationEnded:
		if a.validationOver(m) != nil && a.durable.shutdown && a.durable.run.process == nil {
			a.becomeStopped()
		}
	case ReplaceScript:
		if !a.durable.shutdown {
			a.prepareUpdate(m)
			a.adopt(m.Script, m.Version)
			a.cancelNextIfBarred()
			a.publish()
		}
	case StartNow:
		a.startNext(scrape.CauseStartRequested)
	case StopNow:
		if !a.durable.shutdown {
			a.durable.paused, a.nextCause = true, ""
			a.publish()
			a.answerAll(scrape.ErrPaused)
		}
	case RestartNow:
		a.startNext(scrape.CauseRestartRequested)
	case Shutdown:
		a.noteShutdown(m)
		a.answerAll(a.endError())
	default:
		a.anyState(ctx)
	}
}

// backingOff: there is no child, and none starts before the back-off is over.
func (a *scriptActor) backingOff(ctx actor.Context) {
	switch m := ctx.Message().(type) {
	case *ReadMetrics:
		if a.admits(m) {
			a.refuse(m, scrape.ErrBackingOff)
		}
	case BackoffExpired:
		switch {
		case m.Timer != a.timer:
		case a.autostarts():
			a.becomeStarting(scrape.CauseAutostart)
		default:
			a.becomeIdle(scrape.CauseBackoffOver)
		}
	case ReplaceScript:
		a.prepareUpdate(m)
		a.adopt(m.Script, m.Version)
		a.disarm()
		if a.autostarts() {
			a.becomeStarting(scrape.CauseScriptChanged)
		} else {
			a.becomeIdle(scrape.CauseScriptChanged)
		}
	case StartNow:
		a.startNow(scrape.CauseStartRequested)
	case StopNow:
		a.durable.paused = true
		a.disarm()
		a.becomeIdle(scrape.CauseStopRequested)
	case RestartNow:
		a.startNow(scrape.CauseRestartRequested)
	case Shutdown:
		a.endWithoutChild(m)
	default:
		a.anyState(ctx)
	}
}

// stopped: there is no child, and none is started again.
func (a *scriptActor) stopped(ctx actor.Context) {
	switch m := ctx.Message().(type) {
	case *ReadMetrics:
		if a.admits(m) {
			a.refuse(m, a.endError())
		}
	case Shutdown:
		a.noteShutdown(m)
	default:
		a.anyState(ctx)
	}
}

// anyState handles what every state handles in the same way.
func (a *scriptActor) anyState(ctx actor.Context) {
	switch m := ctx.Message().(type) {
	case RequesterLeft:
		a.requesterLeft(m)
	case ReadFinished:
		a.closeRead(m)
	case ValidationEnded:
		a.validationOver(m)
	case KillChild:
		a.durable.killed = true
		a.killValidation()
		if a.durable.run.process != nil {
			a.durable.run.process.Kill()
		}
	}
}
