// Package cpulimit keeps work on large texts from taking every CPU that the
// process may use.
//
// Work on a text of megabytes takes milliseconds; serving one small scrape
// takes microseconds. Go's scheduler takes a CPU away from a goroutine only
// after 10 ms, so two large texts on two CPUs could hold up every small scrape
// for that long. Large work therefore takes a permit first, and there is one
// permit fewer than CPUs.
//
// The package starts no goroutine. Its functions may be called from any
// goroutine.
package cpulimit

import (
	"runtime"
	"time"
)

// maxWait is how long Acquire waits for a permit. Work that holds one for
// longer waits for something itself and occupies no CPU.
const maxWait = 100 * time.Millisecond

// permits has a slot for each CPU but one, and at least one slot.
var permits = make(chan struct{}, max(1, CPUs()-1))

// CPUs returns how many CPUs this process may use at a time, which accounts for
// the CPU limit of a container.
func CPUs() int { return runtime.GOMAXPROCS(0) }

// Acquire waits until a permit is free, or for 100 ms; then the caller goes on
// without one. The caller must call release exactly once. A goroutine that
// holds a permit must not acquire another.
func Acquire() (release func()) { return acquire(permits, maxWait) }

func acquire(permits chan struct{}, wait time.Duration) (release func()) {
	timeout := time.NewTimer(wait)
	defer timeout.Stop()
	select {
	case permits <- struct{}{}:
		return func() { <-permits }
	case <-timeout.C:
		return func() {}
	}
}
