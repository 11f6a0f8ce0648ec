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
	const mb = 1 << 20
	for _, c := range []struct {
		base, rate uint64
		want       int
	}{
		{0, 0, 300},
		{1 * mb, 0, 300},
		{4 * mb, 1 * mb, 300},
		{6 * mb, 12 * mb, 200},
		{12 * mb, 0, 100},
		{30 * mb, 0, 40},
		{60 * mb, 0, 20},
		{1 << 40, 0, 20},
		{1 * mb, 1 << 40, 800},
		{12 * mb, 24 * mb, 200},
		{32 * mb, 1 << 40, 100},
		{160 * mb, 1 << 40, 20},
	} {
		if got := percentFor(c.base, c.rate); got != c.want {
			t.Errorf("%d bytes, %d in a second: %d, want %d", c.base, c.rate, got, c.want)
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
