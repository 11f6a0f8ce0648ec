package supervisor

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus/testutil"
	dto "github.com/prometheus/client_model/go"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"stap-exporter/internal/exposition"
	"stap-exporter/internal/scrape"
	"stap-exporter/internal/script"
	"stap-exporter/internal/stap"
)

// gather returns the exporter's own metrics, each series with its labels,
// histograms by their count.
func gather(t *testing.T, s *Supervisor) (series map[string]float64, names []string) {
	t.Helper()
	families, err := s.Gatherer().Gather()
	if err != nil {
		t.Fatal(err)
	}
	series = map[string]float64{}
	for _, f := range families {
		names = append(names, f.GetName())
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
	return series, names
}

// A life of two scripts, as the metrics tell it.
func TestMetricsTellALife(t *testing.T) {
	h := newHost()
	h.onStart = func(p *process) {
		if p.script.Autostart && p.run == 1 {
			go p.exit(stap.Exit{Code: 3, Stage: stap.StageRun})
			return
		}
		p.ready()
	}
	s := startTree(t, h, Config{Scripts: named("auto.stp", "b.stp"), Version: "1.2.3"})
	for range 40 {
		if a := s.Scrape([]byte("b.stp"), patient()); a.Err != nil {
			t.Fatal(a.Err)
		} else {
			a.Status.Count(200)
		}
	}
	eventually(t, "auto.stp runs again", func() bool { return s.Statuses()[0].State == scrape.Running })
	series, _ := gather(t, s)
	for key, want := range map[string]float64{
		"stap_exporter_build_info{version=1.2.3}":                              1,
		"stap_exporter_scripts{}":                                              2,
		"stap_exporter_script_up{script=b.stp}":                                1,
		"stap_exporter_script_state{script=b.stp,state=running}":               1,
		"stap_exporter_script_state{script=b.stp,state=idle}":                  0,
		"stap_exporter_script_starts_total{script=b.stp}":                      1,
		"stap_exporter_script_starts_total{script=auto.stp}":                   2,
		"stap_exporter_script_restarts_total{script=auto.stp}":                 1,
		"stap_exporter_script_restarts_total{script=b.stp}":                    0,
		"stap_exporter_script_exits_total{cause=failed,script=auto.stp}":       1,
		"stap_exporter_script_exits_total{cause=failed,script=b.stp}":          0,
		"stap_exporter_script_requests_total{code=200,script=b.stp}":           40,
		"stap_exporter_script_read_duration_seconds{script=b.stp}":             40,
		"stap_exporter_script_read_samples{script=b.stp}":                      1,
		"stap_exporter_script_start_duration_seconds{how=loaded,script=b.stp}": 1,
		"stap_exporter_actor_spawns_total{kind=script}":                        2,
		"stap_exporter_actor_failures_total{kind=script,reason=child-ended}":   1,
		"stap_exporter_actor_restarts_total{kind=script}":                      1,
	} {
		if got, ok := series[key]; !ok || got != want {
			t.Errorf("%s is %v (there: %v), want %v", key, got, ok, want)
		}
	}
	if series["stap_exporter_actor_receive_duration_seconds{}"] == 0 {
		t.Error("no message was timed")
	}
	states := map[string]bool{}
	for _, e := range s.Events() {
		if e.Script == "auto.stp" && e.Kind == "state-changed" {
			states[e.To] = true
		}
	}
	if want := []string{
		"backing-off",
		"idle",
		"running",
		"starting",
	}; !slices.Equal(
		slices.Sorted(maps.Keys(states)),
		want,
	) {
		t.Errorf("events tell of %v, want %v", slices.Sorted(maps.Keys(states)), want)
	}
}

// What the gate did to a script's text is counted by reason; the first line
// left out is in the log, once, and in the status; that a text comes near the
// limit is in the log.
func TestMetricsOfTheGate(t *testing.T) {
	h := newHost()
	texts := []string{
		"good 1\nbad x\n",
		"good{l=\"\\x41\"} 1\n",
		"",
		"nothing valid here at all\n",
		"good 1\n" + strings.Repeat("# filler\n", 7000),
		"good 1\n",
	}
	h.onStart = func(p *process) {
		p.source = &textSource{texts: &texts}
		p.ready()
	}
	core, logs := observer.New(zap.WarnLevel)
	s := startTree(t, h, Config{Scripts: named("b.stp"), Logger: zap.New(core)})
	for range texts {
		s.Scrape([]byte("b.stp"), patient())
	}
	reads := s.Statuses()[0].Reads
	if first := reads.FirstDropped.Load(); reads.Dropped.Load() != 2 || first == nil ||
		first.String() != `bad-value in line 1: "nothing valid here at all"` ||
		reads.Problem.Load() != nil {
		t.Errorf("the status tells of %d lines, first %v", reads.Dropped.Load(), first)
	}
	left := logs.FilterMessage("lines of a script's metrics left out").All()
	if len(left) != 1 || left[0].ContextMap()["first"] != `bad-value in line 2: "bad x"` {
		t.Errorf("the log tells of lines left out: %v", left)
	}
	near := logs.FilterMessageSnippet("come near SystemTap's limit").All()
	if len(near) != 1 || near[0].ContextMap()["room"] != int64(65535-63007) {
		t.Errorf("the log tells of the limit: %v", near)
	}
	if a := s.Scrape([]byte("b.stp"), patient()); !errors.Is(a.Err, scrape.ErrNoValidSamples) {
		t.Errorf("a text without a valid line answered %v", a.Err)
	} else if why := reads.Problem.Load(); why == nil || *why != a.Err.Error() {
		t.Errorf("and the status says %v", why)
	}
	series, _ := gather(t, s)
	for key, want := range map[string]float64{
		"stap_exporter_script_lines_dropped_total{reason=bad-value,script=b.stp}": 3,
		"stap_exporter_script_lines_mended_total{script=b.stp,what=escape}":       1,
		"stap_exporter_script_reads_empty_total{script=b.stp}":                    1,
	} {
		if series[key] != want {
			t.Errorf("%s is %v, want %v", key, series[key], want)
		}
	}
}

// METRICS.md names every metric that there is, and none that is not.
func TestMetricsAreDocumentedAndLint(t *testing.T) {
	h := newHost()
	texts := []string{"good 1\nbad x\n"}
	h.onStart = func(p *process) { p.source = &textSource{texts: &texts}; p.ready() }
	s := startTree(t, h, Config{Scripts: named("auto.stp", "b.stp")})
	s.Scrape([]byte("b.stp"), patient())
	s.Scrape([]byte("b.stp"), patient())
	eventually(t, "auto.stp runs", func() bool { return s.Statuses()[0].State == scrape.Running })
	problems, err := testutil.GatherAndLint(s.Gatherer())
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("promlint: %s: %s", p.Metric, p.Text)
	}
	_, names := gather(t, s)
	text, err := os.ReadFile("../METRICS.md")
	if err != nil {
		t.Fatal(err)
	}
	documented := map[string]bool{}
	for _, m := range regexp.MustCompile("(?m)^\\| `(stap_exporter_[a-z_]+)").FindAllStringSubmatch(string(text), -1) {
		documented[m[1]] = true
	}
	for _, name := range names {
		if strings.HasPrefix(name, "stap_exporter_") && !documented[name] {
			t.Errorf("METRICS.md does not name %s", name)
		}
	}
	conditional := []string{
		"stap_exporter_script_cpu_seconds_total",
		"stap_exporter_script_resident_memory_bytes",
		"stap_exporter_script_lines_mended_total",
		"stap_exporter_script_scrape_duration_seconds",
	}
	for name := range documented {
		// those are httpfront's, which has a test of its own
		ours := !strings.HasPrefix(name, "stap_exporter_http_")
		if ours && !slices.Contains(names, name) && !slices.Contains(conditional, name) {
			t.Errorf("METRICS.md names %s, which is not there", name)
		}
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

// Whether a start is a restart of an autostart script is as the script's header
// says then, not as it said when the actor was spawned.
func TestRestartsFollowTheScript(t *testing.T) {
	m := newMetrics("", func() []*scrape.Status { return nil })
	listen := m.listener(script.Script{Name: "b.stp"})
	for run := uint64(1); run <= 3; run++ {
		listen(scrape.StateChanged{
			Script:    "b.stp",
			From:      scrape.Idle,
			To:        scrape.Starting,
			Run:       run,
			Autostart: run > 2,
		})
	}
	if n := testutil.ToFloat64(m.restarts.WithLabelValues("b.stp")); n != 1 {
		t.Errorf("%v restarts", n)
	}
}
