package runner

import (
	"fmt"
	"time"
)

// awaitSlot waits until the run may start, and reports its position meanwhile.
// It returns false when the run must end before.
func (r *Run) awaitSlot() bool {
	select {
	case <-r.slot.granted:
		return true
	default:
	}
	begun := time.Now()
	for {
		if position, length := r.slot.position(); position > 0 {
			r.report(Progress{
				Run:      r.number,
				Activity: fmt.Sprintf("position %d of %d in the queue", position, length),
				Position: position,
				Length:   length,
			})
		}
		select {
		case <-r.slot.granted:
			r.queued = time.Since(begun)
			// It has no position any more; its first process may be seconds
			// away.
			r.report(Progress{Run: r.number})
			return true
		case <-r.slot.moved:
		case <-r.stop.Done():
			return false
		case <-r.kill.Done():
			return false
		}
	}
}

// Prioritize moves the run to the interactive class, because a request or an
// operator waits for it. It never blocks, and changes nothing for a run that
// has its slot.
func (r *Run) Prioritize() { r.slot.prioritize() }
