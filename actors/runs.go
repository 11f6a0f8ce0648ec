package actors

import (
	"cmp"
	"errors"
	"time"

	"stap-exporter/internal/script"
	"stap-exporter/internal/stap"
)

func (a *scriptActor) processProgressed(m ProcessProgressed) {
	if m.Run != a.her.run || a.state != script.Starting {
		return
	}
	a.osPID, a.activity = m.OSPID, m.Activity
	a.publish()
}

func (a *scriptActor) processReady(m ProcessReady) {
	if m.Run != a.her.run || a.state != script.Starting {
		return
	}
	a.osPID = m.OSPID
	a.becomeRunning(m.Source, m.Compiled)
}

func (a *scriptActor) processExited(m ProcessExited) {
	if m.Run != a.her.run || a.her.process == nil {
		return
	}
	now := a.cfg.Clock.Now()
	lasted := now.Sub(a.her.startedAt)
	a.her.process, a.osPID, a.her.leftovers = nil, 0, m.Exit.Leftovers
	a.endRead()
	a.disarm()
	reason := m.Exit.Reason()
	a.her.listen(ChildEnded{now, a.her.script.Name, m.Run, m.Exit.Stopped, lasted, m.Exit, reason, m.Exit.Leftovers})

	a.takePending()
	if a.state == script.Stopping {
		a.stopped()
		return
	}
	if a.her.script.Refused == nil {
		a.her.reason = reason
	}
	if !a.her.script.Autostart && a.her.served && clean(m.Exit) {
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

// startAgain starts an idle script for those who were waiting when it ended, if any.
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

// waitForRun lets all who wait, wait for the next run, but for those who do not want to.
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
	a.her.backoff.recovered(a.health())
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

// holdOff sets the moment before which nothing starts.
func (a *scriptActor) holdOff() {
	a.her.retryAt = a.cfg.Clock.Now().Add(a.her.backoff.next(a.health()))
}

// health is how long the latest run was ready.
func (a *scriptActor) health() time.Duration {
	if a.her.readyAt.Before(a.her.startedAt) {
		return 0
	}
	return a.cfg.Clock.Now().Sub(a.her.readyAt)
}
