package actors

import (
	"fmt"
	"slices"
	"time"

	"stap-exporter/internal/scrape"
)

// The states of a script and what each message does there; what is not listed
// is ignored, and so is every report of an earlier run, read or timer. A test
// holds this table against the code.
//
//	state        message            what it does                                                            becomes
//	idle         ReadMetrics        starts a run; who wants to wait waits                                   starting
//	idle         ReplaceScript      the next run is of the new version; autostart: starts it                starting
//	idle         StartNow           starts a run                                                            starting
//	idle         StopNow            no request starts it                                                    -
//	idle         RestartNow         starts a run                                                            starting
//	idle         Shutdown           the end; a trial under way is ended first                               stopped, stopping
//	starting     ReadMetrics        who wants to wait waits, while there is a place                         -
//	starting     AskerLeft          its place is free                                                       -
//	starting     ProcessProgressed  shown in the status                                                     -
//	starting     ProcessReady       those who wait share a read                                             running
//	starting     ProcessExited      held off; those who wait are answered                                   backing-off
//	starting     ReplaceScript      the run is stopped, the next is of the new version                      stopping
//	starting     StopNow            the run is stopped; those who wait are answered                         stopping
//	starting     RestartNow         the run is stopped, another follows                                     stopping
//	starting     Shutdown           the run is stopped                                                      stopping
//	running      ReadMetrics        waits for the next read, or begins it, while there is a place           -
//	running      AskerLeft          its place is free                                                       -
//	running      ReadFinished       answers those of this read, begins the next one; file gone: stops the run  stopping
//	running      ReadExpired        answers those of this read; gives it up where the script survives that  -
//	running      ReadDue            the pause after a read is over: begins the next one                     -
//	running      KeepaliveExpired   on-demand, unused: the run is stopped                                   stopping
//	running      RunProvedHealthy   quick ends before it are forgotten, and a crash loop with them           -
//	running      ProcessExited      held off; on-demand that served and ended with exit 0: not              backing-off, idle
//	running      ReplaceScript      the new version is tried; a program: the run is stopped                 stopping
//	running      TrialEnded         good: the run is stopped, the next is of the new version; else said     stopping
//	running      StopNow            the run is stopped; those who wait are answered                         stopping
//	running      RestartNow         the run is stopped, another follows                                     stopping
//	running      Shutdown           the read is closed, then the run is stopped                             stopping
//	stopping     ReadMetrics        who wants to wait waits for the next run, while there is a place        -
//	stopping     AskerLeft          its place is free                                                       -
//	stopping     ProcessExited      on: the next run, back-off, rest, or the end                            starting, backing-off, idle, stopped
//	stopping     TrialEnded         after Shutdown, the child being gone: the end                           stopped
//	stopping     ReplaceScript      the next run is of the new version                                      -
//	stopping     StartNow           another run follows                                                     -
//	stopping     StopNow            no next run                                                             -
//	stopping     RestartNow         another run follows                                                     -
//	stopping     Shutdown           no next run                                                             -
//	backing-off  ReadMetrics        answered at once: why, and until when                                   -
//	backing-off  HoldOffExpired     autostart: starts a run; on-demand: rests                               starting, idle
//	backing-off  ReplaceScript      held off no more; autostart: starts a run; on-demand: rests             starting, idle
//	backing-off  StartNow           starts a run                                                            starting
//	backing-off  StopNow            rests, and no request starts it                                         idle
//	backing-off  RestartNow         starts a run                                                            starting
//	backing-off  Shutdown           the end; a trial under way is ended first                               stopped, stopping
//	stopped      ReadMetrics        answered at once                                                        -
//
// When the child of an autostart script ends, the actor fails: it panics with a
// childEnded, the supervisor restarts it, and the reborn actor begins in
// backing-off.
// Five quick ends in a row are a crash loop: a mark on the script, no state of
// its own, since what may happen next is what may happen in back-off, which is
// the longest from then on. The mark goes with the back-off: after long health,
// or a served run that keepalive ended, with a new version, or by an operator.
// A script that is refused (see script.Script) is idle until shutdown and
// answers with why.
// After a panic that is a bug, the reborn actor begins in stopping while there
// is a child, else in backing-off. KillChild reaches the child in any state.
var transitions = map[scrape.State][]scrape.State{
	scrape.Idle:       {scrape.Starting, scrape.Stopping, scrape.Stopped},
	scrape.Starting:   {scrape.Running, scrape.Stopping, scrape.BackingOff},
	scrape.Running:    {scrape.Stopping, scrape.BackingOff, scrape.Idle},
	scrape.Stopping:   {scrape.Idle, scrape.Starting, scrape.BackingOff, scrape.Stopped},
	scrape.BackingOff: {scrape.Starting, scrape.Idle, scrape.Stopping, scrape.Stopped},
	scrape.Stopped:    {},
}

