//go:build vm

package guest

import (
	"strings"
	"syscall"
	"testing"
	"time"
)

// again waits for the metrics of a run after the one that gave seq: its probe
// counts from 1 again.
func again(e *exporter, path string, seq int64) {
	e.t.Helper()
	begun := time.Now()
	eventually(e.t, "a new run answers", func() bool {
		p := e.get(path, patience)
		return p.code == 200 && seqOf(e.t, p.body) < seq
	})
	note(e.t, "back after %s", seconds(time.Since(begun)))
}

// fewReads reads until the probe has run often enough to tell this run from the
// next.
func fewReads(e *exporter, path string) (seq int64) {
	e.t.Helper()
	for seq < 5 {
		seq = seqOf(e.t, e.metrics(path).body)
	}
	return seq
}

func (e *exporter) neverSaid(words ...string) {
	e.t.Helper()
	for _, w := range words {
		if strings.Contains(e.logged(), w) {
			e.t.Errorf("the log says %q", w)
		}
	}
}

func autostartExits(t *testing.T) {
	e := start(t, setup{scripts: map[string]string{"exits-autostart.stp": text(t, "exits")}})
	again(e, "/exits-autostart.stp", fewReads(e, "/exits-autostart.stp"))
	e.neverSaid("File exists", "left behind", "left residue")
	e.endsClean()
}

func autostartErrs(t *testing.T) {
	e := start(t, setup{scripts: map[string]string{"errs-autostart.stp": text(t, "errs")}})
	seq := fewReads(e, "/errs-autostart.stp")
	e.says("/errs-autostart.stp", 503, "no such luck")
	again(e, "/errs-autostart.stp", seq)
	e.neverSaid("File exists", "left behind", "left residue")
	e.endsClean()
}

// autostartKilled KILLs a process of the script: staprun while it loads (it
// becomes stapio then), the others while the script runs. Only a wrapper's stap
// is there then.
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
		seq = fewReads(e, "/"+name)
		eventually(t, "it is killed", kill)
	}
	again(e, "/"+name, seq)
	if n := len(modules(e.prefix())); n != 1 {
		t.Errorf("%d modules loaded", n)
	}
	if !strings.Contains(e.logged(), "child ended by itself") && !strings.Contains(e.logged(), "child ended") {
		t.Error("the log does not tell of the end")
	}
	e.neverSaid("File exists", "left behind", "left residue")
	e.endsClean()
}
