//go:build vm

package guest

import (
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// moment is the time of a SIGTERM: wait after the condition when.
type moment struct {
	after string
	when  func(e *exporter, module string) bool
	wait  time.Duration
}

const termScript = "counting.stp"

func isRunning(comm string) func(*exporter, string) bool {
	return func(_ *exporter, module string) bool { return find(comm, module) != 0 }
}

func isLoaded(_ *exporter, module string) bool { return loaded(module) }

func hasFile(_ *exporter, module string) bool {
	return exists("/proc/systemtap/" + module + "/__prometheus")
}

func compiles(e *exporter, _ string) bool {
	sources, _ := filepath.Glob(filepath.Join(e.cache, "*", "run", "*", "tmp", "stap*", "*_src.c"))
	return len(sources) > 0
}

func now(*exporter, string) bool { return true }

// term starts an exporter and a script for each moment, sends the exporter a
// SIGTERM then, and checks that it exits with 0 and leaves no residue.
func term(t *testing.T, base setup, clients int, moments ...moment) {
	t.Helper()
	// All have the same directories: the first compiles, the others load.
	base.dir, base.cache = scriptDir(t, map[string]string{termScript: text(t, "counting")}), tempDir(t)+"/cache"
	for i, m := range moments {
		what := fmt.Sprintf("%d: %s + %v", i+1, m.after, m.wait)
		e := start(t, base)
		e.Get("/"+termScript, "")
		module := e.module(termScript)
		eventually(t, what, func() bool { return m.when(e, module) })
		time.Sleep(m.wait) // not exact: many different moments will do
		var readers sync.WaitGroup
		for range clients {
			readers.Go(func() {
				for {
					if _, err := e.Ask("/"+termScript, ""); err != nil {
						return // the exporter is gone
					}
				}
			})
		}
		begun := time.Now()
		e.stopClean()
		readers.Wait()
		t.Logf("TERM at %s: ended after %s", what, seconds(time.Since(begun)))
		if t.Failed() {
			t.Fatalf("TERM at moment %s", what)
		}
		e.checkLogLacks("left behind", "left residue")
	}
	note(t, "%d moments", len(moments))
}

func ms(n int) time.Duration { return time.Duration(n) * time.Millisecond }

// With the real make, so that there is a compile to interrupt.
func termCompiling(t *testing.T) {
	term(t, setup{env: []string{"STAP_REAL_MAKE=1"}}, 0,
		moment{"request", now, 0},
		moment{"request", now, ms(300)},
		moment{"stap", isRunning("stap"), 0},
		moment{"source", compiles, 0},
		moment{"source", compiles, ms(1500)},
		moment{"gcc", func(*exporter, string) bool { return find("cc1", "") != 0 }, ms(500)},
	)
}

func termLoading(t *testing.T) {
	term(t, setup{}, 0,
		moment{"staprun", isRunning("staprun"), 0},
		moment{"staprun", isRunning("staprun"), ms(30)},
		moment{"staprun", isRunning("staprun"), ms(60)},
		moment{"staprun", isRunning("staprun"), ms(120)},
		moment{"stapio", isRunning("stapio"), 0},
		moment{"stapio", isRunning("stapio"), ms(40)},
		moment{"module", isLoaded, 0},
		moment{"module", isLoaded, ms(50)},
		moment{"module", isLoaded, ms(150)},
	)
}

func termRunning(t *testing.T) {
	answers := func(e *exporter, _ string) bool { return e.Get("/"+termScript, "").Code == 200 }
	term(t, setup{}, 0,
		moment{"file", hasFile, 0},
		moment{"file", hasFile, ms(50)},
		moment{"file", hasFile, ms(200)},
		moment{"answer", answers, 0},
		moment{"answer", answers, ms(500)},
	)
	term(
		t,
		setup{flags: []string{"-k", "1"}},
		0,
		moment{
			"stopped by keepalive",
			func(e *exporter, _ string) bool { return strings.Contains(e.Log(), `"stopping"`) },
			ms(20),
		},
	)
	term(t, setup{}, 8, moment{"answer, 8 clients", answers, ms(200)}, moment{"file, 8 clients", hasFile, 0})
}
