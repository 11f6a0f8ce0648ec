package actors

import "stap-exporter/internal/scrape"

// barred is why nothing may start the script: it is refused, or an operator
// paused it. nil: it may start, or the actor is about to end.
func (a *scriptActor) barred() error {
	switch {
	case a.durable.shutdown:
		return nil
	case a.durable.script.Refused != nil:
		return a.durable.script.Refused
	case a.durable.paused:
		return scrape.ErrPaused
	default:
		return nil
	}
}

// autostarts reports whether the script starts without a request.
func (a *scriptActor) autostarts() bool { return a.durable.script.Autostart && a.barred() == nil }

// release ends what keeps the script from starting, for an operator, and
// reports whether it may start.
func (a *scriptActor) release() bool {
	a.durable.paused = false
	a.resetFailures("operator")
	return !a.durable.shutdown && a.barred() == nil
}

// startNow starts a run for an operator. There must be none.
func (a *scriptActor) startNow(cause scrape.Cause) {
	if a.release() {
		a.disarm()
		a.becomeStarting(cause)
	}
}

// startNext lets another run follow the one that is being stopped, for an
// operator.
func (a *scriptActor) startNext(cause scrape.Cause) {
	if a.release() {
		a.nextCause = cause
		a.publish()
	}
}

// restart stops the run and lets another follow. The waiters go on waiting for
// that one.
func (a *scriptActor) restart(cause scrape.Cause) {
	a.becomeStopping(cause)
	a.nextCause = cause
	a.waitForRun()
}

// stopNow stops the run for an operator.
func (a *scriptActor) stopNow() {
	a.durable.paused = true
	a.becomeStopping(scrape.CauseStopRequested)
	a.answerAll(scrape.ErrPaused)
}
