package e2e

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"stap-exporter/internal/procfile"
	"stap-exporter/internal/scrape"
	"stap-exporter/internal/telemetry"
)

// step does something to a script and waits for the changes of state that
// follow.
type step struct {
	script  string
	what    string // the name of the subtest, after the script's
	do      func(*testing.T)
	changes []string // as change returns them
	settled bool     // the script stays in the last state until the next step
}

// All states, all causes of a change, all causes of an end and all kinds of
// events occur in one exporter, with stand-ins for SystemTap. Each is in the
// log, in the API and in the metrics. The causes of a shutdown are in the log
// only, since no request is answered then; TestStatesOfAShutdown of the
// supervisor has the rest.
func TestEveryStateAndCause(t *testing.T) {
	t.Parallel()
	w := startWalk(t)
	for _, s := range slices.Concat(
		w.keepaliveSteps(),
		w.autostartSteps(),
		w.failureSteps(),
		w.changeSteps(),
		w.operatorSteps(),
		w.refusalSteps(),
		w.removalSteps(),
	) {
		if !t.Run(strings.ReplaceAll(s.script+" "+s.what, " ", "_"), func(t *testing.T) { w.step(t, s) }) {
			t.Fatal("the walk ends here")
		}
	}
	w.checkStreams(t)
	w.StopClean()
	w.checkAllOccurred(t)
}

func (w *walk) step(t *testing.T, s step) {
	if s.do != nil {
		s.do(t)
	}
	w.waitForChanges(t, s.script, s.changes...)
	if !s.settled {
		return
	}
	_, to, _ := strings.Cut(s.changes[len(s.changes)-1], " -> ")
	to, _, _ = strings.Cut(to, ":")
	for state := scrape.Idle; state <= scrape.Stopped; state++ {
		if state.String() == to {
			w.waitForState(t, s.script, state)
		}
	}
}

// checkAllOccurred checks, after the end, that the log has every cause, and
// that log, API and metrics have had every state.
func (w *walk) checkAllOccurred(t *testing.T) {
	t.Helper()
	logged := strings.Builder{}
	for _, changes := range w.logChanges() {
		for _, c := range changes {
			logged.WriteString(c + "\n")
		}
	}
	for _, cause := range scrape.Causes() {
		if !strings.Contains(logged.String(), ": "+string(cause)+"\n") {
			t.Errorf("no change of state has the cause %q", cause)
		}
	}
	for state := scrape.Idle; state <= scrape.Stopped; state++ {
		name := state.String()
		inLog := strings.Contains(logged.String(), " -> "+name+":")
		if !inLog || state != scrape.Stopped && (!w.statesInAPI[name] || !w.statesInMetrics[name]) {
			t.Errorf("%s: in the log %v, in the API %v, in the metrics %v",
				name, inLog, w.statesInAPI[name], w.statesInMetrics[name])
		}
	}
}

// request returns a step's action: a request for a script, after control files
// were created for it.
func (w *walk) request(base string, controls ...string) func(*testing.T) {
	return func(t *testing.T) {
		w.controlFiles(base, controls...)(t)
		w.Get("/"+base+".stp", "")
	}
}

func (w *walk) controlFiles(base string, names ...string) func(*testing.T) {
	return func(*testing.T) {
		for _, name := range names {
			w.control(base, name, "")
		}
	}
}

func (w *walk) operate(name, action string) func(*testing.T) {
	return func(t *testing.T) {
		if code := w.Post("/api/v1/scripts/" + name + "/" + action); code != 202 {
			t.Errorf("%s: %d", action, code)
		}
	}
}

func (w *walk) signal(t *testing.T, name string, s syscall.Signal) {
	t.Helper()
	if err := syscall.Kill(w.Status(name).OSPID, s); err != nil {
		t.Fatal(err)
	}
}

func (w *walk) keepaliveSteps() []step {
	return []step{
		{
			script:  "demand.stp",
			what:    "begins",
			changes: []string{"idle -> idle: spawned"},
			settled: true,
		},
		{
			script:  "demand.stp",
			what:    "is requested",
			do:      w.request("demand"),
			changes: []string{"idle -> starting: request"},
			settled: true,
		},
		{
			script:  "demand.stp",
			what:    "is up and not requested any more",
			do:      w.controlFiles("demand", "up"),
			changes: []string{"starting -> running: ready", "running -> stopping: keepalive"},
			settled: true,
		},
		{
			script:  "demand.stp",
			what:    "ends",
			do:      w.controlFiles("demand", "down"),
			changes: []string{"stopping -> idle: child ended"},
			settled: true,
		},
	}
}

func (w *walk) autostartSteps() []step {
	return []step{
		{
			script:  "x-autostart.stp",
			what:    "begins",
			changes: []string{"idle -> idle: spawned", "idle -> starting: autostart"},
			settled: true,
		},
		{
			script:  "x-autostart.stp",
			what:    "is up",
			do:      w.controlFiles("x-autostart", "up"),
			changes: []string{"starting -> running: ready"},
			settled: true,
		},
		{
			script: "x-autostart.stp",
			what:   "is killed, and fails at every start from now on",
			do: func(t *testing.T) {
				w.removeControl("x-autostart", "up")
				w.control("x-autostart", "exit", "3")
				w.signal(t, "x-autostart.stp", syscall.SIGKILL)
			},
			changes: []string{
				"running -> backing-off: child ended",
				"backing-off -> backing-off: actor restarted",
				"backing-off -> starting: autostart",
				"starting -> backing-off: child ended",
			},
		},
		{
			script: "x-autostart.stp",
			what:   "fails again and again",
			do:     func(t *testing.T) { w.waitForState(t, "x-autostart.stp", scrape.BackingOff) },
		},
	}
}

