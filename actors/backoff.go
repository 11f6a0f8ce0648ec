package actors

import (
	"math/rand/v2"
	"time"
)

const (
	firstHoldOff   = time.Second
	longestHoldOff = 5 * time.Minute
	// a run that was ready for this long makes the next hold-off a first one
	// again
	healthAfter    = 10 * time.Minute
	crashLoopAfter = 5 // quick ends in a row make a crash loop
)

// backoff counts the quick ends of a script's runs in a row: those of runs that
// were not ready for healthAfter. A run that served and came to its proper end,
// by keepalive or with exit code 0, ends the row. The zero value is ready.
type backoff struct{ failures int }

// next returns how long to hold off after one more quick end: 1 s, doubling,
// with up to a fifth on top so that scripts that fell together do not rise
// together; in a crash loop the longest.
func (b *backoff) next() time.Duration {
	b.failures++
	if b.looping() {
		return longestHoldOff
	}
	d := firstHoldOff << (b.failures - 1)
	return d + rand.N(d/5+1)
}

// looping tells that the script is in a crash loop.
func (b *backoff) looping() bool { return b.failures >= crashLoopAfter }
