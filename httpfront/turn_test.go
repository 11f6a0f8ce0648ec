package httpfront

import "testing"

// Who has waited long enough goes on without a place, and gives back none.
func TestTurns(t *testing.T) {
	places := make(turns, 1)
	leave := places.take()
	late := places.take()
	if len(places) != 1 {
		t.Errorf("%d places taken, want 1", len(places))
	}
	late()
	leave()
	if len(places) != 0 {
		t.Errorf("%d places taken at the end", len(places))
	}
}
