package runner

import (
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
	if first, last := r.passed[0], r.passed[len(r.passed)-1]; first != "pass 1: parse the script" || last != "load" {
		t.Errorf("activities are %q", r.passed)
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
	if !slices.Equal(r.passed, []string{"start"}) {
		t.Errorf("activities are %q", r.passed)
	}
	l.WaitForLog("script.stp -m m1")
	r.Stop(nil)
	r.exited()
	l.clean("m1")
}

func TestExecutableWithoutInterpreter(t *testing.T) {
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

// A probe of a killed stapbpf with the same process id costs no failed start,
// unless it happens twice.
func TestProbeOfTheSameID(t *testing.T) {
	slow(t)
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
		t.Errorf("%d starts of both scripts failed, want 1 and 2", n)
	}
	l.clean("m2")
}

func TestFailingCompileGivesItsError(t *testing.T) {
	l := newLab(t, "stap-fails", nil)
	e := l.start(l.script("m1")).exited()
	if e.Stopped || e.Ready || e.Code != 1 || e.Stage != toolchain.StageCompile {
		t.Errorf("exit is %s", e.Reason())
	}
	want := "exit code 1 while compiling\nsemantic error: the stand-in fails\n" +
		"Pass 2: analysis failed.  [man error::pass2]"
	if e.Reason() != want {
		t.Errorf("reason is %q", e.Reason())
	}
	l.clean("m1")
}

func TestMissingStapIsAnError(t *testing.T) {
	l := newLab(t, "", nil)
	if err := os.Remove(filepath.Join(l.dir, "bin", "stap")); err != nil {
		t.Fatal(err)
	}
	e := l.start(l.script("m1")).exited()
	if e.Err == nil || e.Code != -1 {
		t.Errorf("exit is %s", e.Reason())
	}
}

func TestFloodDelaysNothing(t *testing.T) {
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

func TestProcessOutsideTheGroupDoesNotDelayTheEnd(t *testing.T) {
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

func TestStartTimeout(t *testing.T) {
	slow(t)
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
	slow(t)
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
	if logs.FilterMessage("script output dropped").Len() == 0 {
		t.Error("dropped lines are not counted")
	}
}
