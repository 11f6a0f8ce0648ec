package heap

import (
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"testing"
	"time"
)

func TestPercentFor(t *testing.T) {
	for live, want := range map[uint64]int{0: 300, 1 << 20: 300, 4 << 20: 300, 6 << 20: 200, 12 << 20: 100, 30 << 20: 40, 60 << 20: 20, 1 << 40: 20} {
		if got := percentFor(live); got != want {
			t.Errorf("%d bytes: %d, want %d", live, got, want)
		}
	}
}

// The percentage follows the heap, up and down.
func TestTuneFollowsTheHeap(t *testing.T) {
	if os.Getenv("GOGC") != "" {
		t.Skip("GOGC is set, which wins")
	}
	defer debug.SetGCPercent(debug.SetGCPercent(100))
	Tune()
	becomes := func(ok func(percent int) bool) {
		t.Helper()
		for end := time.Now().Add(30 * time.Second); ; time.Sleep(time.Millisecond) {
			runtime.GC()
			sample := []metrics.Sample{{Name: "/gc/gogc:percent"}}
			metrics.Read(sample)
			now := int(sample[0].Value.Uint64())
			if ok(now) {
				return
			}
			if time.Now().After(end) {
				t.Fatalf("percentage is %d", now)
			}
		}
	}
	becomes(func(p int) bool { return p > 200 })
	large := make([]byte, 100<<20)
	becomes(func(p int) bool { return p == percent })
	runtime.KeepAlive(large)
	becomes(func(p int) bool { return p > 200 })
}
