package cpulimit

import (
	"runtime"
	"testing"
)

func TestTune(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(0))
	runtime.GOMAXPROCS(number)
	t.Setenv("GOMAXPROCS", "1")
	Tune()
	if got := runtime.GOMAXPROCS(0); got != number {
		t.Errorf("%d at a time, though the environment says so: want %d", got, number)
	}
	t.Setenv("GOMAXPROCS", "")
	Tune()
	if got, want := runtime.GOMAXPROCS(0), max(number, least); got != want {
		t.Errorf("%d at a time, want %d", got, want)
	}
	if CPUs() != number {
		t.Errorf("%d processors, want %d as before", CPUs(), number)
	}
}
