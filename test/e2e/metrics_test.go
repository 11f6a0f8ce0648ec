package e2e

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"

	"stap-exporter/test/harness"
)

// series returns the value of a series of the exporter's own metrics, false
// when there is none.
func series(metrics, name string) (float64, bool) {
	m := regexp.MustCompile(`(?m)^` + regexp.QuoteMeta(name) + ` (\S+)$`).FindStringSubmatch(metrics)
	if m == nil {
		return 0, false
	}
	v, err := strconv.ParseFloat(m[1], 64)
	return v, err == nil
}

// The metrics of a script under the real SystemTap, and of the exporter itself.
func TestOwnMetrics(t *testing.T) {
	harness.NeedStap(t)
	e := harness.Start(
		t,
		harness.ScriptDir(t, map[string]string{"c.stp": harness.Counting, "fails.stp": "#!/bin/sh\nexit 3\n"}),
		"--cache.dir="+t.TempDir(),
		"--web.telemetry-path=/own",
	)
	if p := e.Get("/metrics", ""); p.Code != 404 {
		t.Errorf("/metrics beside --web.telemetry-path: %d", p.Code)
	}
	if p := e.Get("/c.stp", ""); p.Code != 503 {
		t.Errorf("first request: %d", p.Code)
	}
	text := e.Get("/c.stp", "60")
	if text.Code != 200 {
		t.Fatalf("%d %s", text.Code, text.Body)
	}
	e.Get("/fails.stp", "30")

	var own string
	value := func(name string) float64 {
		v, _ := series(own, name)
		return v
	}
	// Several clients share a read sooner or later.
	harness.Eventually(t, "requests share a read, and counters have values", func() bool {
		var clients sync.WaitGroup
		for range 8 {
			clients.Go(func() { e.Get("/c.stp", "30") })
		}
		clients.Wait()
		own = e.Get("/own", "").Body
		return value(`stap_exporter_script_requests_shared_total{script="c.stp"}`) > 0 &&
			value(`stap_exporter_script_cpu_seconds_total{script="c.stp"}`) > 0 &&
			value(`stap_exporter_actor_receive_duration_seconds_count`) > 0 // one in 16 is timed
	})
	text = e.Get("/c.stp", "30")
	own = e.Get("/own", "").Body
	length, lines := len(text.Body), float64(strings.Count(text.Body, "\n"))
	for name, want := range map[string]float64{
		`stap_exporter_script_state{script="c.stp",state="running"}`:      1,
		`stap_exporter_script_state{script="c.stp",state="idle"}`:         0,
		`stap_exporter_script_up{script="c.stp"}`:                         1,
		`stap_exporter_script_up{script="fails.stp"}`:                     0,
		`stap_exporter_script_starts_total{script="c.stp"}`:               1,
		`stap_exporter_script_restarts_total{script="c.stp"}`:             0,
		`stap_exporter_script_exits_total{cause="failed",script="c.stp"}`: 0,
		// a bpf program is always compiled
		`stap_exporter_script_start_duration_seconds_count{kind="compiled",script="c.stp"}`: 1,
		`stap_exporter_script_requests_total{code="503",script="c.stp"}`:                    1,
		`stap_exporter_script_requests_total{code="504",script="c.stp"}`:                    0,
		`stap_exporter_script_reads_failed_total{script="c.stp"}`:                           0,
		`stap_exporter_script_read_bytes{script="c.stp"}`:                                   float64(length),
		`stap_exporter_script_read_samples{script="c.stp"}`:                                 lines,
		`stap_exporter_script_read_headroom_bytes{script="c.stp"}`:                          float64(65535 - length),
		`stap_exporter_actor_spawns_total{kind="root"}`:                                     1,
		`stap_exporter_actor_spawns_total{kind="script"}`:                                   2,
		`stap_exporter_actor_failures_total{kind="script",reason="bug"}`:                    0,
		`stap_exporter_actor_dead_letters_total`:                                            0,
		fmt.Sprintf(`stap_exporter_build_info{version=%q}`, harness.Version):                1,
	} {
		if v, ok := series(own, name); !ok || v != want {
			t.Errorf("%s is %v (present: %v), want %v", name, v, ok, want)
		}
	}
	for _, name := range []string{
		`stap_exporter_script_exits_total{cause="failed",script="fails.stp"}`,
		`stap_exporter_script_requests_total{code="200",script="c.stp"}`,
		`stap_exporter_script_read_duration_seconds_count{script="c.stp"}`,
		`stap_exporter_script_last_start_duration_seconds{script="c.stp"}`,
		`stap_exporter_script_last_request_timestamp_seconds{script="c.stp"}`,
		`stap_exporter_script_resident_memory_bytes{script="c.stp"}`,
		`stap_exporter_actor_receive_duration_seconds_count`,
		`go_goroutines`, `process_cpu_seconds_total`, `process_open_fds`,
	} {
		if v, ok := series(own, name); !ok || v <= 0 {
			t.Errorf("%s is %v (present: %v), want more than 0", name, v, ok)
		}
	}
}
