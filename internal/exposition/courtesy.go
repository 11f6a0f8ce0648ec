package exposition

import "runtime"

// courtesyBytes is how much text is worked on between two looks at who else wants the processor: some 0.1 ms.
const courtesyBytes = 1 << 15

// courtesy lets other goroutines run when work on a text gets from byte from to byte to. Scripts may give megabytes, and the scheduler itself takes a processor away only after 10 ms. Another script's scrape wants one in five or six places: so long it might wait in each.
func courtesy(from, to int) {
	if from/courtesyBytes != to/courtesyBytes {
		runtime.Gosched()
	}
}
