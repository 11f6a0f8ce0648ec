package telemetry

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"go.uber.org/zap"

	"stap-exporter/internal/exposition"
	"stap-exporter/internal/scrape"
)

// docs/metrics.md names every metric that there is, and none that is not.
func TestMetricsAreDocumented(t *testing.T) {
	r := newRecorder(zap.NewNop(), running("a.stp"))
	listen := r.Listener("a.stp")
	for _, e := range append(allEvents(), started(1, false)) {
		listen(e)
	}
	server := prometheus.NewPedanticRegistry()
	server.MustRegister(NewHTTPCollector(func() HTTP { return HTTP{} }))
	all := prometheus.Gatherers{r.Gatherer(), server}
	problems, err := testutil.GatherAndLint(all)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("promlint: %s: %s", p.Metric, p.Text)
	}
	families, err := all.Gather()
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, f := range families {
		names = append(names, f.GetName())
	}
	text, err := os.ReadFile("../../docs/metrics.md")
	if err != nil {
		t.Fatal(err)
	}
	// package httpfront makes it, for the page of all scripts
	names = append(names, "stap_exporter_script_scrape_duration_seconds")
	var documented []string
	for _, m := range regexp.MustCompile("(?m)^\\| `(stap_exporter_[a-z_]+)").FindAllStringSubmatch(string(text), -1) {
		documented = append(documented, m[1])
		if !slices.Contains(names, m[1]) {
			t.Errorf("docs/metrics.md names %s, which does not exist", m[1])
		}
	}
	for _, name := range names {
		if strings.HasPrefix(name, "stap_exporter_") && !slices.Contains(documented, name) {
			t.Errorf("docs/metrics.md does not name %s", name)
		}
	}
}

func started(run uint64, autostart bool) scrape.StateChanged {
	return scrape.StateChanged{
		Script:    "a.stp",
		From:      scrape.Starting,
		To:        scrape.Running,
		Autostart: autostart,
		Run:       run,
		Took:      time.Second,
	}
}

// All series of a script but those of lines and of the kinds of a start are
// there before its first event, so that a rate sees the first one.
func TestSeriesBeforeTheFirstEvent(t *testing.T) {
	r := newRecorder(zap.NewNop())
	r.Listener("a.stp")
	for name := range gather(t, r) {
		if strings.Contains(name, "lines_") || strings.Contains(name, "start_duration") {
			t.Errorf("%s is there", name)
		}
	}
	want := map[string]float64{
		"build_info{version=1.2.3}":                            1,
		"actor_spawns_total{kind=root}":                        0,
		"actor_spawns_total{kind=script}":                      0,
		"actor_failures_total{kind=script,reason=bug}":         0,
		"actor_failures_total{kind=script,reason=child-ended}": 0,
		"actor_restarts_total{kind=script}":                    0,
		"actor_dead_letters_total{}":                           0,
		"script_starts_total{script=a.stp}":                    0,
		"script_restarts_total{script=a.stp}":                  0,
		"script_requests_shared_total{script=a.stp}":           0,
		"script_reads_failed_total{script=a.stp}":              0,
		"script_reads_empty_total{script=a.stp}":               0,
		"script_read_duration_seconds{script=a.stp}":           0,
		"script_exits_total{cause=stopped,script=a.stp}":       0,
		"script_exits_total{cause=error,script=a.stp}":         0,
		"script_exits_total{cause=signal,script=a.stp}":        0,
	}
	expect(t, r, want)
}

// Whether a start is a restart of an autostart script depends on the script's
// header at that time, not on the header when its actor was spawned.
func TestRestartsFollowTheScript(t *testing.T) {
	r := newRecorder(zap.NewNop())
	listen := r.Listener("a.stp")
	for run := uint64(1); run <= 3; run++ {
		listen(scrape.StateChanged{
			Script:    "a.stp",
			From:      scrape.Idle,
			To:        scrape.Starting,
			Run:       run,
			Autostart: run > 2,
		})
	}
	expect(t, r, map[string]float64{
		"script_starts_total{script=a.stp}":   3,
		"script_restarts_total{script=a.stp}": 1,
	})
}

// A read counts once, with what the sanitizer did to its page; a read that
// failed or expired counts as failed only.
func TestReads(t *testing.T) {
	r := newRecorder(zap.NewNop())
	listen := r.Listener("a.stp")
	page := sanitized("good 1\nbad x\ngood{l=\"\\x41\"} 1\n")
	listen(scrape.ReadEnded{Page: page, Replies: 3})
	listen(scrape.ReadEnded{Page: sanitized(""), Expired: true})
	listen(scrape.ReadEnded{Err: scrape.ErrReadFailed})
	listen(scrape.ReadEnded{Page: sanitized("bad y\n"), Replies: 1})
	expect(t, r, map[string]float64{
		"script_read_duration_seconds{script=a.stp}":                4,
		"script_requests_shared_total{script=a.stp}":                2,
		"script_reads_failed_total{script=a.stp}":                   2,
		"script_reads_empty_total{script=a.stp}":                    0,
		"script_lines_dropped_total{reason=bad-value,script=a.stp}": 2,
		"script_lines_repaired_total{repair=escape,script=a.stp}":   1,
		"script_read_samples{script=a.stp}":                         0,
		"script_read_bytes{script=a.stp}":                           6,
		"script_read_headroom_bytes{script=a.stp}":                  exposition.MaxText - 6,
	})
	listen(scrape.ReadEnded{Page: exposition.NoSamples("no samples yet"), Replies: 1})
	expect(t, r, map[string]float64{"script_reads_empty_total{script=a.stp}": 1})
}

