package runner

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"stap-exporter/internal/staptest"
	"stap-exporter/internal/toolchain"
)

func TestBPFScriptStartsAndStops(t *testing.T) {
	l := newLab(t, "", nil)
	r := l.start(l.script("m1"))
	ready := r.ready()
	if !ready.File.FIFO || !ready.File.Abandonable ||
		ready.File.Path != filepath.Join(l.dir, "fifo", "m1", "__prometheus") {
		t.Errorf("file is %+v", ready.File)
	}
	if first, last := r.seen[0], r.seen[len(r.seen)-1]; first != "pass 1: parse the script" || last != "load" {
		t.Errorf("activities are %q", r.seen)
	}
	r.Stop(nil)
	r.Stop(nil)
	e := r.exited()
	if !e.Stopped || !e.Ready || e.Code != 0 || e.Signal != 0 || e.Stage != toolchain.StageRun || e.Err != nil ||
		len(e.Residue) > 0 {
		t.Errorf("exit is %s", e.Reason())
	}
	l.clean("m1")
}

func TestKernelScriptStartsAndStops(t *testing.T) {
	l := newLab(t, "", func(c *Config) { c.Runtime = toolchain.Kernel })
	r := l.start(l.text("m1", "probe begin { }"))
	if f := r.ready().File; f.FIFO {
		t.Errorf("file is %+v", f)
	}
	r.Stop(nil)
	if e := r.exited(); e.Code != 0 || !e.Stopped {
		t.Errorf("exit is %s", e.Reason())
	}
	l.clean("m1")
	if text, _ := os.ReadFile(l.host.system.Modules); string(text) != "other 16384 0 - Live 0x0\n" {
		t.Errorf("another module was touched: %q", text)
	}
}

func TestExecutableScriptGetsTheModuleNameOnly(t *testing.T) {
	l := newLab(t, "", nil)
	s := l.script("m1")
	s.Executable = true
	r := l.start(s)
	r.ready()
	if !slices.Equal(r.seen, []string{"start"}) {
		t.Errorf("activities are %q", r.seen)
	}
	l.WaitForLog("script.stp -m m1")
	r.Stop(nil)
	r.exited()
	l.clean("m1")
}