func (w *walk) failureSteps() []step {
	return []step{
		{
			script: "fails.stp",
			what:   "fails",
			do: func(*testing.T) {
				w.control("fails", "exit", "4")
				w.Get("/fails.stp", "")
			},
			changes: []string{
				"idle -> starting: request",
				"starting -> backing-off: child ended",
				"backing-off -> idle: back-off over",
			},
			settled: true,
		},
		{
			script:  "late.stp",
			what:    "is not up in time",
			do:      w.request("late"),
			changes: []string{"starting -> backing-off: child ended"},
		},
		{
			script:  "gone.stp",
			what:    "is up",
			do:      w.request("gone", "up"),
			changes: []string{"starting -> running: ready"},
			settled: true,
		},
		{
			script: "gone.stp",
			what:   "loses its FIFO",
			do: func(t *testing.T) {
				fifo := filepath.Join(procfile.DefaultRoots().FIFO, w.Status("gone.stp").Module, "__prometheus")
				if err := os.Remove(fifo); err != nil {
					t.Fatal(err)
				}
				w.Get("/gone.stp", "")
			},
			changes: []string{"running -> stopping: file gone"},
			settled: true,
		},
		{
			script:  "gone.stp",
			what:    "ends",
			do:      w.controlFiles("gone", "down"),
			changes: []string{"stopping -> idle: child ended"},
			settled: true,
		},
	}
}

func (w *walk) changeSteps() []step {
	return []step{
		{
			script:  "changed.stp",
			what:    "is up",
			do:      w.request("changed", "up"),
			changes: []string{"starting -> running: ready"},
			settled: true,
		},
		{
			script: "changed.stp",
			what:   "is changed",
			do: func(*testing.T) {
				w.write(filepath.Join(w.dir, "changed.stp"), w.script("changed", "# version 2"), 0o755)
			},
			changes: []string{"running -> stopping: script changed"},
			settled: true,
		},
		{
			script:  "changed.stp",
			what:    "runs in its new version",
			do:      w.controlFiles("changed", "down"),
			changes: []string{"stopping -> starting: script changed", "starting -> running: ready"},
			settled: true,
		},
		{
			script: "changed.stp",
			what:   "ends by itself after a reply",
			do: func(t *testing.T) {
				w.Get("/changed.stp", "60")
				w.signal(t, "changed.stp", syscall.SIGTERM)
			},
			changes: []string{"running -> idle: child ended"},
			settled: true,
		},
	}
}

func (w *walk) operatorSteps() []step {
	return []step{
		{
			script:  "operated.stp",
			what:    "is started",
			do:      w.operate("operated.stp", "start"),
			changes: []string{"idle -> starting: start requested"},
			settled: true,
		},
		{
			script:  "operated.stp",
			what:    "is up",
			do:      w.controlFiles("operated", "up"),
			changes: []string{"starting -> running: ready"},
			settled: true,
		},
		{
			script:  "operated.stp",
			what:    "is restarted",
			do:      w.operate("operated.stp", "restart"),
			changes: []string{"running -> stopping: restart requested"},
			settled: true,
		},
		{
			script:  "operated.stp",
			what:    "is up again",
			do:      w.controlFiles("operated", "down"),
			changes: []string{"stopping -> starting: restart requested", "starting -> running: ready"},
			settled: true,
		},
		{
			script:  "operated.stp",
			what:    "is stopped",
			do:      w.operate("operated.stp", "stop"),
			changes: []string{"running -> stopping: stop requested", "stopping -> idle: child ended"},
			settled: true,
		},
		{
			script:  "operated.stp",
			what:    "is started again",
			do:      w.operate("operated.stp", "start"),
			changes: []string{"idle -> starting: start requested", "starting -> running: ready"},
			settled: true,
		},
	}
}

func (w *walk) refusalSteps() []step {
	return []step{
		{
			script: "operated.stp",
			what:   "has a new version that others can write",
			do: func(t *testing.T) {
				w.makeWritable(t, "operated.stp")
				w.waitForEvent(t, "operated.stp", telemetry.KindVersionRefused)
				w.waitForEvent(t, "operated.stp", telemetry.KindChildEnded)
				w.waitForEvent(t, "changed.stp", telemetry.KindScriptReplaced)
			},
		},
		{
			script: "untouched.stp",
			what:   "is refused",
			do: func(t *testing.T) {
				w.makeWritable(t, "untouched.stp")
				w.waitForEvent(t, "untouched.stp", telemetry.KindScriptRefused)
			},
		},
		{
			script: "x-autostart.stp",
			what:   "is in a crash loop",
			do:     func(t *testing.T) { w.waitForEvent(t, "x-autostart.stp", telemetry.KindLoopBegan) },
		},
		{
			script: "x-autostart.stp",
			what:   "leaves its crash loop",
			do: func(t *testing.T) {
				w.operate("x-autostart.stp", "start")(t)
				w.waitForEvent(t, "x-autostart.stp", telemetry.KindLoopEnded)
			},
			changes: []string{"backing-off -> starting: start requested"},
		},
	}
}

func (w *walk) removalSteps() []step {
	return []step{
		{
			script:  "removed.stp",
			what:    "is up",
			do:      w.request("removed", "up", "down"),
			changes: []string{"starting -> running: ready"},
			settled: true,
		},
		{
			script: "removed.stp",
			what:   "is removed",
			do: func(t *testing.T) {
				if err := os.Remove(filepath.Join(w.dir, "removed.stp")); err != nil {
					t.Fatal(err)
				}
			},
			changes: []string{"running -> stopping: removed", "stopping -> stopped: removed"},
		},
	}
}