// A script that is gone has no series left.
func TestForget(t *testing.T) {
	r := newRecorder(zap.NewNop())
	for _, name := range []string{"a.stp", "b.stp"} {
		listen := r.Listener(name)
		for _, e := range append(allEvents(), started(1, false)) {
			listen(e)
		}
	}
	before := len(gather(t, r))
	r.Forget("b.stp")
	series := gather(t, r)
	for name := range series {
		if strings.Contains(name, "b.stp") {
			t.Errorf("%s is still there", name)
		}
	}
	if len(series) >= before || series["stap_exporter_script_exits_total{cause=failed,script=a.stp}"] != 1 {
		t.Errorf("%d series of %d are left", len(series), before)
	}
}

// What counts no event comes from the statuses and the processes.
func TestStatuses(t *testing.T) {
	waiting := &scrape.Status{
		Script:              running("b.stp").Script,
		State:               scrape.Starting,
		QueuePosition:       1,
		Requests:            new(scrape.Requests),
		Backoff:             2 * time.Second,
		ConsecutiveFailures: 6,
		CrashLoop:           true,
	}
	r := newRecorder(zap.NewNop(), running("a.stp"), waiting)
	expect(t, r, map[string]float64{
		"scripts{}":       2,
		"starts_queued{}": 1,
		"script_state{script=a.stp,state=running}":            1,
		"script_state{script=a.stp,state=idle}":               0,
		"script_up{script=a.stp}":                             1,
		"script_up{script=b.stp}":                             0,
		"script_requests_total{code=200,script=a.stp}":        1,
		"script_requests_total{code=503,script=a.stp}":        0,
		"script_last_request_timestamp_seconds{script=a.stp}": 1_700_000_000,
		"script_last_start_duration_seconds{script=a.stp}":    1,
		"script_cpu_seconds_total{script=a.stp}":              1,
		"script_resident_memory_bytes{script=a.stp}":          2 << 20,
		"script_crash_loop{script=a.stp}":                     0,
		"script_crash_loop{script=b.stp}":                     1,
		"script_consecutive_failures{script=b.stp}":           6,
		"script_backoff_seconds{script=b.stp}":                2,
	})
	series := gather(t, r)
	absent := []string{"last_request_timestamp_seconds", "last_start_duration_seconds", "cpu_seconds_total"}
	for _, name := range absent {
		if _, ok := series["stap_exporter_script_"+name+"{script=b.stp}"]; ok {
			t.Errorf("%s of a script that never ran", name)
		}
	}
}

// The metrics of actors and of the HTTP server are what is counted.
func TestActorsAndHTTP(t *testing.T) {
	r := newRecorder(zap.NewNop())
	r.Actors.Spawned(ScriptActor)
	r.Actors.Failed(ScriptActor, FailureBug)
	r.Actors.Restarted(ScriptActor)
	r.Actors.Received(time.Millisecond)
	r.Actors.DeadLetter()
	expect(t, r, map[string]float64{
		"actor_spawns_total{kind=script}":              1,
		"actor_failures_total{kind=script,reason=bug}": 1,
		"actor_restarts_total{kind=script}":            1,
		"actor_receive_duration_seconds{}":             1,
		"actor_dead_letters_total{}":                   1,
	})
	c := NewHTTPCollector(func() HTTP {
		return HTTP{
			Connections:         3,
			ConnectionsLimit:    10,
			RejectedConnections: 2,
			EvictedConnections:  4,
			MalformedRequests:   5,
			RejectedLogins:      6,
			RateLimitedRequests: 7,
			ClientDisconnects:   1,
		}
	})
	const want = `
# HELP stap_exporter_http_client_disconnects_total Requests whose client disconnected while they were waiting.
# TYPE stap_exporter_http_client_disconnects_total counter
stap_exporter_http_client_disconnects_total 1
# HELP stap_exporter_http_connections Connections that are open.
# TYPE stap_exporter_http_connections gauge
stap_exporter_http_connections 3
# HELP stap_exporter_http_connections_evicted_total Idle connections that were closed to make room for others.
# TYPE stap_exporter_http_connections_evicted_total counter
stap_exporter_http_connections_evicted_total 4
# HELP stap_exporter_http_connections_limit Connections that may be open at a time.
# TYPE stap_exporter_http_connections_limit gauge
stap_exporter_http_connections_limit 10
# HELP stap_exporter_http_connections_rejected_total Connections that were rejected because too many were open.
# TYPE stap_exporter_http_connections_rejected_total counter
stap_exporter_http_connections_rejected_total 2
# HELP stap_exporter_http_requests_rejected_total Requests that were rejected, by status code: 400, 401 or 429.
# TYPE stap_exporter_http_requests_rejected_total counter
stap_exporter_http_requests_rejected_total{code="400"} 5
stap_exporter_http_requests_rejected_total{code="401"} 6
stap_exporter_http_requests_rejected_total{code="429"} 7
`
	if err := testutil.CollectAndCompare(c, strings.NewReader(want)); err != nil {
		t.Error(err)
	}
}
