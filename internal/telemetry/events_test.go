package telemetry

import (
	"testing"
	"time"

	"stap-exporter/internal/scrape"
)

// The last 1,000 events can be read back, the oldest first; reads are not among
// them.
func TestLastEvents(t *testing.T) {
	var r eventRing
	begin := time.Unix(0, 0)
	for n := range 3 * keptEvents / 2 {
		if n == keptEvents/2 {
			if list := r.list(); len(list) != n || list[0].Run != 0 || list[n-1].Run != uint64(n-1) {
				t.Errorf("after %d events: %d, from %d", n, len(list), list[0].Run)
			}
		}
		r.record(scrape.StateChanged{
			Time:   begin.Add(time.Duration(n)),
			Script: "a.stp",
			To:     scrape.Starting,
			Run:    uint64(n),
		})
		r.record(scrape.ReadEnded{Script: "a.stp"})
	}
	list := r.list()
	if keptEvents != 1000 || len(list) != keptEvents {
		t.Fatalf("%d events", len(list))
	}
	for i, e := range list {
		if e.Run != uint64(i+keptEvents/2) {
			t.Fatalf("event %d is of run %d", i, e.Run)
		}
	}
}

// Every kind of EventKinds comes from an event, and no other kind does.
func TestEventKinds(t *testing.T) {
	kinds := map[string]bool{}
	for _, e := range allEvents() {
		if event, ok := eventOf(e); ok {
			kinds[event.Kind] = true
			if event.Script != "a.stp" {
				t.Errorf("%s is of script %q", event.Kind, event.Script)
			}
		}
	}
	for _, kind := range EventKinds() {
		if !kinds[kind] {
			t.Errorf("no event has the kind %s", kind)
		}
		delete(kinds, kind)
	}
	for kind := range kinds {
		t.Errorf("EventKinds does not have %s", kind)
	}
}