// become is the only place that assigns the state. cause says why, in a few
// fixed words.
func (a *scriptActor) become(to scrape.State, cause scrape.Cause) {
	from := a.durable.board.Load().State
	if a.born && !slices.Contains(transitions[from], to) {
		panic(fmt.Sprintf("no way from %s to %s (%s)", from, to, cause))
	}
	a.state, a.since, a.born = to, a.cfg.Clock.Now(), true
	a.activity, a.place, a.of, a.compiling = "", 0, 0, false
	if to != scrape.Running {
		a.source = nil
	}
	a.publish()
	e := scrape.StateChanged{
		Time:      a.since,
		Script:    a.durable.script.Name,
		Autostart: a.durable.script.Autostart,
		From:      from,
		To:        to,
		Cause:     cause,
		Run:       a.durable.run,
		OSPID:     a.osPID,
		RetryAt:   a.retryAt(),
		Reason:    a.durable.reason,
	}
	if to == scrape.Running {
		e.Took, e.Compiled = a.durable.lastStart, a.durable.compiled
	}
	a.durable.listen(e)
}

// publish makes the actor's status visible to the outside.
func (a *scriptActor) publish() {
	holdOff := time.Duration(0)
	if a.state == scrape.BackingOff {
		holdOff = a.durable.backoffDelay
	}
	a.durable.board.Store(&scrape.Status{
		Script:              a.durable.script,
		State:               a.state,
		Since:               a.since,
		Activity:            a.activity,
		RetryAt:             a.retryAt(),
		Reason:              a.durable.reason,
		Run:                 a.durable.run,
		OSPID:               a.osPID,
		LastStart:           a.durable.lastStart,
		Requests:            a.durable.requests,
		Paused:              a.durable.paused,
		NewVersion:          a.durable.pending.String(),
		Reads:               a.durable.counted,
		Output:              a.output,
		Compiling:           a.compiling,
		LastCompile:         a.durable.lastCompile,
		QueuePosition:       a.place,
		QueueLength:         a.of,
		Backoff:             holdOff,
		ConsecutiveFailures: a.durable.backoff.failures,
		CrashLoop:           a.durable.backoff.looping(),
		History:             a.durable.history,
	})
}

func (a *scriptActor) retryAt() time.Time {
	if a.state == scrape.BackingOff {
		return a.durable.retryAt
	}
	return time.Time{}
}

// becomeIdle: no child, nothing held off.
func (a *scriptActor) becomeIdle(cause scrape.Cause) {
	a.become(scrape.Idle, cause)
}

// becomeStarting starts a run. There must be none.
func (a *scriptActor) becomeStarting(cause scrape.Cause) {
	if a.durable.process != nil {
		panic("start beside a running child")
	}
	a.durable.run++
	a.durable.startedAt = a.cfg.Clock.Now()
	a.durable.served, a.nextCause = false, ""
	a.become(scrape.Starting, cause)
	a.durable.process = a.cfg.Starter.Start(a.durable.script, a.durable.run, a.tell)
	if cause != scrape.CauseAutostart && cause != scrape.CauseScriptChanged || len(a.startWaiters.list) > 0 {
		a.durable.process.Prioritize() // somebody waits, or has asked
	}
}

// becomeRunning takes the run's file into use and lets those who waited for it
// read.
func (a *scriptActor) becomeRunning(m ProcessReady) {
	a.source = m.Source
	a.durable.lastStart, a.durable.compiled = a.cfg.Clock.Now().Sub(a.durable.startedAt)-m.Queued, m.Compiled
	if m.Compiled {
		a.durable.lastCompile = a.durable.lastStart
	}
	a.become(scrape.Running, scrape.CauseReady)
	a.durable.readyAt, a.pausing = a.since, false
	a.armKeepalive(a.keepalive())
	a.awaitHealth()
	a.startWaiters.moveTo(&a.nextRead)
	a.readNext()
}

// becomeStopping ends the run: the read is closed first, since a child does not
// end while its file is held.
func (a *scriptActor) becomeStopping(cause scrape.Cause) {
	a.disarm()
	a.nextCause = ""
	after := a.endRead()
	a.become(scrape.Stopping, cause)
	if a.durable.process == nil { // only a trial is under way
		return
	}
	a.durable.process.Stop(after)
	if a.durable.killed {
		a.durable.process.Kill()
	}
}

// becomeBackingOff waits for her.retryAt.
func (a *scriptActor) becomeBackingOff(cause scrape.Cause) {
	a.become(scrape.BackingOff, cause)
	a.armBackoff(a.durable.retryAt.Sub(a.cfg.Clock.Now()))
}

// becomeStopped is the end: there is no child, and none is started again.
func (a *scriptActor) becomeStopped() {
	a.disarm()
	a.become(scrape.Stopped, a.endCause())
	a.reportEnd()
}
