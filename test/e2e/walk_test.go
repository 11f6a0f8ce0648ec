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
	"syscall"
	"testing"

	"stap-exporter/internal/procfile"
	"stap-exporter/internal/scrape"
	"stap-exporter/internal/telemetry"
	"stap-exporter/test/harness"
)

// change is a change of a script's state, as log and events tell it.
type change struct {
	script, from, to, cause string
}

// walk is an exporter whose scripts do what files say: their gates.
type walk struct {
	*harness.Exporter
	dir, gates string

	statesInAPI, statesInMetrics, exits, kinds map[string]bool
}

// gated is a script that offers metrics once its gate "up" is there, ends with
// the code in its gate "exit" until then, and obeys a TERM, once it runs, when
// its gate "down" is there.
func (w *walk) gated(base, header string) string {
	gate := filepath.Join(w.gates, base)
	return fmt.Sprintf(
		"#!/bin/bash\n%[1]s\nuntil [ -e %[2]s.up ]; do [ ! -e %[2]s.exit ] || exit $(cat %[2]s.exit); sleep 0.02; done\nexport %[3]s=%[2]s.down %[4]s=good\nexec '%[5]s' \"$@\"\n",
		header,
		gate,
		harness.StandInGateEnv,
		harness.StandInEnv,
		os.Args[0],
	)
}

