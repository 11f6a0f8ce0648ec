package actors

import (
	"time"

	"stap-exporter/internal/scrape"
)

// slowRead is how soon keepalive checks a script again whose read outlasts it.
const slowRead = 100 * time.Millisecond

// arm sets the actor's one timer: no state needs two.
func (a *scriptActor) arm(d time.Duration, message func(timer uint64) any) {
	a.disarm()
	a.durable.timers++
	a.timer = a.durable.timers
	m, send := message(a.timer), a.send
	a.stopTimer = a.cfg.Clock.AfterFunc(d, func() { send(m) })
}

func (a *scriptActor) disarm() {
	if a.stopTimer != nil {
		a.stopTimer()
		a.stopTimer = nil
	}
	a.timer = 0
}

func (a *scriptActor) armBackoff(d time.Duration) {
	a.arm(d, func(timer uint64) any { return BackoffExpired{timer} })
}

func (a *scriptActor) armKeepalive(d time.Duration) {
	if d > 0 {
		a.arm(d, func(timer uint64) any { return KeepaliveExpired{timer} })
	}
}

// keepalive is how long the script may go without a request; 0: for ever.
func (a *scriptActor) keepalive() time.Duration {
	switch own := a.durable.script.Directives.Keepalive; {
	case a.durable.script.Autostart:
		return 0
	case own != nil:
		return *own
	default:
		return a.cfg.Keepalive
	}
}

// keepaliveExpired stops the run if the script is unused.
func (a *scriptActor) keepaliveExpired() {
	used := a.durable.run.readyAt
	if a.lastRequest.After(used) {
		used = a.lastRequest
	}
	left := used.Add(a.keepalive()).Sub(a.cfg.Clock.Now())
	if left <= 0 && a.readInTime() {
		left = slowRead
	}
	if left > 0 {
		a.armKeepalive(left)
		return
	}
	if a.durable.run.served {
		a.resetFailures("healthy") // the run did all that was wanted of it
	}
	a.becomeStopping(scrape.CauseKeepalive)
	// these have waited for a stuck read for all of keepalive
	a.answer(&a.reader.next, scrape.Answer{Err: scrape.ErrReadTimeout})
}
