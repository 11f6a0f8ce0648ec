package actors

import (
	"stap-exporter/internal/scrape"
	"stap-exporter/internal/script"
)

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
	if a.durable.shutdown {
		return
	}
	a.resetFailures("script changed")
	a.killValidation() // of a version before
	a.durable.pending = nil
	if m.Version != a.durable.version {
		a.durable.paused = false
	}
	same := m.Version == a.durable.version && m.Script.Refused == nil && a.durable.script.Refused == nil
	switch a.state {
	case scrape.Running:
		a.replaceRunning(m, same)
	case scrape.Starting:
		a.adopt(m.Script, m.Version)
		if same {
			a.publish()
			return
		}
		a.startOver(scrape.CauseScriptChanged)
		if err := a.barred(); err != nil {
			a.nextCause = ""
			a.answerAll(err)
		}
	case scrape.Stopping:
		a.adopt(m.Script, m.Version)
		if err := a.barred(); err != nil {
			a.nextCause = ""
			a.answerAll(err)
		}
		a.publish()
	case scrape.Idle, scrape.BackingOff:
		a.adopt(m.Script, m.Version)
		a.disarm()
		starts := a.durable.script.Autostart && a.barred() == nil
		switch {
		case starts:
			a.becomeStarting(scrape.CauseScriptChanged)
		case a.state == scrape.BackingOff:
			a.becomeIdle(scrape.CauseScriptChanged)
		default:
			a.publish()
		}
	case scrape.Stopped:
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
		a.durable.pending = &newVersion{script: m.Script, version: m.Version}
		a.refusePending(m.Script.Refused.Error())
	default:
		a.durable.pending = &newVersion{script: m.Script, version: m.Version}
		a.tryPending()
	}
}

// tryPending begins a trial, once the one before is over. What cannot be tried
// takes over at once.
func (a *scriptActor) tryPending() {
	if a.durable.validation != nil {
		return
	}
	p := a.durable.pending
	a.durable.validations++
	a.durable.validated = p
	a.durable.validation = a.cfg.Starter.Validate(p.script, a.durable.validations, a.tell)
	if a.durable.validation == nil {
		a.takeOver()
		return
	}
	a.publish()
}

func (a *scriptActor) validationEnded(m ValidationEnded) {
	if a.durable.validation == nil || m.Run != a.durable.validations {
		return
	}
	tried := a.durable.validated
	a.durable.validation, a.durable.validated = nil, nil
	if a.durable.shutdown {
		if a.state == scrape.Stopping && a.durable.process == nil {
			a.becomeStopped()
		}
		return
	}
	switch p := a.durable.pending; {
	case p == nil || p.refused != "" || a.state != scrape.Running:
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
	a.durable.pending.refused = reason
	a.publish()
	a.durable.listen(scrape.VersionRefused{Time: a.cfg.Clock.Now(), Script: a.durable.script.Name, Reason: reason})
}

// takeOver ends the old version's run and starts one of the new.
func (a *scriptActor) takeOver() {
	a.takePending()
	a.startOver(scrape.CauseScriptChanged)
}

// takePending makes the file's version the script's, if that is another.
func (a *scriptActor) takePending() {
	if p := a.durable.pending; p != nil {
		a.durable.pending = nil
		a.adopt(p.script, p.version)
	}
}

// adopt makes s the script.
func (a *scriptActor) adopt(s script.Script, version string) {
	changed := version != a.durable.version
	a.durable.script, a.durable.version = s, version
	if changed || s.Refused != nil {
		a.durable.reason = "" // of another version
	}
	if s.Refused != nil {
		a.durable.reason = s.Refused.Error()
		a.durable.listen(scrape.ScriptRefused{Time: a.cfg.Clock.Now(), Script: s.Name, Reason: a.durable.reason})
		return
	}
	if changed {
		a.durable.listen(scrape.ScriptReplaced{Time: a.cfg.Clock.Now(), Script: s.Name})
	}
}

func (a *scriptActor) killValidation() {
	if a.durable.validation != nil {
		a.durable.validation.Kill()
	}
}