// gate makes the file that lets a script go on.
func (w *walk) gate(base, name, text string) {
	w.T.Helper()
	path := filepath.Join(w.gates, base+"."+name)
	if err := os.WriteFile(path+".new", []byte(text), 0o600); err != nil {
		w.T.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil { // whole, or not there
		w.T.Fatal(err)
	}
}

// shut takes gates away.
func (w *walk) shut(base string, names ...string) {
	for _, name := range names {
		_ = os.Remove(filepath.Join(w.gates, base+"."+name)) // it may never have been there
	}
}

type shownScript struct {
	State, Module string
	OSPID         int `json:"os_pid"`
}

func (w *walk) shown(name string) (s shownScript) {
	w.T.Helper()
	p := w.Get("/api/v1/scripts/"+name, "")
	if err := json.Unmarshal([]byte(p.Body), &s); err != nil || p.Code != 200 {
		w.T.Fatalf("%s: %d %s", name, p.Code, p.Body)
	}
	return s
}

// is waits until API and metrics show the script in the state. A child that is
// stopping is KILLed after 5 s, its gate shut or not: a machine too busy to
// show the state in that time has a few more chances in the walk.
func (w *walk) is(t *testing.T, name string, state scrape.State) {
	t.Helper()
	harness.Eventually(t, fmt.Sprintf("API and metrics show %s %s", name, state), func() bool {
		if w.shown(name).State != state.String() {
			changes := w.logChanges()[name]
			return state == scrape.Stopping && len(changes) > 0 && changes[len(changes)-1].from == state.String()
		}
		w.statesInAPI[state.String()] = true
		own := w.Get("/metrics", "").Body
		for each := scrape.Idle; each <= scrape.Stopped; each++ {
			value := 0
			if each == state {
				value = 1
			}
			if !strings.Contains(
				own,
				fmt.Sprintf("\nstap_exporter_script_state{script=%q,state=%q} %d\n", name, each, value),
			) {
				return false // it has just gone on
			}
		}
		w.statesInMetrics[state.String()] = true
		return true
	})
}

// logChanges are the changes that the log tells, by script.
func (w *walk) logChanges() map[string][]change {
	all := map[string][]change{}
	for line := range strings.Lines(w.Log()) {
		var l struct{ Msg, Script, From, State, Cause string }
		if json.Unmarshal([]byte(line), &l) == nil && l.Msg == "script state changed" {
			all[l.Script] = append(all[l.Script], change{l.Script, l.From, l.State, l.Cause})
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

// eventChanges are the changes that the API tells, by script.
func (w *walk) eventChanges() map[string][]change {
	all := map[string][]change{}
	for _, e := range w.events() {
		switch e.Kind {
		case telemetry.KindStateChanged:
			all[e.Script] = append(all[e.Script], change{e.Script, e.From, e.To, e.Cause})
		case telemetry.KindChildEnded:
			w.exits[e.Cause] = true
		}
	}
	return all
}

// told waits until log and API tell of the changes, in this order, whatever is
// between them.
func (w *walk) told(t *testing.T, name string, want ...change) {
	t.Helper()
	for where, changes := range map[string]func() map[string][]change{"log": w.logChanges, "API": w.eventChanges} {
		var got []change
		in := func() bool {
			got = changes()[name]
			rest := want
			for _, c := range got {
				if len(rest) > 0 && c == rest[0] {
					rest = rest[1:]
				}
			}
			return len(rest) == 0
		}
		if harness.Eventually(t, fmt.Sprintf("the %s tells %v", where, want), in); t.Failed() {
			t.Logf("%s: %v", where, got)
		}
	}
}

// TestEveryStateAndCause walks all states, all causes of a change, all causes
// of an end and all kinds of events, with stand-ins for SystemTap, and sees
// each in the log, in the API and in the metrics.
// What comes at shutdown no client sees, since nobody can ask any more: the log
// has it, and a test of the supervisor sees the rest.
func TestEveryStateAndCause(t *testing.T) {
	harness.NeedStap(t)
	t.Parallel()
	w := &walk{
		gates:           t.TempDir(),
		statesInAPI:     map[string]bool{},
		statesInMetrics: map[string]bool{},
		exits:           map[string]bool{},
		kinds:           map[string]bool{telemetry.KindStateChanged: true},
	}
	files := map[string]string{}
	for base, header := range map[string]string{
		"demand": "# stap-exporter: keepalive=1", "late": "# stap-exporter: start-timeout=1s", "x-autostart": "",
		"fails": "", "gone": "", "changed": "", "operated": "", "removed": "", "untouched": "",
	} {
		files[base+".stp"] = w.gated(base, header)
	}
	w.dir = harness.ScriptDir(t, files)
	w.Exporter = harness.Start(t, w.dir, "--web.enable-lifecycle", "--script.read-timeout=2s")

	const (
		idle, starting, running, stopping, backingOff, stopped = "idle", "starting", "running", "stopping", "backing-off", "stopped"
	)
	ask := func(name string) func(*testing.T) {
		return func(*testing.T) { w.Get("/"+name, "") }
	}
	open := func(base string, names ...string) func(*testing.T) {
		return func(*testing.T) {
			for _, name := range names {
				w.gate(base, name, "")
			}
		}
	}
	post := func(name, action string) func(*testing.T) {
		return func(t *testing.T) {
			if code := w.Post("/api/v1/scripts/" + name + "/" + action); code != 202 {
				t.Errorf("%s: %d", action, code)
			}
		}
	}
	// Each step does something to a script, which then takes these changes and,
	// with rests, stays where they lead until the next step.
	for _, step := range []struct {
		what, script string
		do           func(*testing.T)
		changes      []change // without script
		rests        bool
	}{
		{"begins", "demand.stp", func(*testing.T) {}, []change{{"", idle, idle, "spawned"}}, true},
		{"is asked for", "demand.stp", ask("demand.stp"), []change{{"", idle, starting, "request"}}, true},
		{"is up, and nobody asks", "demand.stp", open("demand", "up"), []change{{"", starting, running, "ready"}, {"", running, stopping, "keepalive"}}, true},
		{"ends as told", "demand.stp", open("demand", "down"), []change{{"", stopping, idle, "child ended"}}, true},

		{"begins, autostart", "x-autostart.stp", func(*testing.T) {}, []change{{"", idle, idle, "spawned"}, {"", idle, starting, "autostart"}}, true},
		{"is up, autostart", "x-autostart.stp", open("x-autostart", "up"), []change{{"", starting, running, "ready"}}, true},
		{"is killed", "x-autostart.stp", func(t *testing.T) {
			w.shut("x-autostart", "up")
			// from now on it fails at every start, and is held off longer and
			// longer
			w.gate("x-autostart", "exit", "3")
			if err := syscall.Kill(w.shown("x-autostart.stp").OSPID, syscall.SIGKILL); err != nil {
				t.Fatal(err)
			}
		}, []change{
			{"", running, backingOff, "child ended"},
			{"", backingOff, backingOff, "actor restarted"},
			{"", backingOff, starting, "autostart"},
			{"", starting, backingOff, "child ended"},
		}, false},
		{"fails again and again", "x-autostart.stp", func(t *testing.T) { w.is(t, "x-autostart.stp", scrape.BackingOff) }, nil, false},

		{"fails", "fails.stp", func(*testing.T) { w.gate("fails", "exit", "4"); w.Get("/fails.stp", "") }, []change{
			{"", idle, starting, "request"}, {"", starting, backingOff, "child ended"}, {"", backingOff, idle, "back-off over"},
		}, true},
		{"is not up in time", "late.stp", ask("late.stp"), []change{{"", starting, backingOff, "child ended"}}, false},

		{"is up, for its file to go", "gone.stp", func(t *testing.T) { open("gone", "up")(t); w.Get("/gone.stp", "") }, []change{{"", starting, running, "ready"}}, true},
		{"loses its file", "gone.stp", func(t *testing.T) {
			if err := os.Remove(filepath.Join(procfile.DefaultRoots().FIFO, w.shown("gone.stp").Module, "__prometheus")); err != nil {
				t.Fatal(err)
			}
			w.Get("/gone.stp", "")
		}, []change{{"", running, stopping, "file gone"}}, true},
		{"has ended after that", "gone.stp", open("gone", "down"), []change{{"", stopping, idle, "child ended"}}, true},

		{"is up, to be changed", "changed.stp", func(t *testing.T) { open("changed", "up")(t); w.Get("/changed.stp", "") }, []change{{"", starting, running, "ready"}}, true},
		{"is changed", "changed.stp", func(t *testing.T) {
			path := filepath.Join(w.dir, "changed.stp")
			if err := os.WriteFile(path+".new", []byte(w.gated("changed", "# version 2")), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.Rename(path+".new", path); err != nil {
				t.Fatal(err)
			}
		}, []change{{"", running, stopping, "script changed"}}, true},
		{"runs in its new version", "changed.stp", open("changed", "down"), []change{{"", stopping, starting, "script changed"}, {"", starting, running, "ready"}}, true},
		{"ends by itself, having served", "changed.stp", func(t *testing.T) {
			w.Get("/changed.stp", "60")
			if err := syscall.Kill(w.shown("changed.stp").OSPID, syscall.SIGTERM); err != nil {
				t.Fatal(err)
			}
		}, []change{{"", running, idle, "child ended"}}, true},

		{"is started by an operator", "operated.stp", post("operated.stp", "start"), []change{{"", idle, starting, "start requested"}}, true},
		{"is up, operated", "operated.stp", open("operated", "up"), []change{{"", starting, running, "ready"}}, true},
		{"is restarted by an operator", "operated.stp", post("operated.stp", "restart"), []change{{"", running, stopping, "restart requested"}}, true},
		{"is up again", "operated.stp", open("operated", "down"), []change{{"", stopping, starting, "restart requested"}, {"", starting, running, "ready"}}, true},
		{"is stopped by an operator", "operated.stp", post("operated.stp", "stop"), []change{{"", running, stopping, "stop requested"}, {"", stopping, idle, "child ended"}}, true},
		{"is started once more", "operated.stp", post("operated.stp", "start"), []change{{"", idle, starting, "start requested"}, {"", starting, running, "ready"}}, true},

		{"has a new version that others can write", "operated.stp", func(t *testing.T) {
			w.writable(t, "operated.stp")
			w.happened(t, "operated.stp", telemetry.KindVersionRefused)
			w.happened(t, "operated.stp", telemetry.KindChildEnded)
			w.happened(t, "changed.stp", telemetry.KindScriptReplaced)
		}, nil, false},
		{"is refused", "untouched.stp", func(t *testing.T) {
			w.writable(t, "untouched.stp")
			w.happened(t, "untouched.stp", telemetry.KindScriptRefused)
		}, nil, false},
		{"is in a crash loop", "x-autostart.stp", func(t *testing.T) { w.happened(t, "x-autostart.stp", telemetry.KindLoopBegan) }, nil, false},
		{"is let out of it", "x-autostart.stp", func(t *testing.T) {
			post("x-autostart.stp", "start")(t)
			w.happened(t, "x-autostart.stp", telemetry.KindLoopEnded)
		}, []change{{"", backingOff, starting, "start requested"}}, false},

		{"is up, to be removed", "removed.stp", func(t *testing.T) { open("removed", "up", "down")(t); w.Get("/removed.stp", "") }, []change{{"", starting, running, "ready"}}, true},
		{"is removed", "removed.stp", func(t *testing.T) {
			if err := os.Remove(filepath.Join(w.dir, "removed.stp")); err != nil {
				t.Fatal(err)
			}
		}, []change{{"", running, stopping, "removed"}, {"", stopping, stopped, "removed"}}, false},
	} {
		ok := t.Run(strings.ReplaceAll(step.script+" "+step.what, " ", "_"), func(t *testing.T) {
			step.do(t)
			for i := range step.changes {
				step.changes[i].script = step.script
			}
			w.told(t, step.script, step.changes...)
			if step.rests {
				last := step.changes[len(step.changes)-1].to
				for state := scrape.Idle; state <= scrape.Stopped; state++ {
					if state.String() == last {
						w.is(t, step.script, state)
					}
				}
			}
		})
		if !ok {
			t.Fatal("the walk ends here")
		}
	}
	w.sameStream(t)

	if code := w.Stop(syscall.SIGTERM); code != 0 {
		t.Errorf("exit code %d", code)
	}
	w.CheckResidue()
	inLog := map[string]bool{}
	statesInLog := map[string]bool{}
	for _, changes := range w.logChanges() {
		for _, c := range changes {
			inLog[c.cause], statesInLog[c.to] = true, true
		}
	}
	for _, cause := range scrape.Causes() {
		if !inLog[string(cause)] {
			t.Errorf("no change for the cause %q was walked", cause)
		}
	}
	for state := scrape.Idle; state <= scrape.Stopped; state++ {
		name := state.String()
		if !statesInLog[name] || state != scrape.Stopped && (!w.statesInAPI[name] || !w.statesInMetrics[name]) {
			t.Errorf(
				"%s: in the log %v, in the API %v, in the metrics %v",
				name,
				statesInLog[name],
				w.statesInAPI[name],
				w.statesInMetrics[name],
			)
		}
	}
}

// logOf is the line of the log for each kind of event but those of a state,
// which logChanges knows, and of a bug.
var logOf = map[string]string{
	telemetry.KindChildEnded:     "child ended",
	telemetry.KindScriptReplaced: "script replaced by a new version of its file",
	telemetry.KindScriptRefused:  "script refused",
	telemetry.KindVersionRefused: "new version of a script refused, the old one keeps running",
	telemetry.KindLoopBegan:      "script entered a crash loop",
	telemetry.KindLoopEnded:      "script left its crash loop",
}

// happened waits until log and API tell of an event of that kind.
func (w *walk) happened(t *testing.T, name, kind string) {
	t.Helper()
	harness.Eventually(t, fmt.Sprintf("API and log tell of %s of %s", kind, name), func() bool {
		line := fmt.Sprintf(`"msg":%q,"script":%q`, logOf[kind], name)
		return strings.Contains(w.Log(), line) &&
			slices.ContainsFunc(w.events(), func(e telemetry.Event) bool { return e.Kind == kind && e.Script == name })
	})
	w.kinds[kind] = true
}

// writable makes a script one that others can change.
func (w *walk) writable(t *testing.T, name string) {
	t.Helper()
	if err := os.Chmod(filepath.Join(w.dir, name), 0o777); err != nil {
		t.Fatal(err)
	}
}

// sameStream checks that log, events and metrics tell the same of every script
// that is there, and that each cause but those of the shutdown came up.
func (w *walk) sameStream(t *testing.T) {
	t.Helper()
	var logged, told map[string][]change
	harness.Eventually(t, "no script is about to change", func() bool { // x-autostart goes on by itself
		logged = w.logChanges()
		told = w.eventChanges()
		return fmt.Sprint(logged) == fmt.Sprint(told) && fmt.Sprint(w.logChanges()) == fmt.Sprint(logged)
	})
	causes := map[string]bool{"shutdown": true}
	starts, ends := map[string]int{}, map[string]int{}
	for _, e := range w.events() {
		switch e.Kind {
		case telemetry.KindStateChanged:
			causes[e.Cause] = true
			if e.To == "starting" {
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
			t.Errorf("no event of the kind %s was walked", kind)
		}
	}
	for cause := range scrape.EndCauses {
		if !w.exits[cause.String()] {
			t.Errorf("no script ended with the cause %q", cause)
		}
	}
	own := w.Get("/metrics", "").Body
	for _, name := range []string{"demand.stp", "fails.stp", "gone.stp", "changed.stp", "operated.stp", "late.stp", "untouched.stp"} {
		w.counts(t, own, fmt.Sprintf(`stap_exporter_script_starts_total{script=%q}`, name), starts[name])
		for cause := range scrape.EndCauses {
			w.counts(
				t,
				own,
				fmt.Sprintf(`stap_exporter_script_exits_total{cause=%q,script=%q}`, cause.String(), name),
				ends[name+" "+cause.String()],
			)
		}
	}
	for _, cause := range []string{"signal", "failed"} {
		if !regexp.MustCompile(`\nstap_exporter_script_exits_total\{cause="` + cause + `",script="x-autostart.stp"\} [1-9]`).
			MatchString(own) {
			t.Errorf("exits of x-autostart.stp: none by %s", cause)
		}
	}
	if slices.Contains(strings.FieldsFunc(own, func(r rune) bool { return r == '"' }), "removed.stp") {
		t.Error("series of the removed script are left")
	}
}

// counts checks the value of one series.
func (w *walk) counts(t *testing.T, own, series string, want int) {
	t.Helper()
	if !strings.Contains(own, "\n"+series+" "+strconv.Itoa(want)+"\n") {
		t.Errorf("%s is not %d, the number of its events", series, want)
	}
}
