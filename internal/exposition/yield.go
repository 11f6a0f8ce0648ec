package exposition

import (
	"runtime"

	"stap-exporter/internal/cpulimit"
)

// yieldBytes is how much text is processed between two yields of the CPU: about
// 0.1 ms of work.
const yieldBytes = 1 << 15

// yield lets other goroutines run when work on a text passes a multiple of
// yieldBytes between the offsets from and to. A script may write megabytes, and
// Go's scheduler takes a CPU away from a goroutine only after 10 ms. The scrape
// of another script would wait that long in each of five or six loops.
func yield(from, to int) {
	if from/yieldBytes != to/yieldBytes {
		runtime.Gosched()
	}
}

// acquire takes a CPU permit before work on a text of size bytes, unless it is
// no longer than a text of SystemTap's tapset. The caller calls release when
// the work is done, and must not hold another permit.
func acquire(size int) (release func()) {
	if size <= MaxText {
		return func() {}
	}
	return cpulimit.Acquire()
}
