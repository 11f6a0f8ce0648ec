package actors

import (
	"cmp"
	"errors"

	"golang.org/x/sys/unix"

	"stap-exporter/internal/runner"
	"stap-exporter/internal/scrape"
	"stap-exporter/internal/trust"
)

// reap notes the end of the run. false: m is of an earlier one.
func (a *scriptActor) reap(m ProcessExited) bool {
	d := a.durable
	if m.Run != d.run.number || d.run.process == nil {
		return false
	}
	now := a.cfg.Clock.Now()
	d.run.process, d.residue = nil, m.Exit.Residue
	a.progress = ProcessProgressed{}
	a.endRead()
	end := endOf(m.Exit)
	end.Time, end.Run, end.Duration = now, m.Run, now.Sub(d.run.startedAt)
	d.history = d.history.With(end)
	d.listen(scrape.ChildEnded{
		Script:  d.script.Name,
		End:     end,
		Residue: m.Exit.Residue,
	})
	if d.run.readyFor(now) >= healthyAfter {
		a.resetFailures("healthy")
	}
	a.takePending()
	return true
}

// endOf is a run's end for the history, without number and times.
func endOf(e runner.Exit) scrape.End {
	end := scrape.End{
		Cause:  e.EndCause(),
		Code:   e.Code,
		Ready:  e.Ready,
		Output: e.Tail,
		Reason: e.Reason(),
	}
	if e.Signal != 0 {
		end.Signal = unix.SignalName(e.Signal)
	}
	return end
}

// childEnded is what an autostart script's actor fails with, so that the
// supervisor restarts it.
type childEnded struct{ reason string }

func (e childEnded) String() string { return "child ended: " + e.reason }

// ChildEndedFailure reports whether an actor failed because its child ended, as
// it should, and not because of a bug.
func ChildEndedFailure(reason any) bool {
	_, ok := reason.(childEnded)
	return ok
}

// runEnded follows the end of a run that was not told to end. For an autostart
// script that is a failure of its actor.
func (a *scriptActor) runEnded(e runner.Exit) {
	d := a.durable
	if d.script.Refused == nil {
		d.reason = e.Reason()
	}
	switch {
	case d.script.Autostart:
		a.ended = &e
		panic(childEnded{e.Reason()})
	case d.run.served && clean(e):
		a.disarm()
		a.resetFailures("healthy")
		a.becomeIdle(scrape.CauseChildEnded)
		a.startForWaiters()
	default:
		a.failures.add(a.cfg.Clock.Now())
		a.backOff(e)
	}
}

// backOff follows a failed run when it is counted: it answers all waiters.
func (a *scriptActor) backOff(e runner.Exit) {
	a.reportCrashLoop()
	a.becomeBackingOff(scrape.CauseChildEnded)
	if errors.Is(e.Err, trust.ErrUntrusted) {
		a.answerAll(e.Err)
	}
	a.answerAll(scrape.ErrBackingOff)
}

// clean reports whether a child ended as a script does that has finished.
func clean(e runner.Exit) bool { return e.Code == 0 && e.Signal == 0 && e.Err == nil }

// startForWaiters starts an idle script if requests still wait for it.
func (a *scriptActor) startForWaiters() {
	if err := a.barred(); err != nil {
		a.answerAll(err)
		return
	}
	if a.waiting() > 0 {
		a.becomeStarting(scrape.CauseRequest)
		a.waitForRun()
	}
}

// childGone follows the end of a run that was told to end.
func (a *scriptActor) childGone() {
	d := a.durable
	switch {
	case d.shutdown:
		if d.update.validation == nil {
			a.becomeStopped()
		}
	case a.barred() != nil:
		a.becomeIdle(scrape.CauseChildEnded)
		a.answerAll(a.barred())
	case a.failures.retryAt.After(a.cfg.Clock.Now()):
		a.becomeBackingOff(scrape.CauseChildEnded)
		a.answerAll(scrape.ErrBackingOff)
	case a.nextCause != "" || d.script.Autostart:
		a.becomeStarting(cmp.Or(a.nextCause, scrape.CauseAutostart))
	default:
		a.becomeIdle(scrape.CauseChildEnded)
	}
}

// reportCrashLoop publishes the begin of a crash loop, if the latest failure
// was one.
func (a *scriptActor) reportCrashLoop() {
	if a.failures.count != crashLoopAfter {
		return
	}
	a.durable.listen(scrape.CrashLoopChanged{
		Time:     a.cfg.Clock.Now(),
		Script:   a.durable.script.Name,
		Looping:  true,
		Failures: a.failures.count,
		Cause:    "consecutive failures",
		Backoff:  a.failures.backoff,
		Reason:   a.durable.reason,
	})
}

// resetFailures forgets the failures so far. cause says why, in fixed words.
func (a *scriptActor) resetFailures(cause string) {
	count, looping := a.failures.count, a.failures.looping()
	a.failures.reset()
	if looping {
		a.durable.listen(scrape.CrashLoopChanged{
			Time:     a.cfg.Clock.Now(),
			Script:   a.durable.script.Name,
			Failures: count,
			Cause:    cause,
		})
	}
}

// awaitHealth lets the failures be reset when the run has been ready for long.
func (a *scriptActor) awaitHealth() {
	if a.failures.count > 0 {
		healthy, send := RunProvedHealthy{a.durable.run.number}, a.send
		a.cfg.Clock.AfterFunc(healthyAfter, func() { send(healthy) })
	}
}
