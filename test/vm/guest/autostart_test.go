//go:build vm

package guest

import (
	"strings"
	"syscall"
	"testing"
	"time"
)

// waitForNextRun waits for the metrics of a run after the one with seq: it
// counts from 1 again.
func waitForNextRun(e *exporter, path string, seq int64) {
	e.T.Helper()
	begun := time.Now()
	eventually(e.t, "a new run answers", func() bool {
		p := e.Get(path, startTimeout)
		return p.Code == 200 && seqOf(e.t, p.Body) < seq
	})
	note(e.t, "back after %s", seconds(time.Since(begun)))
}

// readFiveTimes reads until the probe has run often enough to distinguish this
// run from the next. It returns the last seq.
func readFiveTimes(e *exporter, path string) (seq int64) {
	e.T.Helper()
	for seq < 5 {
		seq = seqOf(e.t, e.metrics(path).Body)
	}
	return seq
}

func (e *exporter) checkLogLacks(words ...string) {
	e.T.Helper()
	for _, w := range words {
		if strings.Contains(e.Log(), w) {
			e.T.Errorf("the log contains %q", w)
		}
	}
}

func autostartExits(t *testing.T) {
	e := start(t, setup{scripts: map[string]string{"exits-autostart.stp": text(t, "exits")}})
	waitForNextRun(e, "/exits-autostart.stp", readFiveTimes(e, "/exits-autostart.stp"))
	e.checkLogLacks("File exists", "left behind", "left residue")
	e.stopClean()
}

func autostartErrs(t *testing.T) {
	e := start(t, setup{scripts: map[string]string{"errs-autostart.stp": text(t, "errs")}})
	seq := readFiveTimes(e, "/errs-autostart.stp")
	e.waitForReply("/errs-autostart.stp", 503, "no such luck")
	waitForNextRun(e, "/errs-autostart.stp", seq)
	e.checkLogLacks("File exists", "left behind", "left residue")
	e.stopClean()
}

// autostartKilled kills a process of the script: staprun while it loads (it
// becomes stapio then), others while the script runs. A stap exists then only
// for a wrapper.
func autostartKilled(t *testing.T, comm string) {
	name, script := "counting-autostart.stp", text(t, "counting")
	if comm == "stap" {
		script = wrapper("counting", "")
	}
	e := start(t, setup{scripts: map[string]string{name: script}})
	kill := func() bool {
		pid := find(comm, e.module(name))
		return pid != 0 && syscall.Kill(pid, syscall.SIGKILL) == nil
	}
	seq := int64(1 << 62)
	if comm == "staprun" {
		eventually(t, "staprun loads it", kill)
		note(t, "module loaded then: %v", loaded(e.module(name)))
	} else {
		seq = readFiveTimes(e, "/"+name)
		eventually(t, "it is killed", kill)
	}
	waitForNextRun(e, "/"+name, seq)
	if n := len(modules(e.prefix())); n != 1 {
		t.Errorf("%d modules loaded", n)
	}
	if !strings.Contains(e.Log(), "child ended unexpectedly") && !strings.Contains(e.Log(), "child ended") {
		t.Error("the log does not have the end")
	}
	e.checkLogLacks("File exists", "left behind", "left residue")
	e.stopClean()
}
