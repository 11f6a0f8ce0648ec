// Package heap decides when the garbage collector runs.
package heap

import (
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"time"
)

const (
	// percent of the live heap is the garbage that is kept at most where the
	// heap is large: Go's own 100 would keep as much as there is in use, and
	// with many connections that is much.
	percent = 20
	// least and busy bound the garbage that is kept where the heap is small, in
	// bytes: what comes in a second. With a fifth of a small heap the collector
	// would run for every few hundred reads, and for every text of a megabyte
	// several times a second; a server with little to do has little memory.
	least, busy = 12 << 20, 32 << 20
	// most is the percentage at most, with least garbage, and as much more with
	// more. It keeps the heap of a young process small: Go does not collect
	// before 4 MB times this are in use.
	most = 300
)

// Tune makes the collector run when garbage comes to a fifth of the live heap,
// or where that is more to what was allocated in a second: 12 to 32 MB. GOGC in
// the environment wins. It is called once, at the start of a process.
func Tune() {
	if os.Getenv("GOGC") == "" {
		(&tuner{}).adjust()
	}
}

// tuner is what is known of the latest collection.
type tuner struct {
	percent   int // that is set
	at        time.Time
	allocated uint64 // bytes, ever
}

// A sentinel is garbage from the start, so its finalizer runs after the next
// collection. It is large enough, and has a pointer, so that it shares no
// memory with another object: see runtime.SetFinalizer.
type sentinel struct{ _ *[2]int }

// adjust runs after each collection.
func (t *tuner) adjust() {
	base, allocated := look()
	now := time.Now()
	if p := percentFor(base, rate(allocated-t.allocated, now.Sub(t.at))); p != t.percent {
		t.percent = p
		debug.SetGCPercent(p)
	}
	t.at, t.allocated = now, allocated
	runtime.SetFinalizer(&sentinel{}, func(*sentinel) { t.adjust() })
}

// look returns what the percentage is of, in bytes: what the latest collection
// found in use, with stacks and globals; and what was allocated since the
// process began.
func look() (base, allocated uint64) {
	samples := []metrics.Sample{
		{Name: "/gc/heap/allocs:bytes"},
		{Name: "/gc/heap/live:bytes"},
		{Name: "/gc/scan/stack:bytes"},
		{Name: "/gc/scan/globals:bytes"},
	}
	metrics.Read(samples)
	for i, s := range samples {
		switch {
		case s.Value.Kind() != metrics.KindUint64:
		case i == 0:
			allocated = s.Value.Uint64()
		default:
			base += s.Value.Uint64()
		}
	}
	return base, allocated
}

// rate is that in a second.
func rate(bytes uint64, d time.Duration) uint64 {
	return uint64(float64(bytes) / max(d.Seconds(), 1e-3))
}

// percentFor is what SetGCPercent is to be with that base, when so many bytes
// are allocated in a second.
func percentFor(base, rate uint64) int {
	garbage := min(max(rate, least), busy)
	return int(min(max(percent, garbage*100/max(base, 1)), most*garbage/least))
}
