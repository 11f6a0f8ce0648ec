package actors

import (
	"fmt"
	"slices"
	"time"

	"stap-exporter/internal/script"
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
var transitions = map[script.State][]script.State{
	script.Idle:       {script.Starting, script.Stopping, script.Stopped},
	script.Starting:   {script.Running, script.Stopping, script.BackingOff},
	script.Running:    {script.Stopping, script.BackingOff, script.Idle},
	script.Stopping:   {script.Idle, script.Starting, script.BackingOff, script.Stopped},
	script.BackingOff: {script.Starting, script.Idle, script.Stopping, script.Stopped},
	script.Stopped:    {},
}

// become is the only place that assigns the state. cause says why, in a few
// fixed words.
func (a *scriptActor) become(to script.State, cause Cause) {
	from := a.her.board.Load().State
	if a.born && !slices.Contains(transitions[from], to) {
		panic(fmt.Sprintf("no way from %s to %s (%s)", from, to, cause))
	}
	a.state, a.since, a.born = to, a.cfg.Clock.Now(), true
	a.activity, a.place, a.of, a.compiling = "", 0, 0, false
	if to != script.Running {
		a.source = nil
	}
	a.publish()
	e := StateChanged{
		Time:      a.since,
		Script:    a.her.script.Name,
		Autostart: a.her.script.Autostart,
		From:      from,
		To:        to,
		Cause:     cause,
		Run:       a.her.run,
		OSPID:     a.osPID,
		RetryAt:   a.retryAt(),
		Reason:    a.her.reason,
	}
	if to == script.Running {
		e.Took, e.Compiled = a.her.lastStart, a.her.compiled
	}
	a.her.listen(e)
}

// publish makes the actor's status visible to the outside.
func (a *scriptActor) publish() {
	holdOff := time.Duration(0)
	if a.state == script.BackingOff {
		holdOff = a.her.heldFor
	}
	a.her.board.Store(&script.Status{
		Script:     a.her.script,
		State:      a.state,
		Since:      a.since,
		Activity:   a.activity,
		RetryAt:    a.retryAt(),
		Reason:     a.her.reason,
		Run:        a.her.run,
		OSPID:      a.osPID,
		LastStart:  a.her.lastStart,
		Requests:   a.her.requests,
		Held:       a.her.held,
		NewVersion: a.her.pending.String(),
		Reads:      a.her.counted,
		Output:     a.output,
		Compiling:  a.compiling,
		LastBuild:  a.her.lastBuild,
		Place:      a.place,
		Of:         a.of,
		HoldOff:    holdOff,
		QuickEnds:  a.her.backoff.failures,
		CrashLoop:  a.her.backoff.looping(),
		History:    a.her.history,
	})
}

func (a *scriptActor) retryAt() time.Time {
	if a.state == script.BackingOff {
		return a.her.retryAt
	}
	return time.Time{}
}

// becomeIdle: no child, nothing held off.
func (a *scriptActor) becomeIdle(cause Cause) {
	a.become(script.Idle, cause)
}

// becomeStarting starts a run. There must be none.
func (a *scriptActor) becomeStarting(cause Cause) {
	if a.her.process != nil {
		panic("start beside a running child")
	}
	a.her.run++
	a.her.startedAt = a.cfg.Clock.Now()
	a.her.served, a.wanted = false, ""
	a.become(script.Starting, cause)
	a.her.process = a.cfg.Starter.Start(a.her.script, a.her.run, a.tell)
	if cause != CauseAutostart && cause != CauseScriptChanged || len(a.warming.list) > 0 {
		a.her.process.Hurry() // somebody waits, or has asked
	}
}

// becomeRunning takes the run's file into use and lets those who waited for it
// read.
func (a *scriptActor) becomeRunning(m ProcessReady) {
	a.source = m.Source
	a.her.lastStart, a.her.compiled = a.cfg.Clock.Now().Sub(a.her.startedAt)-m.Queued, m.Compiled
	if m.Compiled {
		a.her.lastBuild = a.her.lastStart
	}
	a.become(script.Running, CauseReady)
	a.her.readyAt, a.resting = a.since, false
	a.armKeepalive(a.keepalive())
	a.awaitHealth()
	a.warming.moveTo(&a.next)
	a.readNext()
}

// becomeStopping ends the run: the read is closed first, since a child does not
// end while its file is held.
func (a *scriptActor) becomeStopping(cause Cause) {
	a.disarm()
	a.wanted = ""
	after := a.endRead()
	a.become(script.Stopping, cause)
	if a.her.process == nil { // only a trial is under way
		return
	}
	a.her.process.Stop(after)
	if a.her.killed {
		a.her.process.Kill()
	}
}

// becomeBackingOff waits for her.retryAt.
func (a *scriptActor) becomeBackingOff(cause Cause) {
	a.become(script.BackingOff, cause)
	a.armHoldOff(a.her.retryAt.Sub(a.cfg.Clock.Now()))
}

// becomeStopped is the end: there is no child, and none is started again.
func (a *scriptActor) becomeStopped() {
	a.disarm()
	a.become(script.Stopped, a.endCause())
	a.reportEnd()
}
