package actors

import "stap-exporter/internal/script"

// barred says why nothing may start the script: it is refused, or an operator
// stopped it. nil: it may start.
func (a *scriptActor) barred() error {
	switch {
	case a.state == script.Running || a.her.shutdown:
		return nil
	case a.her.script.Refused != nil:
		return a.her.script.Refused
	case a.her.held:
		return script.ErrHeld
	default:
		return nil
	}
}

// startOver stops the run, if there is one, and starts the next. Who waits goes
// on waiting for that.
func (a *scriptActor) startOver(cause Cause) {
	switch a.state {
	case script.Starting, script.Running:
		a.becomeStopping(cause)
		a.wanted = cause
		a.waitForRun()
	case script.Stopping:
		a.wanted = cause
		a.publish()
	case script.Idle, script.BackingOff:
		a.disarm()
		a.becomeStarting(cause)
	case script.Stopped:
	}
}

func (a *scriptActor) startNow() {
	switch {
	case !a.release() || a.state == script.Running:
	case a.state == script.Starting:
		a.her.process.Hurry()
	default:
		a.startOver(CauseStartAsked)
	}
}

func (a *scriptActor) restartNow() {
	if a.release() {
		a.startOver(CauseRestartAsked)
	}
}

// release ends what keeps the script from starting, and tells whether it may
// start.
func (a *scriptActor) release() bool {
	a.her.held = false
	a.forgive("operator")
	return !a.her.shutdown && a.barred() == nil
}

func (a *scriptActor) stopNow() {
	if a.her.shutdown {
		return
	}
	a.her.held = true
	switch a.state {
	case script.Starting, script.Running:
		a.becomeStopping(CauseStopAsked)
	case script.BackingOff:
		a.disarm()
		a.becomeIdle(CauseStopAsked)
	case script.Idle, script.Stopping:
		a.wanted = ""
		a.publish()
	case script.Stopped:
	}
	a.answerAll(script.ErrHeld)
}
