package exposition

import (
	"runtime"

	"stap-exporter/internal/cpulimit"
)

// courtesyBytes is how much text is worked on between two looks at who else
// wants the processor: some 0.1 ms.
const courtesyBytes = 1 << 15

// courtesy lets other goroutines run when work on a text gets from byte from to
// byte to. Scripts may give megabytes, and the scheduler itself takes a
// processor away only after 10 ms. Another script's scrape wants one in five or
// six places: so long it might wait in each.
func courtesy(from, to int) {
	if from/courtesyBytes != to/courtesyBytes {
		runtime.Gosched()
	}
}

// turn is for who begins to work on a text of that many bytes: where it is
// longer than SystemTap lets one be, it waits for its turn. What it returns
// ends the turn. There are no turns in turns.
func turn(size int) (end func()) {
	if size <= MaxText {
		return func() {}
	}
	return cpulimit.Acquire()
}
