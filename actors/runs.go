package actors

import (
	"cmp"
	"errors"
	"time"

	"golang.org/x/sys/unix"

	"stap-exporter/internal/script"
	"stap-exporter/internal/stap"
)

func (a *scriptActor) processProgressed(m ProcessProgressed) {
	if m.Run != a.her.run || a.state != script.Starting {
		return
	}
	a.osPID, a.activity, a.place, a.of, a.compiling, a.output = m.OSPID, m.Activity, m.Place, m.Of, m.Compiling, m.Output
	a.publish()
}

func (a *scriptActor) processReady(m ProcessReady) {
	if m.Run != a.her.run || a.state != script.Starting {
		return
	}
	a.osPID, a.output = m.OSPID, m.Output
	a.becomeRunning(m)
}

func (a *scriptActor) processExited(m ProcessExited) {
	if m.Run != a.her.run || a.her.process == nil {
		return
	}
	now := a.cfg.Clock.Now()
	lasted := now.Sub(a.her.startedAt)
	a.her.process, a.osPID, a.output, a.her.leftovers = nil, 0, nil, m.Exit.Leftovers
	a.endRead()
	a.disarm()
	reason := m.Exit.Reason()
	a.her.history = a.her.history.With(endOf(m, now, lasted, reason))
	a.her.listen(ChildEnded{
		Time:      now,
		Script:    a.her.script.Name,
		Run:       m.Run,
		Asked:     m.Exit.Stopped,
		Lasted:    lasted,
		Exit:      m.Exit,
		Reason:    reason,
		Leftovers: m.Exit.Leftovers,
	})

	if a.health() >= healthAfter {
		a.forgive("healthy")
	}
	a.takePending()
	if a.state == script.Stopping {
		a.stopped()
		return
	}
	if a.her.script.Refused == nil {
		a.her.reason = reason
	}
	if !a.her.script.Autostart && a.her.served && clean(m.Exit) {
		a.forgive("healthy")
		a.becomeIdle(CauseChildEnded)
		a.startAgain()
		return
	}
	a.holdOff()
	a.becomeBackingOff(CauseChildEnded)
	if errors.Is(m.Exit.Err, script.ErrUntrusted) {
		a.answerAll(m.Exit.Err)
	}
	a.answerAll(script.ErrBackingOff)
	if a.her.script.Autostart {
		a.failing = true
		panic(childEnded{reason})
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
	if len(a.current.list)+len(a.next.list)+len(a.warming.list) > 0 {
		a.becomeStarting(CauseRequest)
		a.waitForRun()
	}
}

// waitForRun lets all who wait, wait for the next run, but for those who do not
// want to.
func (a *scriptActor) waitForRun() {
	a.current.moveTo(&a.warming)
	a.next.moveTo(&a.warming)
	patient := a.warming.list[:0]
	for _, w := range a.warming.list {
		if w.request.Query.Wait {
			patient = append(patient, w)
		} else {
			w.request.respond(w.number, script.Answer{Err: script.ErrWarming, Status: a.her.board.Load()})
		}
	}
	clear(a.warming.list[len(patient):])
	a.warming.list = patient
}

// stopped goes on after a run that was told to end.
func (a *scriptActor) stopped() {
	switch {
	case a.her.shutdown:
		if a.her.trial == nil {
			a.becomeStopped()
		}
	case a.barred() != nil:
		a.becomeIdle(CauseChildEnded)
		a.answerAll(a.barred())
	case a.her.retryAt.After(a.cfg.Clock.Now()):
		a.becomeBackingOff(CauseChildEnded)
		a.answerAll(script.ErrBackingOff)
	case a.wanted != "" || a.her.script.Autostart:
		a.becomeStarting(cmp.Or(a.wanted, CauseAutostart))
	default:
		a.becomeIdle(CauseChildEnded)
	}
}

// holdOff counts a quick end, and sets the moment before which nothing starts.
func (a *scriptActor) holdOff() {
	a.her.heldFor = a.her.backoff.next()
	a.her.retryAt = a.cfg.Clock.Now().Add(a.her.heldFor)
	if a.her.backoff.failures == crashLoopAfter {
		a.her.listen(CrashLoopChanged{
			Time:      a.cfg.Clock.Now(),
			Script:    a.her.script.Name,
			Looping:   true,
			QuickEnds: crashLoopAfter,
			Cause:     "quick ends",
			HoldOff:   a.her.heldFor,
			Reason:    a.her.reason,
		})
	}
}

// forgive forgets the quick ends so far. cause says why, in fixed words.
func (a *scriptActor) forgive(cause string) {
	b := a.her.backoff
	a.her.backoff, a.her.retryAt = backoff{}, time.Time{}
	if b.looping() {
		a.her.listen(CrashLoopChanged{
			Time:      a.cfg.Clock.Now(),
			Script:    a.her.script.Name,
			QuickEnds: b.failures,
			Cause:     cause,
		})
	}
}

// runProvedHealthy ends a crash loop while the run goes on.
func (a *scriptActor) runProvedHealthy(m RunProvedHealthy) {
	if m.Run != a.her.run || a.state != script.Running {
		return
	}
	a.forgive("healthy")
	a.publish()
}

// awaitHealth looks at the run again when it has been ready for long.
func (a *scriptActor) awaitHealth() {
	if a.her.backoff.failures > 0 {
		healthy, tell := RunProvedHealthy{a.her.run}, a.tell
		a.cfg.Clock.AfterFunc(healthAfter, func() { tell(healthy) })
	}
}

// health is how long the latest run was ready.
func (a *scriptActor) health() time.Duration {
	if a.her.readyAt.Before(a.her.startedAt) {
		return 0
	}
	return a.cfg.Clock.Now().Sub(a.her.readyAt)
}

// endOf is a run's end for the history.
func endOf(m ProcessExited, now time.Time, lasted time.Duration, reason string) script.End {
	e := m.Exit
	end := script.End{
		Time:   now,
		Run:    m.Run,
		Cause:  e.EndCause(),
		Code:   e.Code,
		Lasted: lasted,
		Ready:  e.Ready,
		Output: e.Tail,
		Reason: reason,
	}
	if e.Signal != 0 {
		end.Signal = unix.SignalName(e.Signal)
	}
	return end
}
