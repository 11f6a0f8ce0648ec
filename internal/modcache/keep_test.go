package modcache

import (
	"testing"
	"time"
)

func TestClockWasSet(t *testing.T) {
	for _, c := range []struct {
		monotonic, wall time.Duration
		set             bool
	}{
		{time.Minute, time.Minute + time.Millisecond, false},
		{time.Minute, -time.Hour, true},
		{time.Minute, time.Hour, true},
	} {
		if clockWasSet(c.monotonic, c.wall) != c.set {
			t.Errorf("monotonic %v, wall clock %v: %v, want %v", c.monotonic, c.wall, !c.set, c.set)
		}
	}
}
