package actors

import "stap-exporter/internal/script"

// newVersion is what the script's file holds while an older version of it runs.
type newVersion struct {
	script  script.Script
	version string
	refused string // why it does not take over; empty while it is being tried
}

// String is for the status.
func (v *newVersion) String() string {
	switch {
	case v == nil:
		return ""
	case v.refused == "":
		return "being tried"
	default:
		return v.refused
	}
}

// replaceScript takes a new version, or the old one written again: that ends a
// back-off, too. An operator's stop it ends only when something in it is new.
func (a *scriptActor) replaceScript(m ReplaceScript) {
	if a.her.shutdown {
		return
	}
	a.forgive("script changed")
	a.killTrial() // of a version before
	a.her.pending = nil
	if m.Version != a.her.version {
		a.her.held = false
	}
	same := m.Version == a.her.version && m.Script.Refused == nil && a.her.script.Refused == nil
	switch a.state {
	case script.Running:
		a.replaceRunning(m, same)
	case script.Starting:
		a.adopt(m.Script, m.Version)
		if same {
			a.publish()
			return
		}
		a.startOver(CauseScriptChanged)
		if err := a.barred(); err != nil {
			a.wanted = ""
			a.answerAll(err)
		}
	case script.Stopping:
		a.adopt(m.Script, m.Version)
		if err := a.barred(); err != nil {
			a.wanted = ""
			a.answerAll(err)
		}
		a.publish()
	case script.Idle, script.BackingOff:
		a.adopt(m.Script, m.Version)
		a.disarm()
		starts := a.her.script.Autostart && a.barred() == nil
		switch {
		case starts:
			a.becomeStarting(CauseScriptChanged)
		case a.state == script.BackingOff:
			a.becomeIdle(CauseScriptChanged)
		default:
			a.publish()
		}
	case script.Stopped:
	}
}

// replaceRunning goes on with the old version for as long as the new one is not
// known to be good.
func (a *scriptActor) replaceRunning(m ReplaceScript, same bool) {
	switch {
	case same:
		a.adopt(m.Script, m.Version)
		a.publish()
	case m.Script.Refused != nil:
		a.her.pending = &newVersion{script: m.Script, version: m.Version}
		a.refusePending(m.Script.Refused.Error())
	default:
		a.her.pending = &newVersion{script: m.Script, version: m.Version}
		a.tryPending()
	}
}

// tryPending begins a trial, once the one before is over. What cannot be tried
// takes over at once.
func (a *scriptActor) tryPending() {
	if a.her.trial != nil {
		return
	}
	p := a.her.pending
	a.her.trials++
	a.her.tried = p
	a.her.trial = a.cfg.Starter.Try(p.script, a.her.trials, a.tell)
	if a.her.trial == nil {
		a.takeOver()
		return
	}
	a.publish()
}

func (a *scriptActor) trialEnded(m TrialEnded) {
	if a.her.trial == nil || m.Trial != a.her.trials {
		return
	}
	tried := a.her.tried
	a.her.trial, a.her.tried = nil, nil
	if a.her.shutdown {
		if a.state == script.Stopping && a.her.process == nil {
			a.becomeStopped()
		}
		return
	}
	switch p := a.her.pending; {
	case p == nil || p.refused != "" || a.state != script.Running:
		// There is nothing to try, or the run's end takes it, tried or not.
	case p != tried:
		a.tryPending()
	case clean(m.Exit):
		a.takeOver()
	default:
		a.refusePending(m.Exit.Reason())
	}
}

// refusePending lets the old version run on, and says so.
func (a *scriptActor) refusePending(reason string) {
	a.her.pending.refused = reason
	a.publish()
	a.her.listen(VersionRefused{a.cfg.Clock.Now(), a.her.script.Name, reason})
}

// takeOver ends the old version's run and starts one of the new.
func (a *scriptActor) takeOver() {
	a.takePending()
	a.startOver(CauseScriptChanged)
}

// takePending makes the file's version the script's, if that is another.
func (a *scriptActor) takePending() {
	if p := a.her.pending; p != nil {
		a.her.pending = nil
		a.adopt(p.script, p.version)
	}
}

// adopt makes s the script.
func (a *scriptActor) adopt(s script.Script, version string) {
	changed := version != a.her.version
	a.her.script, a.her.version = s, version
	if changed || s.Refused != nil {
		a.her.reason = "" // of another version
	}
	if s.Refused != nil {
		a.her.reason = s.Refused.Error()
		a.her.listen(ScriptRefused{a.cfg.Clock.Now(), s.Name, a.her.reason})
		return
	}
	if changed {
		a.her.listen(ScriptReplaced{a.cfg.Clock.Now(), s.Name})
	}
}

func (a *scriptActor) killTrial() {
	if a.her.trial != nil {
		a.her.trial.Kill()
	}
}
