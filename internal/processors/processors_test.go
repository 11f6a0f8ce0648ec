package processors

import (
	"os"
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
	if err := os.Unsetenv("GOMAXPROCS"); err != nil {
		t.Fatal(err)
	}
	Tune()
	if got, want := runtime.GOMAXPROCS(0), max(number, least); got != want {
		t.Errorf("%d at a time, want %d", got, want)
	}
	if Number() != number {
		t.Errorf("%d processors, want %d as before", Number(), number)
	}
}
