package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"stap-exporter/internal/scrape"
	"stap-exporter/internal/telemetry"
	"stap-exporter/test/harness"
)

// walk is an exporter whose scripts go from state to state as control files
// say, and what was observed of it.
type walk struct {
	*harness.Exporter
	dir      string // of the scripts
	controls string // of the control files

	statesInAPI, statesInMetrics, exits, kinds map[string]bool
}

func startWalk(t *testing.T) *walk {
	t.Helper()
	harness.NeedStap(t)
	w := &walk{
		controls:        t.TempDir(),
		statesInAPI:     map[string]bool{},
		statesInMetrics: map[string]bool{},
		exits:           map[string]bool{},
		kinds:           map[string]bool{telemetry.KindStateChanged: true},
	}
	files := map[string]string{}
	for base, header := range map[string]string{
		"demand":      "# stap-exporter: keepalive=1",
		"late":        "# stap-exporter: start-timeout=1s",
		"x-autostart": "",
		"fails":       "",
		"gone":        "",
		"changed":     "",
		"operated":    "",
		"removed":     "",
		"untouched":   "",
	} {
		files[base+".stp"] = w.script(base, header)
	}
	w.dir = harness.ScriptDir(t, files)
	w.Exporter = harness.Start(t, w.dir, "--web.enable-lifecycle", "--script.read-timeout=2s")
	return w
}

// script returns a script with control files BASE.up, BASE.exit and BASE.down:
// it offers metrics once there is BASE.up; before, it exits with the code in
// BASE.exit if there is one; after a SIGTERM it ends when there is BASE.down.
func (w *walk) script(base, header string) string {
	control := filepath.Join(w.controls, base)
	return fmt.Sprintf(`#!/bin/bash
%[1]s
until [ -e %[2]s.up ]; do
  [ ! -e %[2]s.exit ] || exit $(cat %[2]s.exit)
  sleep 0.02
done
export %[3]s=%[2]s.down %[4]s=good
exec '%[5]s' "$@"
`, header, control, harness.StandInEndEnv, harness.StandInEnv, os.Args[0])
}

// control creates a control file.
func (w *walk) control(base, name, text string) {
	w.T.Helper()
	w.write(filepath.Join(w.controls, base+"."+name), text, 0o600)
}

func (w *walk) removeControl(base, name string) {
	_ = os.Remove(filepath.Join(w.controls, base+"."+name)) // there may be none
}

// write writes a file in one step.
func (w *walk) write(path, text string, mode os.FileMode) {
	w.T.Helper()
	if err := os.WriteFile(path+".new", []byte(text), mode); err != nil {
		w.T.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		w.T.Fatal(err)
	}
}

// makeWritable lets other users change a script, so that it is refused.
func (w *walk) makeWritable(t *testing.T, name string) {
	t.Helper()
	if err := os.Chmod(filepath.Join(w.dir, name), 0o777); err != nil {
		t.Fatal(err)
	}
}

// waitForState waits until API and metrics have the script in the state. A
// child that is stopping is killed after 5 s, whatever its control files: a
// machine too busy to show the state in that time has more chances in the walk.
func (w *walk) waitForState(t *testing.T, name string, state scrape.State) {
	t.Helper()
	harness.Eventually(t, fmt.Sprintf("API and metrics have %s %s", name, state), func() bool {
		if w.Status(name).State != state.String() {
			changes := w.logChanges()[name]
			return state == scrape.Stopping && len(changes) > 0 &&
				strings.HasPrefix(changes[len(changes)-1], state.String()+" ")
		}
		w.statesInAPI[state.String()] = true
		metrics := w.Get("/metrics", "").Body
		for each := scrape.Idle; each <= scrape.Stopped; each++ {
			want := 0.0
			if each == state {
				want = 1
			}
			v, ok := series(metrics, fmt.Sprintf("stap_exporter_script_state{script=%q,state=%q}", name, each))
			if !ok || v != want {
				return false // the state has just changed
			}
		}
		w.statesInMetrics[state.String()] = true
		return true
	})
}

// change returns a change of state as the steps of the walk have it.
func change(from, to, cause string) string { return fmt.Sprintf("%s -> %s: %s", from, to, cause) }

// logChanges returns the changes of state in the log, by script.
func (w *walk) logChanges() map[string][]string {
	all := map[string][]string{}
	for line := range strings.Lines(w.Log()) {
		var l struct{ Msg, Script, From, State, Cause string }
		if json.Unmarshal([]byte(line), &l) == nil && l.Msg == "script state changed" {
			all[l.Script] = append(all[l.Script], change(l.From, l.State, l.Cause))
		}
	}
	return all
}

func (w *walk) events() (all []telemetry.Event) {
	w.T.Helper()
	var reply struct{ Events []telemetry.Event }
	if err := json.Unmarshal([]byte(w.Get("/api/v1/events", "").Body), &reply); err != nil {
		w.T.Fatal(err)
	}
	return reply.Events
}

