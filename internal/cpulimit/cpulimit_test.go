package cpulimit

import (
	"testing"
	"time"
)

// A caller that has waited long enough goes on without a permit and returns
// none.
func TestAcquire(t *testing.T) {
	permits := make(chan struct{}, 1)
	release := acquire(permits, time.Minute)
	late := acquire(permits, time.Millisecond)
	if len(permits) != 1 {
		t.Errorf("%d permits taken, want 1", len(permits))
	}
	late()
	release()
	if len(permits) != 0 {
		t.Errorf("%d permits taken at the end, want 0", len(permits))
	}
}
