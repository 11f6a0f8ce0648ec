package modcache

import (
	"testing"
	"time"
)

func TestClockWasSet(t *testing.T) {
	for _, c := range []struct {
		passed, shown time.Duration
		set           bool
	}{{time.Minute, time.Minute + time.Millisecond, false}, {time.Minute, -time.Hour, true}, {time.Minute, time.Hour, true}} {
		if clockWasSet(c.passed, c.shown) != c.set {
			t.Errorf("%v passed, the clock shows %v: %v", c.passed, c.shown, !c.set)
		}
	}
}
