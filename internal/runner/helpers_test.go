package runner

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"stap-exporter/internal/procfile"
	"stap-exporter/internal/script"
	"stap-exporter/internal/staptest"
	"stap-exporter/internal/toolchain"
)

// lab is a Host whose SystemTap is the stand-in.
type lab struct {
	staptest.Dir
	t    *testing.T
	dir  string
	host *Host
}

func newLab(t *testing.T, mode string, change func(*Config)) *lab {
	t.Helper()
	d := staptest.NewDir(t, mode)
	dir := d.String()
	cfg := Config{
		Stap:     d.Path("bin", "stap"),
		Runtime:  toolchain.BPF,
		Dir:      filepath.Join(dir, "private"),
		Roots:    procfile.Roots{Kernel: filepath.Join(dir, "kernel"), FIFO: filepath.Join(dir, "fifo")},
		Launcher: []string{staptest.Executable(), "as-launcher"},
		// Long, so that only tests that are about a bound reach it.
		MaxParallel:  100,
		StartTimeout: staptest.Patience,
		AfterWait:    staptest.Patience,
		LoadWait:     staptest.Patience,
		TermGrace:    staptest.Patience,
		KillGrace:    staptest.Patience,
		CleanupWait:  staptest.Patience,
	}
	if change != nil {
		change(&cfg)
	}
	host, err := newHost(cfg, labSystem(t, d.Path("modules")))
	if err != nil {
		t.Fatal(err)
	}
	l := &lab{Dir: d, t: t, dir: dir, host: host}
	t.Cleanup(func() {
		host.Close()
		l.free()
		if left := l.Processes(); len(left) > 0 {
			t.Errorf("processes are left: %q", left)
		}
	})
	return l
}

// labSystem is a machine on which kernel modules could work. modules is its
// list of loaded modules.
func labSystem(t *testing.T, modules string) toolchain.System {
	t.Helper()
	s := machine(t)
	s.Modules = modules
	return s
}

func (l *lab) script(module string) script.Script {
	return script.Script{Name: "script.stp", Path: filepath.Join(l.dir, "bin", "script.stp"), Module: module}
}

// text is a script of that text, which the stand-in's module holds.
func (l *lab) text(module, text string) script.Script {
	path := filepath.Join(l.dir, module+".stp")
	staptest.WriteFile(l.t, path, text)
	return script.Script{Name: module + ".stp", Path: path, Module: module}
}

func (l *lab) start(s script.Script) *started { return start(l.t, l.host, s) }

// loaded reports whether the stand-in's kernel has the module.
func (l *lab) loaded(module string) bool {
	text, _ := os.ReadFile(l.Path("modules"))
	return strings.Contains("\n"+string(text), "\n"+module+" ")
}

// clean fails the test when something of module is left.
func (l *lab) clean(module string) {
	l.t.Helper()
	if l.loaded(module) {
		l.t.Errorf("module %s is still loaded", module)
	}
	for _, path := range []string{filepath.Join(l.dir, "fifo", module), filepath.Join(l.host.cfg.Dir, "run", module)} {
		if _, err := os.Lstat(path); err == nil {
			l.t.Errorf("%s is left", path)
		}
	}
	if left := l.Processes(); len(left) > 0 {
		l.t.Errorf("processes are left: %q", left)
	}
}

// started is a run with its events.
type started struct {
	*Run
	t      *testing.T
	events chan Event
	passed []string // activities
}

var runNumber uint64

func start(t *testing.T, h *Host, s script.Script) *started {
	t.Helper()
	runNumber++
	r := &started{t: t, events: make(chan Event, 1000)}
	number := runNumber
	r.Run = h.Start(s, number, func(e Event) {
		if e.RunNumber() != number {
			t.Errorf("event of run %d in run %d", e.RunNumber(), number)
		}
		r.events <- e
	})
	t.Cleanup(func() {
		r.Kill()
		<-r.done
		if len(r.events) > 0 {
			t.Errorf("events after the last: %v", <-r.events)
		}
	})
	return r
}

func (r *started) next() Event {
	r.t.Helper()
	for {
		select {
		case e := <-r.events:
			if p, ok := e.(Progress); ok {
				r.passed = append(r.passed, p.Activity)
				continue
			}
			return e
		case <-time.After(staptest.Patience):
			r.t.Fatal("no event")
		}
	}
}

func (r *started) ready() Ready {
	r.t.Helper()
	switch e := r.next().(type) {
	case Ready:
		return e
	case Exited:
		r.t.Fatalf("exited: %s", e.Exit.Reason())
	}
	panic("no other events")
}

// exited waits for the last event.
func (r *started) exited() Exit {
	r.t.Helper()
	for {
		if e, ok := r.next().(Exited); ok {
			<-r.done
			return e.Exit
		}
	}
}

// slow skips a test that takes seconds with -short.
func slow(t *testing.T) {
	t.Helper()
	if testing.Short() {
		t.Skip("takes seconds")
	}
}
