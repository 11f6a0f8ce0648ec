package actors

import (
	"fmt"
	"math/rand/v2"
	"time"
)

const (
	firstBackoff   = time.Second
	longestBackoff = 5 * time.Minute
	// a run that was ready for this long resets the failures
	healthyAfter   = 10 * time.Minute
	crashLoopAfter = 5 // consecutive failures are a crash loop

	// An actor with so many bugs in this time is dormant until the back-off is
	// over.
	maxBugs   = 5
	bugWindow = 10 * time.Second
)

// Failures are the consecutive failures of a script, and the back-off that
// follows from them. The zero value is ready.
// The supervisor owns them. Its strategy counts a failure of the script's
// actor, and hands the Failures to the next incarnation through its producer.
// That one counts the runs that failed without a failure of the actor, and
// resets them. The two never use them at the same time: an actor that has
// failed handles no message before its restart.
type Failures struct {
	count   int           // consecutive
	backoff time.Duration // after the latest
	retryAt time.Time     // nothing starts the script before

	bug     string      // what the latest failure of the actor was; empty: its child's end
	bugs    []time.Time // of the latest bugs, the oldest first, at most maxBugs
	dormant bool        // the next incarnation is
}

// ActorFailed counts a failure of the actor at now; reason is the value of its
// panic. After the end of a child the next incarnation begins in back-off. So
// does it after a bug, but a bug can hit again before the actor gets there:
// from maxBugs in bugWindow on the next incarnation is dormant, at least until
// there were fewer.
func (f *Failures) ActorFailed(now time.Time, reason any) {
	f.add(now)
	f.bug, f.dormant = "", false
	if ChildEndedFailure(reason) {
		return
	}
	f.bug = fmt.Sprintf("the script's actor failed, which is a bug in the exporter: %v", reason)
	f.bugs = append(f.bugs, now)
	f.bugs = f.bugs[max(0, len(f.bugs)-maxBugs):]
	if len(f.bugs) < maxBugs {
		return
	}
	if left := bugWindow - now.Sub(f.bugs[0]); left > 0 {
		f.dormant = true
		f.backoff = max(f.backoff, left)
		f.retryAt = now.Add(f.backoff)
	}
}

// Dormant reports whether the next incarnation does nothing before RetryAt.
func (f *Failures) Dormant() bool { return f.dormant }

// RetryAt is when the back-off is over.
func (f *Failures) RetryAt() time.Time { return f.retryAt }

// add counts a failure and sets the back-off: 1 s, doubled by each failure,
// with up to a fifth on top so that scripts that failed together do not start
// together; in a crash loop the longest.
func (f *Failures) add(now time.Time) {
	f.count++
	if f.looping() {
		f.backoff = longestBackoff
	} else {
		f.backoff = firstBackoff << (f.count - 1)
		f.backoff += rand.N(f.backoff/5 + 1)
	}
	f.retryAt = now.Add(f.backoff)
}

// reset forgets the failures, but not how often the actor had a bug.
func (f *Failures) reset() { f.count, f.backoff, f.retryAt = 0, 0, time.Time{} }

// looping reports whether the script is in a crash loop.
func (f *Failures) looping() bool { return f.count >= crashLoopAfter }
