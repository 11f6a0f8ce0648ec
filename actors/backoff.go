package actors

import (
	"math/rand/v2"
	"time"
)

const (
	firstHoldOff   = time.Second
	longestHoldOff = 5 * time.Minute
	healthAfter    = 10 * time.Minute // a run that was ready for this long makes the next hold-off a first one again
)

// backoff counts the quick ends of a script's runs in a row. The zero value is ready.
type backoff struct{ failures int }

// recovered forgets earlier failures after a run that was ready for long.
func (b *backoff) recovered(ready time.Duration) {
	if ready >= healthAfter {
		b.failures = 0
	}
}

// next returns how long to hold off after a run that was ready this long: 1 s, doubling up to 5 min, with up to a fifth on top so that scripts that fell together do not rise together.
func (b *backoff) next(ready time.Duration) time.Duration {
	b.recovered(ready)
	d := longestHoldOff
	if b.failures < 9 { // 1 s << 9 is past the longest
		d = min(firstHoldOff<<b.failures, longestHoldOff)
	}
	b.failures++
	return min(d+rand.N(d/5+1), longestHoldOff)
}
