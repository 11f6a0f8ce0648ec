// Package heap decides when the garbage collector runs.
package heap

import (
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
)

const (
	// percent of the live heap is the garbage that is kept at most where the heap is large: Go's own 100 would keep as much as there is in use, and with many connections that is much.
	percent = 20
	// least is the garbage that is kept where the heap is small, in bytes: with a fifth of it the collector would run for every few hundred reads.
	least = 12 << 20
	// most keeps the heap of a young process small: Go does not collect before 4 MB times this are in use, in percent.
	most = 300
)

// Tune makes the collector run when garbage comes to a fifth of the live heap, or to 12 MB where that is more. GOGC in the environment wins. It is called once, at the start of a process.
func Tune() {
	if os.Getenv("GOGC") == "" {
		adjust(0)
	}
}

// A sentinel is garbage from the start, so its finalizer runs after the next collection. It is large enough, and has a pointer, so that it shares no memory with another object: see runtime.SetFinalizer.
type sentinel struct{ _ *[2]int }

func adjust(before int) {
	now := percentFor(base())
	if now != before {
		debug.SetGCPercent(now)
	}
	runtime.SetFinalizer(&sentinel{}, func(*sentinel) { adjust(now) })
}

// base is what the percentage is of, in bytes: what the latest collection found in use, with stacks and globals.
func base() (sum uint64) {
	samples := []metrics.Sample{{Name: "/gc/heap/live:bytes"}, {Name: "/gc/scan/stack:bytes"}, {Name: "/gc/scan/globals:bytes"}}
	metrics.Read(samples)
	for _, s := range samples {
		if s.Value.Kind() == metrics.KindUint64 {
			sum += s.Value.Uint64()
		}
	}
	return sum
}

// percentFor is what SetGCPercent is to be with that base.
func percentFor(base uint64) int {
	if base == 0 {
		return most
	}
	return int(min(max(percent, least*100/base), most))
}
