package httpfront

import (
	"runtime"
	"time"
)

// longestTurn is how long work on a large page waits for its turn. What holds others up for longer waits for something itself.
const longestTurn = 100 * time.Millisecond

// turns are the places of those who make large pages: of all scripts, of all metrics, of the API. One processor is left for scrapes of single scripts, of which each would else wait up to 10 ms for one, several times.
type turns chan struct{}

func newTurns() turns { return make(turns, max(1, runtime.GOMAXPROCS(0)-1)) }

// take waits for a place, and returns what gives it back.
func (t turns) take() (leave func()) {
	late := time.NewTimer(longestTurn)
	defer late.Stop()
	select {
	case t <- struct{}{}:
		return func() { <-t }
	case <-late.C:
		return func() {}
	}
}
