package supervisor

import (
	"testing"
	"time"

	"go.uber.org/zap"

	"stap-exporter/internal/scrape"
)

// The end of the last state's walk (see cmd/stap-exporter/walk_test.go): what
// comes at a shutdown nobody can ask for over HTTP, since the server accepts
// nobody any more. Status, metrics and events have it.
func TestShutdownIsTold(t *testing.T) {
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
	told := map[string]bool{}
	for _, e := range s.Events() {
		if e.Cause == string(scrape.CauseShutdown) {
			told[e.Script+" "+e.To] = true
		}
	}
	for i, st := range s.Statuses() {
		name := st.Script.Name
		if st.State != scrape.Stopped || series["stap_exporter_script_state{script="+name+",state=stopped}"] != 1 ||
			!told[name+" stopped"] ||
			(i == 0) != told[name+" stopping"] {
			t.Errorf("%s is %s, its events: %v", name, st.State, told)
		}
	}
}
