package cpulimit

import (
	"testing"
	"time"
)

// Who has waited long enough goes on without a place, and gives back none.
func TestTurns(t *testing.T) {
	places := make(chan struct{}, 1)
	end := turnOf(places, time.Minute)
	late := turnOf(places, time.Millisecond)
	if len(places) != 1 {
		t.Errorf("%d places taken, want 1", len(places))
	}
	late()
	end()
	if len(places) != 0 {
		t.Errorf("%d places taken at the end", len(places))
	}
}
