package scrape

import "testing"

func TestHistory(t *testing.T) {
	var h *History
	for run := range uint64(MaxEnds + 2) {
		cause := EndFailed
		if run%2 == 1 {
			cause = EndSignal
		}
		before := h
		h = h.With(End{Run: run, Cause: cause})
		if before != nil && before.Last[len(before.Last)-1].Run != run-1 {
			t.Fatalf("run %d changed the history before it: %+v", run, before)
		}
	}
	if len(h.Last) != MaxEnds || h.Last[0].Run != 2 || h.Last[MaxEnds-1].Run != MaxEnds+1 {
		t.Errorf("got %+v, want runs 2 to %d", h.Last, MaxEnds+1)
	}
	if want := [EndCauses]uint64{EndFailed: MaxEnds/2 + 1, EndSignal: MaxEnds/2 + 1}; h.Counts != want {
		t.Errorf("got counts %v, want %v", h.Counts, want)
	}
}

func TestNames(t *testing.T) {
	for got, want := range map[string]string{
		Idle.String():       "idle",
		Stopped.String():    "stopped",
		State(99).String():  "unknown",
		EndStopped.String(): "stopped",
		EndError.String():   "error",
		EndCauses.String():  "unknown",
	} {
		if got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}
