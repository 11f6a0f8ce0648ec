// Package cpulimit decides how this process shares the processors that it
// has.
package cpulimit

import (
	"os"
	"runtime"
)

// least is how many goroutines run at a time at least, and are shared out by
// the kernel.
const least = 4

var number = runtime.GOMAXPROCS(0)

// Number is how many cpulimit there are for this process; it knows a
// container's share.
func CPUs() int { return number }

// Tune lets at least four goroutines run at a time, also where there are fewer
// cpulimit. Go's scheduler takes a processor away from a goroutine after 10
// ms only, and while all are taken it looks as seldom for what came from
// outside; the kernel's does both at once. With two of them a large page and a
// collection could hold up all small ones. GOMAXPROCS in the environment wins.
// From then on a share of a container that changes is not noticed. It is called
// once, at the start of a process.
func Tune() {
	if os.Getenv("GOMAXPROCS") == "" && number < least {
		runtime.GOMAXPROCS(least)
	}
}
