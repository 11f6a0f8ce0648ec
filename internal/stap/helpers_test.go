package stap

import (
	"bytes"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"stap-exporter/internal/procfile"
	"stap-exporter/internal/script"
)

// patience bounds every wait of the tests: reached only when something is
// broken.
const patience = 30 * time.Second

// lab is a Host whose SystemTap is the stand-in.
type lab struct {
	t    *testing.T
	dir  string // STANDIN_DIR
	host *Host
}

func newLab(t *testing.T, mode string, change func(*Config)) *lab {
	t.Helper()
	dir := t.TempDir()
	t.Setenv("STANDIN_DIR", dir)
	t.Setenv("STANDIN_MODE", mode)
	// the race detector's processes end a second late otherwise
	t.Setenv("GORACE", "atexit_sleep_ms=0")
	bin := filepath.Join(dir, "bin")
	for _, d := range []string{bin, filepath.Join(dir, "fifo"), filepath.Join(dir, "kernel"), filepath.Join(dir, "tapset"), filepath.Join(dir, "runtime")} {
		if err := os.Mkdir(d, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"stap", "stapbpf", "staprun", "script.stp"} {
		if err := os.Symlink(mustExecutable(), filepath.Join(bin, name)); err != nil {
			t.Fatal(err)
		}
	}
	writeFile(t, filepath.Join(dir, "modules"), "other 16384 0 - Live 0x0\n")
	cfg := Config{
		Stap:     filepath.Join(bin, "stap"),
		Runtime:  BPF,
		Dir:      filepath.Join(dir, "private"),
		Roots:    procfile.Roots{Kernel: filepath.Join(dir, "kernel"), FIFO: filepath.Join(dir, "fifo")},
		Launcher: []string{mustExecutable(), "as-launcher"},
		Modules:  filepath.Join(dir, "modules"),
		// Long, so that only tests that are about a bound reach it.
		MaxParallel:  100,
		StartTimeout: patience,
		AfterWait:    patience,
		LoadWait:     patience,
		TermGrace:    patience,
		KillGrace:    patience,
		SweepWait:    patience,
	}
	if change != nil {
		change(&cfg)
	}
	host, err := newHost(cfg, labSystem(t))
	if err != nil {
		t.Fatal(err)
	}
	l := &lab{t: t, dir: dir, host: host}
	t.Cleanup(func() {
		host.Close()
		l.free()
		if left := l.processes(); len(left) > 0 {
			t.Errorf("processes are left: %q", left)
		}
	})
	return l
}

// labSystem is a machine on which kernel modules could work.
func labSystem(t *testing.T) system {
	t.Helper()
	dir := t.TempDir()
	sys := system{
		release:         "1.2.3-lab",
		version:         "#1",
		libModules:      dir,
		configGz:        filepath.Join(dir, "config.gz"),
		boot:            dir,
		status:          filepath.Join(dir, "status"),
		modulesDisabled: filepath.Join(dir, "modules_disabled"),
		tracing:         dir,
	}
	build := filepath.Join(dir, sys.release, "build")
	if err := os.MkdirAll(build, 0o700); err != nil {
		t.Fatal(err)
	}
	writeFile(t, filepath.Join(build, ".config"), "")
	writeFile(t, sys.status, "Name:\tx\nCapEff:\t0000000000010000\n")
	writeFile(t, sys.modulesDisabled, "0\n")
	return sys
}

func writeFile(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func (l *lab) script(module string) script.Script {
	return script.Script{Name: "script.stp", Path: filepath.Join(l.dir, "bin", "script.stp"), Module: module}
}

// text is a script of that text, which the stand-in's module holds.
func (l *lab) text(module, text string) script.Script {
	path := filepath.Join(l.dir, module+".stp")
	writeFile(l.t, path, text)
	return script.Script{Name: module + ".stp", Path: path, Module: module}
}

func (l *lab) start(s script.Script) *started { return start(l.t, l.host, s) }

// processes are the command lines of all processes that this lab has brought to
// life.
func (l *lab) processes() []string {
	return processesWith("environ", "STANDIN_DIR="+l.dir)
}

// processesWith lists processes, other than this one, whose file in /proc
// contains text; zombies have none.
func processesWith(file, text string) (found []string) {
	dirs, _ := filepath.Glob("/proc/[0-9]*")
	for _, dir := range dirs {
		if filepath.Base(dir) == strconv.Itoa(os.Getpid()) {
			continue
		}
		if content, err := os.ReadFile(filepath.Join(dir, file)); err == nil && bytes.Contains(content, []byte(text)) {
			cmdline, _ := os.ReadFile(filepath.Join(dir, "cmdline"))
			found = append(found, filepath.Base(dir)+" "+strings.ReplaceAll(string(cmdline), "\x00", " "))
		}
	}
	return found
}

// waitForLog waits until a stand-in has logged line.
func (l *lab) waitForLog(line string) {
	l.t.Helper()
	waitFor(l.t, "log line "+line, func() bool { return logHas(l.dir, line) })
}

// clean fails the test when something of module is left.
func (l *lab) clean(module string) {
	l.t.Helper()
	if loaded, err := isLoaded(l.host.cfg.Modules, module); loaded || err != nil {
		l.t.Errorf("module %s is still loaded (%v)", module, err)
	}
	for _, path := range []string{filepath.Join(l.dir, "fifo", module), filepath.Join(l.host.cfg.Dir, "run", module)} {
		if _, err := os.Lstat(path); err == nil {
			l.t.Errorf("%s is left", path)
		}
	}
	if left := l.processes(); len(left) > 0 {
		l.t.Errorf("processes are left: %q", left)
	}
}

// pause is the time between two looks at a condition.
func pause() { time.Sleep(2 * time.Millisecond) }

func waitFor(t *testing.T, what string, condition func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !condition(); {
		if time.Now().After(end) {
			t.Fatalf("%s: not within %v", what, patience)
		}
		pause()
	}
}

// started is a run with its events.
type started struct {
	*Run
	t      *testing.T
	events chan Event
	seen   []string // activities
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
				r.seen = append(r.seen, p.Activity)
				continue
			}
			return e
		case <-time.After(patience):
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

func atoi(s string) int {
	n, err := strconv.Atoi(s)
	if err != nil {
		panic(err)
	}
	return n
}
