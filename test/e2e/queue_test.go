package e2e

import (
	"fmt"
	"strings"
	"testing"

	"stap-exporter/test/harness"
)

// With one slot, a start that hangs keeps it while it uses the CPU. Replies for
// the other scripts name their queue position; an interactive start is before
// an autostart. A SIGTERM ends all of them.
func TestStartQueue(t *testing.T) {
	e := harness.Start(
		t,
		harness.ScriptDir(t, map[string]string{
			"busy.stp": "#!/bin/sh\nwhile :; do :; done\n",
			"a.stp":    harness.StandInScript("good"),
			"b.stp":    harness.StandInScript("good"),
		}),
		"--script.max-parallel-starts=1",
	)
	if p := e.Get("/busy.stp", ""); p.Code != 503 {
		t.Fatalf("%d %s", p.Code, p.Body)
	}
	harness.Eventually(t, "busy.stp has the slot", func() bool { return e.Status("busy.stp").OSPID != 0 })
	for i, name := range []string{"a", "b"} {
		want := fmt.Sprintf("position %d of 2 in the queue", i+1)
		harness.Eventually(t, "the reply has the queue position of "+name, func() bool {
			e.Get("/a.stp", "")
			e.Get("/b.stp", "")
			p := e.Get("/"+name+".stp", "")
			return p.Code == 503 && strings.Contains(p.Body, want)
		})
	}
	if s := e.Status("b.stp"); s.State != "starting" || s.QueuePosition != 2 || s.QueueLength != 2 {
		t.Errorf("status of b.stp: %+v", s)
	}
	if p := e.Get("/metrics", ""); !strings.Contains(p.Body, "\nstap_exporter_starts_queued 2\n") {
		t.Error("no metric of the queue")
	}
	e.StopClean()
}

// Of forty autostarts, two at a time, a request does not wait for all. In the
// end all scripts run.
func TestManyAutostarts(t *testing.T) {
	files := map[string]string{"requested.stp": harness.StandInScript("good")}
	for i := range 40 {
		files[fmt.Sprintf("autostart%02d.stp", i)] = harness.StandInScript("good")
	}
	e := harness.Start(t, harness.ScriptDir(t, files), "--script.max-parallel-starts=2")
	if p := e.Get("/requested.stp", "60"); p.Code != 200 {
		t.Errorf("%d %s", p.Code, p.Body)
	}
	states := func(state string) int {
		return strings.Count(e.Get("/api/v1/scripts", "").Body, `"state": "`+state+`"`)
	}
	waiting := states("starting")
	harness.Eventually(t, "all run", func() bool { return states("running") == 41 })
	t.Logf("%d autostarts were waiting when the request was answered", waiting)
	for i := range 3 {
		if strings.Contains(e.Get("/api/v1/scripts", "").Body, fmt.Sprintf("position %d of", i+1)) {
			t.Error("a running script has a queue position")
		}
	}
}

// A script that is killed five times in a row is in a crash loop, which the
// list, the API, the metrics and one line of the log report. An operator's
// start ends it.
func TestCrashLoop(t *testing.T) {
	e := harness.Start(
		t,
		harness.ScriptDir(t, map[string]string{"autostart.stp": "#!/bin/sh\necho out of luck >&2\nkill -9 $$\n"}),
		"--web.enable-lifecycle",
	)
	harness.Eventually(t, "it is in a crash loop", func() bool { return e.Status("autostart.stp").CrashLoop })
	s := e.Status("autostart.stp")
	if s.State != "backing-off" || s.ConsecutiveFailures != 5 || s.Exits["signal"] != 5 || len(s.History) != 5 ||
		s.History[4].Signal != "SIGKILL" ||
		s.History[4].Code != nil ||
		!strings.Contains(strings.Join(s.Reason, "\n"), "out of luck") {
		t.Errorf("%+v", s)
	}
	if list := e.Get("/", "").Body; !strings.Contains(list, "crash loop, 5 consecutive failures, can start again in ") {
		t.Errorf("list:\n%s", list)
	}
	p := e.Get("/autostart.stp", "5")
	if p.Code != 503 || !strings.Contains(p.Body, "crash loop: 5 consecutive failures") {
		t.Errorf("%d %s", p.Code, p.Body)
	}
	metrics := e.Get("/metrics", "").Body
	for name, want := range map[string]float64{"crash_loop": 1, "consecutive_failures": 5, "backoff_seconds": 300} {
		name = "stap_exporter_script_" + name + `{script="autostart.stp"}`
		if v, ok := series(metrics, name); !ok || v != want {
			t.Errorf("%s is %v (present: %v), want %v", name, v, ok, want)
		}
	}
	if code := e.Post("/api/v1/scripts/autostart.stp/start"); code != 202 {
		t.Errorf("start: %d", code)
	}
	harness.Eventually(t, "it has left the crash loop and failed again", func() bool {
		s := e.Status("autostart.stp")
		return !s.CrashLoop && s.ConsecutiveFailures > 0
	})
	harness.Eventually(t, "a line of the log about it", func() bool {
		return strings.Contains(e.Log(), "script left its crash loop")
	})
	for _, line := range []string{`"script entered a crash loop"`, `"script left its crash loop"`} {
		if got := strings.Count(e.Log(), line); got != 1 {
			t.Errorf("%d lines %s in the log", got, line)
		}
	}
}
