package supervisor

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	dto "github.com/prometheus/client_model/go"
	"go.uber.org/zap"

	"stap-exporter/actors"
	"stap-exporter/internal/exposition"
	"stap-exporter/internal/runner"
	"stap-exporter/internal/scrape"
	"stap-exporter/internal/telemetry"
	"stap-exporter/internal/toolchain"
)

// gather returns the exporter's own metrics, each series with its labels,
// histograms by their count.
func gather(t *testing.T, s *Supervisor) (series map[string]float64) {
	t.Helper()
	families, err := s.Gatherer().Gather()
	if err != nil {
		t.Fatal(err)
	}
	series = map[string]float64{}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			var labels []string
			for _, l := range m.GetLabel() {
				labels = append(labels, fmt.Sprintf("%s=%s", l.GetName(), l.GetValue()))
			}
			key := f.GetName() + "{" + strings.Join(labels, ",") + "}"
			switch f.GetType() {
			case dto.MetricType_COUNTER:
				series[key] = m.GetCounter().GetValue()
			case dto.MetricType_HISTOGRAM:
				series[key] = float64(m.GetHistogram().GetSampleCount())
			default:
				series[key] = m.GetGauge().GetValue()
			}
		}
	}
	return series
}

// The metrics and events follow an autostart script that fails once, and a
// script that answers requests.
func TestMetricsFollowTheScripts(t *testing.T) {
	h := newHost()
	h.onStart = func(p *process) {
		if p.script.Autostart && p.run == 1 {
			go p.exit(runner.Exit{Code: 3, Stage: toolchain.StageRun})
			return
		}
		p.ready()
	}
	s := startTree(t, h, Config{Scripts: named("auto.stp", "b.stp"), Version: "1.2.3"})
	for range 40 {
		if a := s.Scrape([]byte("b.stp"), waiting()); a.Err != nil {
			t.Fatal(a.Err)
		} else {
			a.Status.Count(200)
		}
	}
	eventually(t, "auto.stp runs again", func() bool { return s.Statuses()[0].State == scrape.Running })
	series := gather(t, s)
	for key, want := range map[string]float64{
		"stap_exporter_build_info{version=1.2.3}":                               1,
		"stap_exporter_scripts{}":                                               2,
		"stap_exporter_script_up{script=b.stp}":                                 1,
		"stap_exporter_script_state{script=b.stp,state=running}":                1,
		"stap_exporter_script_state{script=b.stp,state=idle}":                   0,
		"stap_exporter_script_starts_total{script=b.stp}":                       1,
		"stap_exporter_script_starts_total{script=auto.stp}":                    2,
		"stap_exporter_script_restarts_total{script=auto.stp}":                  1,
		"stap_exporter_script_restarts_total{script=b.stp}":                     0,
		"stap_exporter_script_exits_total{cause=failed,script=auto.stp}":        1,
		"stap_exporter_script_exits_total{cause=failed,script=b.stp}":           0,
		"stap_exporter_script_requests_total{code=200,script=b.stp}":            40,
		"stap_exporter_script_read_duration_seconds{script=b.stp}":              40,
		"stap_exporter_script_read_samples{script=b.stp}":                       1,
		"stap_exporter_script_start_duration_seconds{kind=loaded,script=b.stp}": 1,
		"stap_exporter_actor_spawns_total{kind=script}":                         2,
		"stap_exporter_actor_failures_total{kind=script,reason=child-ended}":    1,
		"stap_exporter_actor_restarts_total{kind=script}":                       1,
	} {
		if got, ok := series[key]; !ok || got != want {
			t.Errorf("%s is %v (present: %v), want %v", key, got, ok, want)
		}
	}
	if series["stap_exporter_actor_receive_duration_seconds{}"] == 0 {
		t.Error("no message was timed")
	}
	states := map[string]bool{}
	for _, e := range s.Events() {
		if e.Script == "auto.stp" && e.Kind == telemetry.KindStateChanged {
			states[e.To] = true
		}
	}
	want := []string{"backing-off", "idle", "running", "starting"}
	if got := slices.Sorted(maps.Keys(states)); !slices.Equal(got, want) {
		t.Errorf("the events have the states %v, want %v", got, want)
	}
}

// The status has the number of dropped lines, the first of the latest page that
// had such lines, and why a page without a valid sample is an error.
func TestStatusOfDroppedLines(t *testing.T) {
	h := newHost()
	texts := []string{"good 1\nbad x\n", "nothing valid here at all\n", "good 1\n"}
	h.onStart = func(p *process) {
		p.source = &textSource{texts: &texts}
		p.ready()
	}
	s := startTree(t, h, Config{Scripts: named("b.stp"), Logger: zap.NewNop()})
	for range texts {
		s.Scrape([]byte("b.stp"), waiting())
	}
	reads := s.Statuses()[0].Reads
	if first := reads.FirstDropped.Load(); reads.Dropped.Load() != 2 || first == nil ||
		first.String() != `bad-value in line 1: "nothing valid here at all"` ||
		reads.Problem.Load() != nil {
		t.Errorf("the status has %d dropped lines, first %v", reads.Dropped.Load(), first)
	}
	if a := s.Scrape([]byte("b.stp"), waiting()); !errors.Is(a.Err, scrape.ErrNoValidSamples) {
		t.Errorf("a text without a valid line answered %v", a.Err)
	} else if why := reads.Problem.Load(); why == nil || *why != a.Err.Error() {
		t.Errorf("the status has the problem %v", why)
	}
}

// textSource gives one text after the other, then nothing valid.
type textSource struct {
	source
	texts *[]string
}

func (s *textSource) Read(context.Context, <-chan struct{}) (*exposition.Page, error) {
	text := "nothing valid here\n"
	if len(*s.texts) > 0 {
		text, *s.texts = (*s.texts)[0], (*s.texts)[1:]
	}
	p := exposition.Sanitize([]byte(text), exposition.Options{})
	if p.Empty() {
		return exposition.NoSamples("no samples yet"), nil
	}
	return p, nil
}

// A start that compiled counts apart from one that loaded a cached module.
func TestKindsOfAStart(t *testing.T) {
	h := newHost()
	h.onStart = func(p *process) {
		p.report(actors.ProcessReady{
			Ready:  runner.Ready{Run: p.run, OSPID: 1, Compiled: p.run == 1},
			Source: p.source,
		})
	}
	s := startTree(t, h, Config{Scripts: named("b.stp")})
	s.Scrape([]byte("b.stp"), waiting())
	if err := s.RestartScript("b.stp"); err != nil {
		t.Fatal(err)
	}
	eventually(t, "it runs again", func() bool {
		st := s.Statuses()[0]
		return st.Run == 2 && st.State == scrape.Running
	})
	series := gather(t, s)
	for _, kind := range []string{"compiled", "loaded"} {
		if n := series["stap_exporter_script_start_duration_seconds{kind="+kind+",script=b.stp}"]; n != 1 {
			t.Errorf("%v starts of kind %s, want 1", n, kind)
		}
	}
}
