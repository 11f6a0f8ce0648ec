package cpulimit

import "time"

// longestTurn is how long anybody waits for a turn. What holds others up for
// longer waits for something itself.
const longestTurn = 100 * time.Millisecond

// turns are one fewer than processors, but at least one.
var turns = make(chan struct{}, max(1, number-1))

// Turn is for work on a large text or page, which takes milliseconds: it waits
// until not all processors are taken by such work, so that one is left for what
// takes microseconds where there are two, and returns what ends the turn. Who
// has waited for 100 ms goes on all the same. There are no turns in turns. Any
// goroutine may call it.
func Acquire() (end func()) { return turnOf(turns, longestTurn) }

func turnOf(places chan struct{}, longest time.Duration) (end func()) {
	late := time.NewTimer(longest)
	defer late.Stop()
	select {
	case places <- struct{}{}:
		return func() { <-places }
	case <-late.C:
		return func() {}
	}
}
