package runner

import (
	"fmt"
	"time"
)

// takeTurn waits until the run may start, and reports its place meanwhile. It
// returns false when the run is to end first.
func (r *Run) awaitSlot() bool {
	begun := time.Now()
	for {
		select {
		case <-r.slot.granted:
			return true
		default:
		}
		if place, of := r.slot.position(); place > 0 {
			r.report(Progress{
				Run:      r.number,
				Activity: fmt.Sprintf("place %d of %d in the queue", place, of),
				Position: place,
				Length:   of,
			})
		}
		select {
		case <-r.slot.granted:
			r.queued = time.Since(begun)
			// in no place any more; its first process may be seconds away
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

// Prioritize says that somebody waits for the run: it starts before those that
// nobody waits for. It never blocks, and changes nothing for a run that is past
// the queue.
func (r *Run) Prioritize() { r.slot.prioritize() }
