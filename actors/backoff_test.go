package actors

import (
	"testing"
	"time"
)

// Ten seconds see no more than five restarts, even if the failures are reset
// before each bug, and the actor has the next bug as soon as it can.
func TestRestartsAreBounded(t *testing.T) {
	var f Failures
	var restarts []time.Time
	now := time.Unix(0, 0)
	for range 100 {
		f.reset()
		f.ActorFailed(now, "bug")
		restarts = append(restarts, now)
		if f.Dormant() {
			now = f.RetryAt()
		}
	}
	for i := maxBugs; i < len(restarts); i++ {
		if span := restarts[i].Sub(restarts[i-maxBugs]); span < bugWindow {
			t.Fatalf("%d restarts in %v", maxBugs+1, span)
		}
	}
}

// The back-off grows with the consecutive failures, and in a crash loop it is
// the longest. The end of a child never makes the actor dormant.
func TestBackoffGrows(t *testing.T) {
	var f Failures
	now := time.Unix(0, 0)
	for i, least := range []time.Duration{1, 2, 4, 8, 300, 300, 300} {
		f.ActorFailed(now, childEnded{"exit code 1"})
		least *= time.Second
		if most := least + least/5; f.backoff < least || f.backoff > most || f.Dormant() {
			t.Errorf("failure %d: back-off %v, dormant %v, want %v to %v", i+1, f.backoff, f.Dormant(), least, most)
		}
		if want := now.Add(f.backoff); !f.RetryAt().Equal(want) {
			t.Errorf("failure %d: retry at %v, want %v", i+1, f.RetryAt(), want)
		}
	}
	f.reset()
	f.ActorFailed(now, childEnded{"exit code 1"})
	if f.backoff > 2*time.Second {
		t.Errorf("back-off after a reset: %v", f.backoff)
	}
}
