//go:build vm

package guest

import (
	"fmt"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// exporterKilled kills the exporter at moments of a start: the guardian leaves
// no residue, and the next exporter starts.
func exporterKilled(t *testing.T) {
	answers := func(e *exporter, _ string) bool { return e.Get("/"+termScript, "").Code == 200 }
	var slowest time.Duration
	dir, cache := scriptDir(t, map[string]string{termScript: text(t, "counting")}), tempDir(t)+"/cache"
	for i, m := range []struct {
		moment
		env     []string
		clients int
	}{
		{moment{"source", compiles, ms(1500)}, []string{"STAP_REAL_MAKE=1"}, 0},
		{moment{"staprun", isRunning("staprun"), ms(50)}, nil, 0},
		{moment{"module", isLoaded, 0}, nil, 0},
		{moment{"answer", answers, ms(500)}, nil, 0},
		{moment{"answer, 8 clients", answers, ms(200)}, nil, 8},
	} {
		what := fmt.Sprintf("%d: %s + %v", i+1, m.after, m.wait)
		e := start(t, setup{dir: dir, cache: cache, env: m.env})
		e.Get("/"+termScript, "")
		eventually(t, what, func() bool { return m.when(e, e.module(termScript)) })
		time.Sleep(m.wait) // not exact: any moment will do
		var readers sync.WaitGroup
		for range m.clients {
			readers.Go(func() {
				for {
					if _, err := e.Ask("/"+termScript, ""); err != nil {
						return // the exporter is gone
					}
				}
			})
		}
		begun := time.Now()
		e.Stop(syscall.SIGKILL)
		readers.Wait()
		eventually(
			t,
			"no residue after "+what,
			func() bool { return len(e.residue()) == 0 },
			func() string { return fmt.Sprintf("left: %q", e.residue()) },
		)
		slowest = max(slowest, time.Since(begun))
		t.Logf("KILL at %s: no residue after %s", what, seconds(time.Since(begun)))

		next := start(t, setup{dir: dir, cache: cache})
		next.metrics("/" + termScript)
		next.checkLogLacks("File exists", "left behind", "left residue")
		next.stopClean()
	}
	note(t, "5 moments, no residue after at most %s", seconds(slowest))
}

// An exporter that was killed with its guardian has left a running module and
// one without a process. The next exporter of the instance removes both before
// the first request.
func cleanupAtStart(t *testing.T) {
	names := []string{"counting-1.stp", "counting-2.stp"}
	dir := scriptDir(t, map[string]string{names[0]: text(t, "counting"), names[1]: text(t, "counting")})
	cache := tempDir(t) + "/cache"
	e := start(t, setup{dir: dir, cache: cache})
	for _, name := range names {
		e.metrics("/" + name)
	}
	pid := e.Cmd.Process.Pid
	_ = syscall.Kill(pid, syscall.SIGSTOP) // it would start another guardian
	for _, p := range processes() {
		if strings.Contains(p.line, " __guard ") && parent(p.pid) == pid {
			_ = syscall.Kill(p.pid, syscall.SIGKILL)
		}
	}
	_ = syscall.Kill(find("stapio", e.module(names[1])), syscall.SIGKILL)
	e.Stop(syscall.SIGKILL)
	if len(modules(e.prefix())) != 2 {
		t.Errorf("modules after the KILLs: %q", modules(e.prefix()))
	}
	next := start(t, setup{dir: dir, cache: cache})
	eventually(t, "the next exporter removes them", func() bool { return len(modules(e.prefix())) == 0 })
	next.checkResidue()
	next.metrics("/" + names[0])
	next.stopClean()
}