func TestExecutableWithoutInterpreterSaysSo(t *testing.T) {
	l := newLab(t, "", nil)
	s := l.script("m1")
	s.Path, s.Executable = filepath.Join(l.dir, "plain.stp"), true
	if err := os.WriteFile(s.Path, []byte("probe begin { }\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	e := l.start(s).exited()
	if e.Code != 126 || e.Stage != toolchain.StageStart || !strings.Contains(e.Reason(), "#! line") {
		t.Errorf("reason is %q", e.Reason())
	}
}

// What a killed stapbpf with the same number left costs no failed start, unless
// it happens twice.
func TestProbeOfTheSameNumber(t *testing.T) {
	l := newLab(t, "m1:probe-taken-once m2:probe-taken", nil)
	r := l.start(l.script("m1"))
	r.ready()
	l.WaitForLog("probe taken")
	r.Stop(nil)
	r.exited()
	l.clean("m1")
	if e := l.start(l.script("m2")).
		exited(); e.Code != 1 || e.Ready || !strings.Contains(e.Reason(), "creating probe") ||
		!strings.Contains(e.Remedy, "same number") {
		t.Errorf("exit is %s", e.Reason())
	}
	log, _ := os.ReadFile(filepath.Join(l.dir, "log"))
	if n := strings.Count(string(log), "probe taken"); n != 3 {
		t.Errorf("%d tries of both scripts failed, want 1 and 2", n)
	}
	l.clean("m2")
}

func TestFailingCompileGivesItsError(t *testing.T) {
	l := newLab(t, "stap-fails", nil)
	e := l.start(l.script("m1")).exited()
	if e.Stopped || e.Ready || e.Code != 1 || e.Stage != toolchain.StageCompile {
		t.Errorf("exit is %s", e.Reason())
	}
	if want := "exit code 1 while compiling\nsemantic error: the stand-in fails\nPass 2: analysis failed.  [man error::pass2]"; e.Reason() != want {
		t.Errorf("reason is %q", e.Reason())
	}
	l.clean("m1")
}

func TestMissingProgramIsAnError(t *testing.T) {
	l := newLab(t, "", nil)
	if err := os.Remove(filepath.Join(l.dir, "bin", "stap")); err != nil {
		t.Fatal(err)
	}
	e := l.start(l.script("m1")).exited()
	if e.Err == nil || e.Code != -1 {
		t.Errorf("exit is %s", e.Reason())
	}
}

func TestStopBeforeAnything(t *testing.T) {
	l := newLab(t, "", nil)
	stopped, cancel := context.WithCancel(t.Context())
	cancel()
	r := &Run{
		host: l.host,
		stop: stopped,
		kill: t.Context(),
		slot: l.host.queue.join(interactive),
	}
	if e := r.life(); !e.Stopped || e.String() != "stopped before it started" {
		t.Errorf("exit is %s", e.Reason())
	}
}

func TestStopWhileCompilingEndsTheWholeGroup(t *testing.T) {
	l := newLab(t, "compile-hangs stap-leaves-grandchild", nil)
	r := l.start(l.script("m1"))
	l.WaitForLog("compiling")
	r.Stop(nil)
	if e := r.exited(); !e.Stopped || e.Stage != toolchain.StageCompile || e.Code != 1 || len(e.Residue) > 0 {
		t.Errorf("exit is %s", e.Reason())
	}
	l.clean("m1")
}

func TestStopWhileLoadingWaitsUntilItIsUp(t *testing.T) {
	l := newLab(t, "load-waits", func(c *Config) { c.Runtime = toolchain.Kernel })
	r := l.start(l.text("m1", "probe begin { }"))
	l.WaitForLog("inserted")
	r.Stop(nil)
	staptest.WriteFile(t, filepath.Join(l.dir, "go"), "")
	if e := r.exited(); e.Code != 0 || e.Stage != toolchain.StageLoad || !e.Stopped {
		t.Errorf("it was interrupted while loading: %+v", e)
	}
	l.clean("m1")
}

func TestStopOfAHangingLoadIsBoundedAndSwept(t *testing.T) {
	l := newLab(t, "load-hangs", func(c *Config) { c.Runtime, c.LoadWait = toolchain.Kernel, 10*time.Millisecond })
	r := l.start(l.text("m1", "probe begin { }"))
	l.WaitForLog("inserted")
	r.Stop(nil)
	if e := r.exited(); e.Code != 1 || len(e.Residue) > 0 {
		t.Errorf("exit is %s", e.Reason())
	}
	l.WaitForLog("staprun -d m1")
	l.clean("m1")
}

func TestStopWaitsForTheReader(t *testing.T) {
	l := newLab(t, "", nil)
	r := l.start(l.script("m1"))
	pid := r.ready().OSPID
	reading := make(chan struct{})
	r.Stop(reading)
	if syscall.Kill(pid, 0) != nil || len(r.events) > 0 {
		t.Error("it was stopped while its file was read")
	}
	close(reading)
	if e := r.exited(); e.Code != 0 {
		t.Errorf("exit is %s", e.Reason())
	}
	l.clean("m1")
}

func TestStopWaitsForTheReaderBounded(t *testing.T) {
	l := newLab(t, "", func(c *Config) { c.AfterWait = time.Millisecond })
	r := l.start(l.script("m1"))
	r.ready()
	r.Stop(make(chan struct{}))
	if e := r.exited(); e.Code != 0 {
		t.Errorf("exit is %s", e.Reason())
	}
}

func TestWhoIgnoresTERMIsKilled(t *testing.T) {
	l := newLab(
		t,
		"stapbpf-ignores-term stapbpf-leaves-grandchild grandchild-ignores-term",
		func(c *Config) { c.TermGrace = 50 * time.Millisecond },
	)
	r := l.start(l.script("m1"))
	r.ready()
	r.Stop(nil)
	if e := r.exited(); e.Signal != syscall.SIGKILL || e.Code != -1 || !e.Stopped || len(e.Residue) > 0 {
		t.Errorf("exit is %s", e.Reason())
	}
	l.clean("m1")
}

func TestKillDoesNotWait(t *testing.T) {
	for _, during := range []string{"run", "stop"} {
		t.Run(during, func(t *testing.T) {
			// every bound is longer than the test's staptest.Patience
			l := newLab(t, "stapbpf-ignores-term", nil)
			r := l.start(l.script("m1"))
			r.ready()
			if during == "stop" {
				r.Stop(make(chan struct{}))
			}
			r.Kill()
			if e := r.exited(); e.Signal != syscall.SIGKILL || !e.Stopped {
				t.Errorf("exit is %s", e.Reason())
			}
			l.clean("m1")
		})
	}
}

func TestFloodHindersNothing(t *testing.T) {
	l := newLab(t, "stapbpf-floods", nil)
	r := l.start(l.script("m1"))
	r.ready()
	r.Stop(nil)
	e := r.exited()
	if e.Code != 0 {
		t.Errorf("exit is %s", e.Reason())
	}
	if len(e.Tail) > 13 || len(strings.Join(e.Tail, "\n")) > 2148 {
		t.Errorf("tail has %d lines", len(e.Tail))
	}
	l.clean("m1")
}

func TestGrandchildrenEndWithTheirLeader(t *testing.T) {
	for _, mode := range []string{"", " grandchild-ignores-term"} {
		l := newLab(
			t,
			"stapbpf-leaves-grandchild stapbpf-fails"+mode,
			func(c *Config) { c.TermGrace = 50 * time.Millisecond },
		)
		e := l.start(l.script("m1")).exited()
		if e.Code != 1 || e.Stopped || e.Stage != toolchain.StageLoad || len(e.Residue) > 0 {
			t.Errorf("exit is %s", e.Reason())
		}
		l.clean("m1")
	}
}

func TestProcessOutsideTheGroupDoesNotHoldUpTheEnd(t *testing.T) {
	l := newLab(t, "stapbpf-leaves-escapee stapbpf-fails", nil)
	e := l.start(l.script("m1")).exited()
	if e.Code != 1 || !strings.Contains(e.Reason(), "the stand-in fails") {
		t.Errorf("exit is %s", e.Reason())
	}
	for _, p := range l.Processes() {
		pid, _, _ := strings.Cut(p, " ")
		_ = syscall.Kill(staptest.Atoi(pid), syscall.SIGKILL)
	}
	staptest.WaitFor(t, "escapee gone", func() bool { return len(l.Processes()) == 0 })
}

func TestKilledChildIsSweptAndStartsAgain(t *testing.T) {
	l := newLab(t, "", nil)
	for range 2 {
		r := l.start(l.script("m1"))
		if err := syscall.Kill(r.ready().OSPID, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		e := r.exited()
		if e.Signal != syscall.SIGKILL || e.Stopped || !e.Ready || e.Stage != toolchain.StageRun {
			t.Errorf("exit is %s", e.Reason())
		}
		if e.String() != "ended by SIGKILL while running" {
			t.Errorf("it says %q", e)
		}
		l.clean("m1")
	}
}

func TestWhatAnEarlierExporterLeftIsSweptBeforeTheStart(t *testing.T) {
	l := newLab(t, "", nil)
	folder := filepath.Join(l.dir, "fifo", "m1")
	if err := os.MkdirAll(folder, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mkfifo(filepath.Join(folder, "__prometheus"), 0o600); err != nil {
		t.Fatal(err)
	}
	staptest.WriteFile(t, l.host.system.Modules, "m1x 1\nm1 16384 0 - Live 0x0\n")
	work := filepath.Join(l.host.cfg.Dir, "run", "m1")
	if err := os.MkdirAll(work, 0o700); err != nil {
		t.Fatal(err)
	}
	staptest.WriteFile(t, filepath.Join(work, "old"), "")
	r := l.start(l.script("m1"))
	r.ready()
	l.WaitForLog("staprun -d m1")
	if _, err := os.Stat(filepath.Join(work, "old")); err == nil {
		t.Error("the work folder is the old one")
	}
	r.Stop(nil)
	r.exited()
	l.clean("m1")
	if !l.loaded("m1x") {
		t.Error("a module of a similar name was removed")
	}
}

func TestModuleThatStaysIsNamed(t *testing.T) {
	l := newLab(t, "module-stuck", func(c *Config) { c.CleanupWait = 50 * time.Millisecond })
	staptest.WriteFile(t, l.host.system.Modules, "m1 16384 1 - Live 0x0\n")
	e := l.start(l.script("m1")).exited()
	if e.Err == nil || len(e.Residue) != 1 || !strings.HasPrefix(e.Residue[0], "module m1 ") {
		t.Errorf("exit is %s", e.Reason())
	}
	if !strings.Contains(e.Reason(), "Module is in use") {
		t.Errorf("reason is %q", e.Reason())
	}
	if l.LogHas("stap") {
		t.Error("it was started")
	}
}

func TestForeignFIFOFolderIsNotTouched(t *testing.T) {
	l := newLab(t, "", nil)
	elsewhere := t.TempDir()
	staptest.WriteFile(t, filepath.Join(elsewhere, "precious"), "")
	if err := os.Symlink(elsewhere, filepath.Join(l.dir, "fifo", "m1")); err != nil {
		t.Fatal(err)
	}
	e := l.start(l.script("m1")).exited()
	if len(e.Residue) != 1 || !strings.HasPrefix(e.Residue[0], "FIFO directory ") {
		t.Errorf("exit is %s", e.Reason())
	}
	if _, err := os.Stat(filepath.Join(elsewhere, "precious")); err != nil {
		t.Error(err)
	}
}

func TestStartTimeout(t *testing.T) {
	for mode, want := range map[string]string{
		"no-file":       "start timeout: no metrics after 2s (load)",
		"compile-hangs": "start timeout: not done after 2s (pass 3: translate the script)",
	} {
		t.Run(mode, func(t *testing.T) {
			l := newLab(t, mode, func(c *Config) { c.StartTimeout = 2 * time.Second })
			e := l.start(l.script("m1")).exited()
			if e.Stopped || e.Ready || e.String() != want {
				t.Errorf("exit is %s", e.Reason())
			}
			l.clean("m1")
		})
	}
}

func TestRunsLeakNoDescriptors(t *testing.T) {
	l := newLab(t, "", nil)
	count := func() int {
		fds, _ := os.ReadDir("/proc/self/fd")
		return len(fds)
	}
	var before int
	for i := range 5 {
		r := l.start(l.script("m1"))
		r.ready()
		r.Stop(nil)
		r.exited()
		if i == 0 {
			before = count() // the first run opened what the Go runtime keeps
		}
	}
	if after := count(); after > before {
		t.Errorf("%d descriptors before, %d after", before, after)
	}
}

func TestForeignFIFORootIsAnErrorAtOnce(t *testing.T) {
	l := newLab(t, "", func(cfg *Config) { cfg.AllowInsecure = true }) // else nothing starts
	if err := os.Chmod(filepath.Join(l.dir, "fifo"), 0o777); err != nil {
		t.Fatal(err)
	}
	e := l.start(l.script("m1")).exited()
	if e.Err == nil || !strings.Contains(e.String(), "writable by everyone") || e.Stopped {
		t.Errorf("exit is %s", e.Reason())
	}
	l.clean("m1")
}

func TestFloodIsNotLogged(t *testing.T) {
	const burst = 20 // lines, see stapout.LineLog
	core, logs := observer.New(zapcore.InfoLevel)
	l := newLab(t, "stapbpf-floods", func(c *Config) { c.Logger = zap.New(core) })
	begun := time.Now()
	r := l.start(l.script("m1"))
	r.ready()
	staptest.WaitFor(
		t,
		"the burst is logged",
		func() bool { return logs.FilterMessage("script output").Len() >= burst },
	)
	r.Stop(nil)
	r.exited()
	lines := logs.FilterMessage("script output")
	if n, most := lines.Len(), burst+2+int(time.Since(begun)/time.Second); n > most {
		t.Errorf("%d lines logged, more than %d", n, most)
	}
	if f := lines.All()[0].ContextMap(); f["script"] != "script.stp" || len(f["line"].(string)) > 303 {
		t.Errorf("logged: %v", f)
	}
	if logs.FilterMessage("script output left out").Len() == 0 {
		t.Error("what was left out is not said")
	}
}
