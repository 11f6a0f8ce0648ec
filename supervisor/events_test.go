package supervisor

import (
	"testing"
	"time"

	"stap-exporter/actors"
	"stap-exporter/internal/scrape"
	"stap-exporter/internal/stap"
)

// The last 1,000 events can be read back, the oldest first; reads and requests
// are none.
func TestLastEvents(t *testing.T) {
	r := newEventRing()
	begin := time.Unix(0, 0)
	for n := range 3 * keptEvents / 2 {
		if n == keptEvents/2 {
			if list := r.list(); len(list) != n || list[0].Run != 0 || list[n-1].Run != uint64(n-1) {
				t.Errorf("after %d events: %d, from %d", n, len(list), list[0].Run)
			}
		}
		r.listen(scrape.StateChanged{
			Time:   begin.Add(time.Duration(n)),
			Script: "a.stp",
			To:     scrape.Starting,
			Run:    uint64(n),
		})
		r.listen(scrape.ReadEnded{Script: "a.stp"})
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

// A start that compiled is told apart from one that loaded what was compiled
// before.
func TestStartsAreToldApart(t *testing.T) {
	h := newHost()
	h.onStart = func(p *process) {
		p.report(actors.ProcessReady{
			Ready:  stap.Ready{Run: p.run, OSPID: 1, Compiled: p.run == 1},
			Source: p.source,
		})
	}
	s := startTree(t, h, Config{Scripts: named("b.stp")})
	s.Scrape([]byte("b.stp"), patient())
	if err := s.RestartScript("b.stp"); err != nil {
		t.Fatal(err)
	}
	eventually(t, "it runs again", func() bool {
		st := s.Statuses()[0]
		return st.Run == 2 && st.State == scrape.Running
	})
	series, _ := gather(t, s)
	for _, how := range []string{"compiled", "loaded"} {
		if n := series["stap_exporter_script_start_duration_seconds{how="+how+",script=b.stp}"]; n != 1 {
			t.Errorf("%v starts %s, want 1", n, how)
		}
	}
}
