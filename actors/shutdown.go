package actors

import "stap-exporter/internal/scrape"

// noteShutdown lets nothing start from now on.
func (a *scriptActor) noteShutdown(m Shutdown) {
	a.durable.shutdown = true
	a.durable.removed = a.durable.removed || m.Removed
	a.killValidation()
}

// endChild stops the run for the last time.
func (a *scriptActor) endChild(m Shutdown) {
	a.noteShutdown(m)
	a.becomeStopping(a.endCause())
	a.answerAll(a.endError())
}

// endWithoutChild is the end, once the validation under way is over, if there
// is one.
func (a *scriptActor) endWithoutChild(m Shutdown) {
	a.noteShutdown(m)
	if a.durable.update.validation != nil {
		a.becomeStopping(a.endCause())
	} else {
		a.becomeStopped()
	}
	a.answerAll(a.endError())
}

// endError is what requests get after Shutdown.
func (a *scriptActor) endError() error {
	if a.durable.removed {
		return scrape.ErrUnknown
	}
	return scrape.ErrShuttingDown
}

func (a *scriptActor) endCause() scrape.Cause {
	if a.durable.removed {
		return scrape.CauseRemoved
	}
	return scrape.CauseShutdown
}

// reportEnd closes Handle.Ended: there is no child any more.
func (a *scriptActor) reportEnd() {
	select {
	case <-a.durable.ending.done: // by an earlier incarnation
	default:
		a.durable.ending.residue = a.durable.residue
		close(a.durable.ending.done)
	}
	if a.durable.removed {
		a.retire()
	}
}
