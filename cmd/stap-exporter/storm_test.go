package main

import (
	"encoding/json"
	"fmt"
	"strings"
	"syscall"
	"testing"
)

// apiStatus is what these tests look at in the status API.
type apiStatus struct {
	State               string
	Activity            string
	QueuePosition       int   `json:"queue_position"`
	QueueLength         int   `json:"queue_length"`
	ConsecutiveFailures int   `json:"consecutive_failures"`
	CrashLoop           bool  `json:"crash_loop"`
	OSPID               int   `json:"os_pid"`
	OSPIDs              []int `json:"os_pids"`
	Exits               map[string]int
	Output              []string
	Reason              []string
	History             []struct {
		Cause, Signal string
		Code          *int
	}
}

func (e *exporter) status(name string) (s apiStatus) {
	e.t.Helper()
	p := e.get("/api/v1/scripts/"+name, "")
	if err := json.Unmarshal([]byte(p.body), &s); err != nil || p.code != 200 {
		e.t.Fatalf("status of %s: %d %s: %v", name, p.code, p.body, err)
	}
	return s
}

// With one place, a start that hangs holds it for as long as it uses the
// processor; the others are told their places, a request before an autostart. A
// SIGTERM ends all of them.
func TestStartsQueue(t *testing.T) {
	busy := "#!/bin/sh\nwhile :; do :; done\n"
	e := startExporter(
		t,
		folder(t, map[string]string{"busy.stp": busy, "a.stp": standInScript("good"), "b.stp": standInScript("good")}),
		"--start.max-parallel=1",
	)
	if p := e.get("/busy.stp", ""); p.code != 503 {
		t.Fatalf("%d %s", p.code, p.body)
	}
	eventually(t, "busy.stp has the place", func() bool { return e.status("busy.stp").OSPID != 0 })
	for i, name := range []string{"a", "b"} {
		want := fmt.Sprintf("place %d of 2 in the queue", i+1)
		eventually(t, name+" is told its place", func() bool {
			e.get("/a.stp", "")
			e.get("/b.stp", "")
			p := e.get("/"+name+".stp", "")
			return p.code == 503 && strings.Contains(p.body, want)
		})
	}
	if s := e.status("b.stp"); s.State != "starting" || s.QueuePosition != 2 || s.QueueLength != 2 {
		t.Errorf("status of b.stp: %+v", s)
	}
	if p := e.get("/metrics", ""); !strings.Contains(p.body, "\nstap_exporter_starts_queued 2\n") {
		t.Error("no metric of the queue")
	}
	if code := e.stop(syscall.SIGTERM); code != 0 {
		t.Errorf("exit code %d", code)
	}
	e.nothingLeft()
}

// Forty autostarts at once, two at a time, do not keep a request waiting behind
// them all; in the end all of them run.
func TestStormOfAutostarts(t *testing.T) {
	files := map[string]string{"asked.stp": standInScript("good")}
	for i := range 40 {
		files[fmt.Sprintf("autostart%02d.stp", i)] = standInScript("good")
	}
	e := startExporter(t, folder(t, files), "--start.max-parallel=2")
	if p := e.get("/asked.stp", "60"); p.code != 200 {
		t.Errorf("%d %s", p.code, p.body)
	}
	states := func(state string) int {
		return strings.Count(e.get("/api/v1/scripts", "").body, `"state": "`+state+`"`)
	}
	waiting := states("starting")
	eventually(t, "all run", func() bool { return states("running") == 41 })
	t.Logf("%d autostarts were waiting when the request was answered", waiting)
	for place := range 3 {
		if strings.Contains(e.get("/api/v1/scripts", "").body, fmt.Sprintf("place %d of", place+1)) {
			t.Error("who runs has a place in the queue")
		}
	}
}

// A script that is killed five times in a row is in a crash loop, which the
// list, the API, the metrics and one line of the log say; an operator's start
// ends it.
func TestCrashLoop(t *testing.T) {
	e := startExporter(
		t,
		folder(t, map[string]string{"autostart.stp": "#!/bin/sh\necho out of luck >&2\nkill -9 $$\n"}),
		"--web.enable-lifecycle",
	)
	eventually(t, "it is in a crash loop", func() bool { return e.status("autostart.stp").CrashLoop })
	s := e.status("autostart.stp")
	if s.State != "backing-off" || s.ConsecutiveFailures != 5 || s.Exits["signal"] != 5 || len(s.History) != 5 ||
		s.History[4].Signal != "SIGKILL" ||
		s.History[4].Code != nil ||
		!strings.Contains(strings.Join(s.Reason, "\n"), "out of luck") {
		t.Errorf("%+v", s)
	}
	if list := e.get("/", "").body; !strings.Contains(list, "crash loop, 5 consecutive failures, can start again in ") {
		t.Errorf("list:\n%s", list)
	}
	if p := e.get(
		"/autostart.stp",
		"5",
	); p.code != 503 ||
		!strings.Contains(p.body, "crash loop: 5 consecutive failures") {
		t.Errorf("%d %s", p.code, p.body)
	}
	metrics := e.get("/metrics", "").body
	for _, want := range []string{`crash_loop{script="autostart.stp"} 1`, `consecutive_failures{script="autostart.stp"} 5`, `backoff_seconds{script="autostart.stp"} 300`} {
		if !strings.Contains(metrics, "stap_exporter_script_"+want) {
			t.Errorf("not in the metrics: %s", want)
		}
	}
	if code := e.post("/api/v1/scripts/autostart.stp/start"); code != 202 {
		t.Errorf("start: %d", code)
	}
	eventually(
		t,
		"it is no crash loop any more",
		func() bool { s := e.status("autostart.stp"); return !s.CrashLoop && s.ConsecutiveFailures > 0 },
	)
	eventually(
		t,
		"the log tells of its end",
		func() bool { return strings.Contains(e.logged(), "script left its crash loop") },
	)
	for _, line := range []string{`"script entered a crash loop"`, `"script left its crash loop"`} {
		if got := strings.Count(e.logged(), line); got != 1 {
			t.Errorf("%d lines %s in the log", got, line)
		}
	}
}
