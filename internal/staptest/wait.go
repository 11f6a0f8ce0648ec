package staptest

import (
	"testing"
	"time"
)

// Patience bounds every wait of the tests. Only a defect makes a wait last so
// long.
const Patience = 30 * time.Second

// WaitFor waits until condition returns true, and fails the test when that
// takes longer than Patience. what describes the condition.
func WaitFor(t *testing.T, what string, condition func() bool) {
	t.Helper()
	for end := time.Now().Add(Patience); !condition(); {
		if time.Now().After(end) {
			t.Fatalf("%s: not within %v", what, Patience)
		}
		pause()
	}
}

// pause is the time between two checks of a condition.
func pause() { time.Sleep(2 * time.Millisecond) }