// apiChanges returns the changes of state in the events of the API, by script.
func (w *walk) apiChanges() map[string][]string {
	all := map[string][]string{}
	for _, e := range w.events() {
		switch e.Kind {
		case telemetry.KindStateChanged:
			all[e.Script] = append(all[e.Script], change(e.From, e.To, e.Cause))
		case telemetry.KindChildEnded:
			w.exits[e.Cause] = true
		}
	}
	return all
}

// waitForChanges waits until log and API have the changes, in this order,
// whatever is between them.
func (w *walk) waitForChanges(t *testing.T, name string, want ...string) {
	t.Helper()
	for source, changes := range map[string]func() map[string][]string{"log": w.logChanges, "API": w.apiChanges} {
		harness.Eventually(t, fmt.Sprintf("the %s has %q", source, want), func() bool {
			rest := want
			for _, c := range changes()[name] {
				if len(rest) > 0 && c == rest[0] {
					rest = rest[1:]
				}
			}
			return len(rest) == 0
		})
	}
}

// logMessages are the messages of the log for each kind of event, except
// changes of state and bugs.
var logMessages = map[string]string{
	telemetry.KindChildEnded:     "child ended",
	telemetry.KindScriptReplaced: "script replaced by a new version of its file",
	telemetry.KindScriptRefused:  "script refused",
	telemetry.KindVersionRefused: "new version of a script refused, the old one keeps running",
	telemetry.KindLoopBegan:      "script entered a crash loop",
	telemetry.KindLoopEnded:      "script left its crash loop",
}

// waitForEvent waits until log and API have an event of the kind.
func (w *walk) waitForEvent(t *testing.T, name, kind string) {
	t.Helper()
	harness.Eventually(t, fmt.Sprintf("API and log have %s of %s", kind, name), func() bool {
		line := fmt.Sprintf(`"msg":%q,"script":%q`, logMessages[kind], name)
		return strings.Contains(w.Log(), line) && slices.ContainsFunc(w.events(), func(e telemetry.Event) bool {
			return e.Kind == kind && e.Script == name
		})
	})
	w.kinds[kind] = true
}

// checkStreams checks that log, events and metrics agree about every script,
// and that every cause, except that of a shutdown, and every kind occurred.
func (w *walk) checkStreams(t *testing.T) {
	t.Helper()
	harness.Eventually(t, "no script changes its state", func() bool {
		// x-autostart does it by itself
		logged := fmt.Sprint(w.logChanges())
		return logged == fmt.Sprint(w.apiChanges()) && fmt.Sprint(w.logChanges()) == logged
	})
	causes := map[string]bool{string(scrape.CauseShutdown): true}
	starts, ends := map[string]int{}, map[string]int{}
	for _, e := range w.events() {
		switch e.Kind {
		case telemetry.KindStateChanged:
			causes[e.Cause] = true
			if e.To == scrape.Starting.String() {
				starts[e.Script]++
			}
		case telemetry.KindChildEnded:
			ends[e.Script+" "+e.Cause]++
		}
	}
	for _, cause := range scrape.Causes() {
		if !causes[string(cause)] {
			t.Errorf("no event has the cause %q", cause)
		}
	}
	for _, kind := range telemetry.EventKinds() {
		if !w.kinds[kind] && kind != telemetry.KindActorFailed { // a bug
			t.Errorf("no event of the kind %s occurred", kind)
		}
	}
	for cause := range scrape.EndCauses {
		if !w.exits[cause.String()] {
			t.Errorf("no script ended with the cause %q", cause)
		}
	}
	w.checkCounters(t, starts, ends)
}

// checkCounters checks the counters of starts and ends against the events,
// which are by script, and by script and cause.
func (w *walk) checkCounters(t *testing.T, starts, ends map[string]int) {
	t.Helper()
	metrics := w.Get("/metrics", "").Body
	check := func(name string, want int) {
		if !strings.Contains(metrics, "\n"+name+" "+strconv.Itoa(want)+"\n") {
			t.Errorf("%s is not %d, the number of its events", name, want)
		}
	}
	for _, base := range []string{"demand", "fails", "gone", "changed", "operated", "late", "untouched"} {
		name := base + ".stp"
		check(fmt.Sprintf(`stap_exporter_script_starts_total{script=%q}`, name), starts[name])
		for cause := range scrape.EndCauses {
			check(
				fmt.Sprintf(`stap_exporter_script_exits_total{cause=%q,script=%q}`, cause.String(), name),
				ends[name+" "+cause.String()],
			)
		}
	}
	const exits = `\nstap_exporter_script_exits_total\{cause="%s",script="x-autostart.stp"\} [1-9]`
	for _, cause := range []string{"signal", "failed"} {
		if !regexp.MustCompile(fmt.Sprintf(exits, cause)).MatchString(metrics) {
			t.Errorf("exits of x-autostart.stp: none by %s", cause)
		}
	}
	if strings.Contains(metrics, `"removed.stp"`) {
		t.Error("the removed script still has series")
	}
}
