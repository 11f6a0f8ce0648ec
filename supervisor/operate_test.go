package supervisor

import (
	"errors"
	"testing"

	"stap-exporter/internal/scrape"
	"stap-exporter/internal/script"
)

func TestOperator(t *testing.T) {
	f, h := newDirectory(t, "a.stp", "autostart.stp", "invalid.stp"), newHost()
	f.write("invalid.stp", "# stap-exporter: nonsense\n")
	s := f.serve(h, Config{})
	for _, act := range []func(string) error{s.StartScript, s.StopScript, s.RestartScript} {
		if err := act("none.stp"); !errors.Is(err, scrape.ErrUnknown) {
			t.Errorf("unknown script: %v", err)
		}
	}
	if err := s.StartScript("invalid.stp"); !errors.Is(err, script.ErrInvalidHeader) {
		t.Errorf("refused script: %v", err)
	}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(s.StartScript("a.stp"))
	eventually(t, "a.stp runs", func() bool { return status(t, s, "a.stp").State == scrape.Running })
	for _, n := range []string{"a.stp", "autostart.stp"} {
		must(s.StopScript(n))
		eventually(t, n+" is stopped", func() bool {
			st := status(t, s, n)
			return st.State == scrape.Idle && st.Paused
		})
		if a := s.Scrape([]byte(n), waiting()); !errors.Is(a.Err, scrape.ErrPaused) {
			t.Errorf("%s: %v", n, a.Err)
		}
		reload(t, s)
		must(s.RestartScript(n))
		if a := s.Scrape([]byte(n), waiting()); a.Err != nil {
			t.Errorf("%s: %v", n, a.Err)
		}
	}
	must(s.StopScript("a.stp"))
	f.write("a.stp", "probe end {}\n")
	reload(t, s)
	if a := s.Scrape([]byte("a.stp"), waiting()); a.Err != nil {
		t.Errorf("after a change of its file: %v", a.Err)
	}
}
