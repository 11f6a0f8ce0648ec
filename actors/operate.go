package actors

import (
	"stap-exporter/internal/scrape"
)

// barred says why nothing may start the script: it is refused, or an operator
// stopped it. nil: it may start.
func (a *scriptActor) barred() error {
	switch {
	case a.state == scrape.Running || a.durable.shutdown:
		return nil
	case a.durable.script.Refused != nil:
		return a.durable.script.Refused
	case a.durable.paused:
		return scrape.ErrPaused
	default:
		return nil
	}
}

// startOver stops the run, if there is one, and starts the next. Who waits goes
// on waiting for that.
func (a *scriptActor) startOver(cause scrape.Cause) {
	switch a.state {
	case scrape.Starting, scrape.Running:
		a.becomeStopping(cause)
		a.nextCause = cause
		a.waitForRun()
	case scrape.Stopping:
		a.nextCause = cause
		a.publish()
	case scrape.Idle, scrape.BackingOff:
		a.disarm()
		a.becomeStarting(cause)
	case scrape.Stopped:
	}
}

func (a *scriptActor) startNow() {
	switch {
	case !a.release() || a.state == scrape.Running:
	case a.state == scrape.Starting:
		a.durable.process.Prioritize()
	default:
		a.startOver(scrape.CauseStartRequested)
	}
}

func (a *scriptActor) restartNow() {
	if a.release() {
		a.startOver(scrape.CauseRestartRequested)
	}
}

// release ends what keeps the script from starting, and tells whether it may
// start.
func (a *scriptActor) release() bool {
	a.durable.paused = false
	a.resetFailures("operator")
	return !a.durable.shutdown && a.barred() == nil
}

func (a *scriptActor) stopNow() {
	if a.durable.shutdown {
		return
	}
	a.durable.paused = true
	switch a.state {
	case scrape.Starting, scrape.Running:
		a.becomeStopping(scrape.CauseStopRequested)
	case scrape.BackingOff:
		a.disarm()
		a.becomeIdle(scrape.CauseStopRequested)
	case scrape.Idle, scrape.Stopping:
		a.nextCause = ""
		a.publish()
	case scrape.Stopped:
	}
	a.answerAll(scrape.ErrPaused)
}
