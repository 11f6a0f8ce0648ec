package telemetry

import (
	"fmt"
	"strings"
	"testing"
	"time"

	dto "github.com/prometheus/client_model/go"
	"go.uber.org/zap"

	"stap-exporter/internal/exposition"
	"stap-exporter/internal/scrape"
	"stap-exporter/internal/script"
)

// newRecorder returns a Recorder of scripts with those statuses. The processes
// of each child use one second and 2 MiB.
func newRecorder(log *zap.Logger, statuses ...*scrape.Status) *Recorder {
	return New(Config{
		Version:  "1.2.3",
		Statuses: func() []*scrape.Status { return statuses },
		Usage: func() func(int) (Usage, bool) {
			return func(int) (Usage, bool) { return Usage{CPU: time.Second, Resident: 2 << 20}, true }
		},
		Logger: log,
	})
}

// running is the status of a script that runs and had a request.
func running(name string) *scrape.Status {
	st := &scrape.Status{
		Script:    script.Script{Name: name},
		State:     scrape.Running,
		OSPID:     1,
		LastStart: time.Second,
		Requests:  new(scrape.Requests),
		Reads:     new(scrape.Reads),
	}
	st.Requests.MarkReceived(time.Unix(1_700_000_000, 0))
	st.Count(200)
	return st
}

// allEvents returns one event of each type, of the script a.stp.
func allEvents() []scrape.Event {
	const name = "a.stp"
	now := time.Unix(1_700_000_000, 0)
	return []scrape.Event{
		scrape.StateChanged{
			Time:   now,
			Script: name,
			From:   scrape.Idle,
			To:     scrape.Starting,
			Cause:  scrape.CauseRequest,
			Run:    1,
			OSPID:  42,
		},
		scrape.ChildEnded{
			Script: name,
			End:    scrape.End{Time: now, Run: 1, Cause: scrape.EndFailed, Reason: "exit code 1"},
		},
		scrape.ReadEnded{Script: name, Page: sanitized("good 1\nbad x\ngood{l=\"\\x41\"} 1\n"), Replies: 1},
		scrape.ScriptReplaced{Time: now, Script: name},
		scrape.ScriptRefused{Time: now, Script: name, Reason: "not safe to run"},
		scrape.VersionRefused{Time: now, Script: name, Reason: "parse error"},
		scrape.CrashLoopChanged{
			Time:     now,
			Script:   name,
			Looping:  true,
			Failures: 5,
			Cause:    "consecutive failures",
		},
		scrape.CrashLoopChanged{
			Time:     now,
			Script:   name,
			Failures: 5,
			Cause:    "healthy",
		},
		scrape.ActorFailed{
			Time:   now,
			Script: name,
			Reason: "index out of range",
			Stack:  "goroutine 1",
		},
	}
}

func sanitized(text string) *exposition.Page {
	return exposition.Sanitize([]byte(text), exposition.Options{})
}

// gather returns the exporter's own metrics, each series with its labels,
// histograms by their count.
func gather(t *testing.T, r *Recorder) (series map[string]float64) {
	t.Helper()
	families, err := r.Gatherer().Gather()
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

// expect compares some of the series.
func expect(t *testing.T, r *Recorder, want map[string]float64) {
	t.Helper()
	series := gather(t, r)
	for key, v := range want {
		if got, ok := series["stap_exporter_"+key]; !ok || got != v {
			t.Errorf("%s is %v (present: %v), want %v", key, got, ok, v)
		}
	}
}
