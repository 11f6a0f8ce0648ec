package actors

import (
	"math/rand/v2"
	"time"
)

const (
	firstBackoff   = time.Second
	longestBackoff = 5 * time.Minute
	// a run that was ready for this long resets the failures
	healthyAfter   = 10 * time.Minute
	crashLoopAfter = 5 // consecutive failures are a crash loop
)

// failures are the consecutive failures of a script: ends of runs that had not
// been ready for healthyAfter, and bugs of its actor. The zero value is ready.
type failures struct {
	count   int
	backoff time.Duration // after the latest
	retryAt time.Time     // nothing starts the script before
}

// add counts a failure and sets the back-off: 1 s, doubled by each failure,
// with up to a fifth on top so that scripts that failed together do not start
// together; in a crash loop the longest.
func (f *failures) add(now time.Time) {
	f.count++
	if f.looping() {
		f.backoff = longestBackoff
	} else {
		f.backoff = firstBackoff << (f.count - 1)
		f.backoff += rand.N(f.backoff/5 + 1)
	}
	f.retryAt = now.Add(f.backoff)
}

// looping reports whether the script is in a crash loop.
func (f *failures) looping() bool { return f.count >= crashLoopAfter }
