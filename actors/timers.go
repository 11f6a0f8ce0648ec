package actors

import (
	"time"

	"stap-exporter/internal/script"
)

// slowRead is how soon keepalive looks again at a script whose read outlasts
// it.
const slowRead = 100 * time.Millisecond

// keepalive is how long the script may go unused; 0: for ever.
func (a *scriptActor) keepalive() time.Duration {
	switch own := a.her.script.Directives.Keepalive; {
	case a.her.script.Autostart:
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

func (a *scriptActor) armHoldOff(d time.Duration) {
	a.arm(d, func(timer uint64) any { return HoldOffExpired{timer} })
}

// arm sets the actor's one timer: no state needs two.
func (a *scriptActor) arm(d time.Duration, message func(timer uint64) any) {
	a.disarm()
	a.her.timers++
	m, tell := message(a.her.timers), a.tell
	a.timer = a.her.timers
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
	if m.Timer != a.timer || a.state != script.Running {
		return
	}
	used := a.her.readyAt
	if a.lastRequest.After(used) {
		used = a.lastRequest
	}
	left := used.Add(a.keepalive()).Sub(a.cfg.Clock.Now())
	if r := a.her.read; left <= 0 && (r != nil && !r.expired || r == nil && len(a.next.list) > 0) {
		// somebody still waits for a read that is in its time, or begins in a
		// moment
		left = slowRead
	}
	if left > 0 {
		a.armKeepalive(left)
		return
	}
	if a.her.served {
		a.forgive("healthy") // it did what was asked of it, to the end
	}
	a.becomeStopping(CauseKeepalive)
	// they waited behind a stuck read for all of keepalive
	a.answer(&a.next, script.Answer{Err: script.ErrReadTimeout})
}

func (a *scriptActor) holdOffExpired(m HoldOffExpired) {
	if m.Timer != a.timer || a.state != script.BackingOff {
		return
	}
	if a.her.script.Autostart && a.barred() == nil {
		a.becomeStarting(CauseAutostart)
		return
	}
	a.becomeIdle(CauseHoldOffOver)
}
