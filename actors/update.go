package actors

import (
	"stap-exporter/internal/scrape"
	"stap-exporter/internal/script"
)

// newVersion is what the script's file holds while an older version of it runs.
type newVersion struct {
	script  script.Script
	version string
	refused string // why it does not take over; empty while it is validated
}

// String is for the status.
func (v *newVersion) String() string {
	switch {
	case v == nil:
		return ""
	case v.refused == "":
		return "being validated"
	default:
		return v.refused
	}
}

// prepareUpdate is the first step for a version of the file, another one or the
// same written again: it resets the failures. It ends an operator's pause only
// if the version is another.
func (a *scriptActor) prepareUpdate(m ReplaceScript) {
	a.resetFailures("script changed")
	a.killValidation() // of an earlier version
	a.durable.update.pending = nil
	if m.Version != a.durable.version {
		a.durable.paused = false
	}
}

// isCurrent reports whether m holds the script's version, which may be started.
func (a *scriptActor) isCurrent(m ReplaceScript) bool {
	return m.Version == a.durable.version && m.Script.Refused == nil && a.durable.script.Refused == nil
}

// replaceStarting stops the start of an older version.
func (a *scriptActor) replaceStarting(m ReplaceScript) {
	current := a.isCurrent(m)
	a.prepareUpdate(m)
	a.adopt(m.Script, m.Version)
	if current {
		a.publish()
		return
	}
	a.restart(scrape.CauseScriptChanged)
	a.cancelNextIfBarred()
}

// cancelNextIfBarred lets no run follow the one that is being stopped if the
// script may not be started.
func (a *scriptActor) cancelNextIfBarred() {
	if err := a.barred(); err != nil {
		a.nextCause = ""
		a.answerAll(err)
	}
}

// replaceRunning goes on with the old version until the new one is known to be
// good.
func (a *scriptActor) replaceRunning(m ReplaceScript) {
	current := a.isCurrent(m)
	a.prepareUpdate(m)
	if current {
		a.adopt(m.Script, m.Version)
		a.publish()
		return
	}
	a.durable.update.pending = &newVersion{script: m.Script, version: m.Version}
	if m.Script.Refused != nil {
		a.refusePending(m.Script.Refused.Error())
		return
	}
	a.validatePending()
}

// validatePending begins a validation, once the one before is over. What cannot
// be validated takes over at once.
func (a *scriptActor) validatePending() {
	u := &a.durable.update
	if u.validation != nil {
		return
	}
	u.number++
	u.validated = u.pending
	u.validation = a.cfg.Starter.Validate(u.pending.script, u.number, a.send)
	if u.validation == nil {
		a.takeOver()
		return
	}
	a.publish()
}

// validationOver notes the end of the validation under way and returns what it
// validated; nil: m is of an earlier one.
func (a *scriptActor) validationOver(m ValidationEnded) (validated *newVersion) {
	u := &a.durable.update
	if u.validation == nil || m.Run != u.number {
		return nil
	}
	validated = u.validated
	u.validation, u.validated = nil, nil
	return validated
}

// runningValidated lets the new version take over if it is good.
func (a *scriptActor) runningValidated(m ValidationEnded) {
	validated := a.validationOver(m)
	if validated == nil {
		return
	}
	switch pending := a.durable.update.pending; {
	case pending == nil || pending.refused != "":
		// nothing to validate
	case pending != validated:
		a.validatePending()
	case clean(m.Exit):
		a.takeOver()
	default:
		a.refusePending(m.Exit.Reason())
	}
}

// refusePending lets the old version run on, and publishes why.
func (a *scriptActor) refusePending(reason string) {
	a.durable.update.pending.refused = reason
	a.publish()
	a.durable.listen(scrape.VersionRefused{Time: a.cfg.Clock.Now(), Script: a.durable.script.Name, Reason: reason})
}

// takeOver ends the run of the old version and starts one of the new.
func (a *scriptActor) takeOver() {
	a.takePending()
	a.restart(scrape.CauseScriptChanged)
}

// takePending makes the file's version the script's, if that is another.
func (a *scriptActor) takePending() {
	if p := a.durable.update.pending; p != nil {
		a.durable.update.pending = nil
		a.adopt(p.script, p.version)
	}
}

// adopt makes s the script.
func (a *scriptActor) adopt(s script.Script, version string) {
	d := a.durable
	changed := version != d.version
	d.script, d.version = s, version
	if changed || s.Refused != nil {
		d.reason = "" // of another version
	}
	now := a.cfg.Clock.Now()
	switch {
	case s.Refused != nil:
		d.reason = s.Refused.Error()
		d.listen(scrape.ScriptRefused{Time: now, Script: s.Name, Reason: d.reason})
	case changed:
		d.listen(scrape.ScriptReplaced{Time: now, Script: s.Name})
	}
}

func (a *scriptActor) killValidation() {
	if a.durable.update.validation != nil {
		a.durable.update.validation.Kill()
	}
}
