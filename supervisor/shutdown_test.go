package supervisor

import (
	"testing"
	"time"

	"go.uber.org/zap"

	"stap-exporter/internal/scrape"
)

// Status, metrics and events have the states of a shutdown. This completes the
// test of every state and cause in test/e2e/walk_test.go, which cannot
// see them: the HTTP server accepts no connection any more.
func TestStatesOfAShutdown(t *testing.T) {
	h := newHost()
	h.onStart = func(p *process) { p.ready() }
	s, err := StartWith(Config{Scripts: named("a.stp", "idle.stp"), ReadTimeout: time.Second, Logger: zap.NewNop()}, h)
	if err != nil {
		t.Fatal(err)
	}
	if a := s.Scrape([]byte("a.stp"), patient()); a.Err != nil {
		t.Fatal(a.Err)
	}
	if left := s.Shutdown(t.Context()); len(left) > 0 {
		t.Fatal(left)
	}
	series := gather(t, s)
	seen := map[string]bool{}
	for _, e := range s.Events() {
		if e.Cause == string(scrape.CauseShutdown) {
			seen[e.Script+" "+e.To] = true
		}
	}
	for i, st := range s.Statuses() {
		name := st.Script.Name
		if st.State != scrape.Stopped || series["stap_exporter_script_state{script="+name+",state=stopped}"] != 1 ||
			!seen[name+" stopped"] ||
			(i == 0) != seen[name+" stopping"] {
			t.Errorf("%s is %s, its events: %v", name, st.State, seen)
		}
	}
}
