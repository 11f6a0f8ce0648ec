package actors

import (
	"cmp"
	"errors"
	"time"

	"golang.org/x/sys/unix"

	"stap-exporter/internal/scrape"
	"stap-exporter/internal/stap"
	"stap-exporter/internal/trust"
)

func (a *scriptActor) processProgressed(m ProcessProgressed) {
	if m.Run != a.durable.run || a.state != scrape.Starting {
		return
	}
	a.osPID, a.activity, a.place, a.of, a.compiling, a.output = m.OSPID, m.Activity, m.Position, m.Length, m.Compiling, m.Output
	a.publish()
}

func (a *scriptActor) processReady(m ProcessReady) {
	if m.Run != a.durable.run || a.state != scrape.Starting {
		return
	}
	a.osPID, a.output = m.OSPID, m.Output
	a.becomeRunning(m)
}

func (a *scriptActor) processExited(m ProcessExited) {
	if m.Run != a.durable.run || a.durable.process == nil {
		return
	}
	now := a.cfg.Clock.Now()
	lasted := now.Sub(a.durable.startedAt)
	a.durable.process, a.osPID, a.output, a.durable.residue = nil, 0, nil, m.Exit.Residue
	a.endRead()
	a.disarm()
	end := endOf(m, now, lasted)
	a.durable.history = a.durable.history.With(end)
	a.durable.listen(scrape.ChildEnded{
		Script:  a.durable.script.Name,
		End:     end,
		Residue: m.Exit.Residue,
	})

	if a.health() >= healthAfter {
		a.resetFailures("healthy")
	}
	a.takePending()
	if a.state == scrape.Stopping {
		a.stopped()
		return
	}
	if a.durable.script.Refused == nil {
		a.durable.reason = end.Reason
	}
	if !a.durable.script.Autostart && a.durable.served && clean(m.Exit) {
		a.resetFailures("healthy")
		a.becomeIdle(scrape.CauseChildEnded)
		a.startAgain()
		return
	}
	a.backOff()
	a.becomeBackingOff(scrape.CauseChildEnded)
	if errors.Is(m.Exit.Err, trust.ErrUntrusted) {
		a.answerAll(m.Exit.Err)
	}
	a.answerAll(scrape.ErrBackingOff)
	if a.durable.script.Autostart {
		a.failing = true
		panic(childEnded{end.Reason})
	}
}

// clean tells that a child ended as a script does that has nothing more to do.
func clean(e stap.Exit) bool { return e.Code == 0 && e.Signal == 0 && e.Err == nil }

// startAgain starts an idle script for those who were waiting when it ended, if
// any.
func (a *scriptActor) startAgain() {
	if err := a.barred(); err != nil {
		a.answerAll(err)
		return
	}
	if len(a.currentRead.list)+len(a.nextRead.list)+len(a.startWaiters.list) > 0 {
		a.becomeStarting(scrape.CauseRequest)
		a.waitForRun()
	}
}

// waitForRun lets all who wait, wait for the next run, but for those who do not
// want to.
func (a *scriptActor) waitForRun() {
	a.currentRead.moveTo(&a.startWaiters)
	a.nextRead.moveTo(&a.startWaiters)
	patient := a.startWaiters.list[:0]
	for _, w := range a.startWaiters.list {
		if w.request.Query.Wait {
			patient = append(patient, w)
		} else {
			w.request.respond(w.number, scrape.Answer{Err: scrape.ErrNotRunning, Status: a.durable.board.Load()})
		}
	}
	clear(a.startWaiters.list[len(patient):])
	a.startWaiters.list = patient
}

// stopped goes on after a run that was told to end.
func (a *scriptActor) stopped() {
	switch {
	case a.durable.shutdown:
		if a.durable.validation == nil {
			a.becomeStopped()
		}
	case a.barred() != nil:
		a.becomeIdle(scrape.CauseChildEnded)
		a.answerAll(a.barred())
	case a.durable.retryAt.After(a.cfg.Clock.Now()):
		a.becomeBackingOff(scrape.CauseChildEnded)
		a.answerAll(scrape.ErrBackingOff)
	case a.nextCause != "" || a.durable.script.Autostart:
		a.becomeStarting(cmp.Or(a.nextCause, scrape.CauseAutostart))
	default:
		a.becomeIdle(scrape.CauseChildEnded)
	}
}

// holdOff counts a quick end, and sets the moment before which nothing starts.
func (a *scriptActor) backOff() {
	a.durable.backoffDelay = a.durable.backoff.next()
	a.durable.retryAt = a.cfg.Clock.Now().Add(a.durable.backoffDelay)
	if a.durable.backoff.failures == crashLoopAfter {
		a.durable.listen(scrape.CrashLoopChanged{
			Time:     a.cfg.Clock.Now(),
			Script:   a.durable.script.Name,
			Looping:  true,
			Failures: crashLoopAfter,
			Cause:    "consecutive failures",
			Backoff:  a.durable.backoffDelay,
			Reason:   a.durable.reason,
		})
	}
}

// forgive forgets the quick ends so far. cause says why, in fixed words.
func (a *scriptActor) resetFailures(cause string) {
	b := a.durable.backoff
	a.durable.backoff, a.durable.retryAt = backoff{}, time.Time{}
	if b.looping() {
		a.durable.listen(scrape.CrashLoopChanged{
			Time:     a.cfg.Clock.Now(),
			Script:   a.durable.script.Name,
			Failures: b.failures,
			Cause:    cause,
		})
	}
}

// runProvedHealthy ends a crash loop while the run goes on.
func (a *scriptActor) runProvedHealthy(m RunProvedHealthy) {
	if m.Run != a.durable.run || a.state != scrape.Running {
		return
	}
	a.resetFailures("healthy")
	a.publish()
}

// awaitHealth looks at the run again when it has been ready for long.
func (a *scriptActor) awaitHealth() {
	if a.durable.backoff.failures > 0 {
		healthy, tell := RunProvedHealthy{a.durable.run}, a.tell
		a.cfg.Clock.AfterFunc(healthAfter, func() { tell(healthy) })
	}
}

// health is how long the latest run was ready.
func (a *scriptActor) health() time.Duration {
	if a.durable.readyAt.Before(a.durable.startedAt) {
		return 0
	}
	return a.cfg.Clock.Now().Sub(a.durable.readyAt)
}

// endOf is a run's end for the history.
func endOf(m ProcessExited, now time.Time, lasted time.Duration) scrape.End {
	e := m.Exit
	end := scrape.End{
		Time:     now,
		Run:      m.Run,
		Cause:    e.EndCause(),
		Code:     e.Code,
		Duration: lasted,
		Ready:    e.Ready,
		Output:   e.Tail,
		Reason:   e.Reason(),
	}
	if e.Signal != 0 {
		end.Signal = unix.SignalName(e.Signal)
	}
	return end
}
