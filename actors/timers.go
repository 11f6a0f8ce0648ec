package actors

import (
	"time"

	"stap-exporter/internal/scrape"
)

// slowRead is how soon keepalive looks again at a script whose read outlasts
// it.
const slowRead = 100 * time.Millisecond

// keepalive is how long the script may go unused; 0: for ever.
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

func (a *scriptActor) armKeepalive(d time.Duration) {
	if d <= 0 {
		return
	}
	a.arm(d, func(timer uint64) any { return KeepaliveExpired{timer} })
}

func (a *scriptActor) armBackoff(d time.Duration) {
	a.arm(d, func(timer uint64) any { return BackoffExpired{timer} })
}

// arm sets the actor's one timer: no state needs two.
func (a *scriptActor) arm(d time.Duration, message func(timer uint64) any) {
	a.disarm()
	a.durable.timers++
	m, tell := message(a.durable.timers), a.tell
	a.timer = a.durable.timers
	a.stopTimer = a.cfg.Clock.AfterFunc(d, func() { tell(m) })
}

func (a *scriptActor) disarm() {
	if a.stopTimer != nil {
		a.stopTimer()
		a.stopTimer = nil
	}
	a.timer = 0
}

func (a *scriptActor) keepaliveExpired(m KeepaliveExpired) {
	if m.Timer != a.timer || a.state != scrape.Running {
		return
	}
	used := a.durable.readyAt
	if a.lastRequest.After(used) {
		used = a.lastRequest
	}
	left := used.Add(a.keepalive()).Sub(a.cfg.Clock.Now())
	if r := a.durable.read; left <= 0 && (r != nil && !r.expired || r == nil && len(a.nextRead.list) > 0) {
		// somebody still waits for a read that is in its time, or begins in a
		// moment
		left = slowRead
	}
	if left > 0 {
		a.armKeepalive(left)
		return
	}
	if a.durable.served {
		a.resetFailures("healthy") // it did what was asked of it, to the end
	}
	a.becomeStopping(scrape.CauseKeepalive)
	// they waited behind a stuck read for all of keepalive
	a.answer(&a.nextRead, scrape.Answer{Err: scrape.ErrReadTimeout})
}

func (a *scriptActor) backoffExpired(m BackoffExpired) {
	if m.Timer != a.timer || a.state != scrape.BackingOff {
		return
	}
	if a.durable.script.Autostart && a.barred() == nil {
		a.becomeStarting(scrape.CauseAutostart)
		return
	}
	a.becomeIdle(scrape.CauseBackoffOver)
}
