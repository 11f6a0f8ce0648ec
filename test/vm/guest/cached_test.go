//go:build vm

package guest

import (
	"os"
	"strings"
	"testing"
	"time"

	"stap-exporter/test/harness"
)

// compilesOf counts the builds of a module of this name, by the handover or by
// the real make.
func compilesOf(t *testing.T, module string) (n int) {
	t.Helper()
	log, err := os.ReadFile("/run/handover.log")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(log)) {
		if f := strings.Fields(line); len(f) > 1 && f[1] == module {
			n++
		}
	}
	return n
}

// waitUntilIdle waits until keepalive has stopped every script.
func (e *exporter) waitUntilIdle() {
	e.T.Helper()
	eventually(e.t, "keepalive stops it", func() bool {
		list := e.Get("/", "").Body
		return !strings.Contains(list, "running") && !strings.Contains(list, "stopping")
	})
}

// A module is compiled once, and loaded from the cache afterwards, also by the
// next exporter. It is compiled again when its script has changed.
func onDemandTwoStage(t *testing.T) {
	name := "counting.stp"
	dir, cache := scriptDir(t, map[string]string{name: text(t, "counting")}), tempDir(t)+"/cache"
	e := start(t, setup{dir: dir, cache: cache, flags: []string{"-k", "1"}})
	served := func(compiles int, how string) {
		t.Helper()
		p := e.metrics("/" + name)
		if !harness.CountingText.MatchString(p.Body) || seqOf(t, p.Body) != 1 {
			t.Errorf("%s: not the first text of a run: %q", how, p.Body)
		}
		if n := compilesOf(t, e.module(name)); n != compiles {
			t.Errorf("%s: %d compiles, want %d", how, n, compiles)
		}
		note(t, "%s %s", how, seconds(p.Took))
	}
	served(1, "compiled")
	for range 3 {
		e.waitUntilIdle()
		e.checkResidue()
		served(1, "cached")
	}
	e.stopClean()
	e = start(t, setup{dir: dir, cache: cache, flags: []string{"-k", "1"}})
	served(1, "cached, next exporter")
	e.waitUntilIdle()
	if err := os.WriteFile(dir+"/"+name, []byte(text(t, "counting")+"// changed\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	served(2, "script changed")
	e.stopClean()
}

// An executable script whose first line names stap starts in two stages as
// well, with the options of that line.
func shebangTwoStage(t *testing.T) {
	name := "quiet.stp"
	e := start(
		t,
		setup{
			scripts: map[string]string{name: "#!/usr/bin/stap --suppress-handler-errors\n" + text(t, "quiet")},
			flags:   []string{"-k", "1"},
		},
	)
	e.metrics("/" + name)
	e.waitUntilIdle()
	p := e.metrics("/" + name)
	if n := compilesOf(t, e.module(name)); n != 1 {
		t.Errorf("%d compiles", n)
	}
	note(t, "cached %s", seconds(p.Took))
	e.stopClean()
}

// With --script.precompile the first request finds its module in the cache. It
// is compiled with the lowest priority, beside the other scenarios.
func precompiled(t *testing.T) {
	names := []string{"counting-1.stp", "counting-2.stp", "counting-3.stp"}
	files := map[string]string{}
	for _, name := range names {
		files[name] = text(t, "counting")
	}
	e := start(t, setup{scripts: files, flags: []string{"--script.precompile"}})
	begun := time.Now()
	for _, name := range names {
		eventuallyIn(t, fullCompile, name+" is compiled", func() bool { return compilesOf(t, e.module(name)) == 1 })
	}
	note(t, "3 compiled after %s", seconds(time.Since(begun)))
	for _, name := range names {
		e.metrics("/" + name)
		if n := compilesOf(t, e.module(name)); n != 1 {
			t.Errorf("%s: %d compiles", name, n)
		}
	}
	e.stopClean()
}
