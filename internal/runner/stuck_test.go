package runner

import (
	"strings"
	"syscall"
	"testing"
	"time"

	"stap-exporter/internal/staptest"
	"stap-exporter/internal/toolchain"
)

// A stopped process (SIGSTOP) takes no TERM: KILL ends it.
func TestStoppedChildIsKilled(t *testing.T) {
	l := newLab(t, "", func(c *Config) { c.TermGrace = 50 * time.Millisecond })
	r := l.start(l.script("m1"))
	if err := syscall.Kill(r.ready().OSPID, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	r.Stop(nil)
	if e := r.exited(); e.Signal != syscall.SIGKILL || len(e.Residue) > 0 {
		t.Errorf("exit is %s", e.Reason())
	}
	l.clean("m1")
}

// One that is stopped while it compiles ends with the start timeout.
func TestStoppedCompileTimesOut(t *testing.T) {
	l := newLab(
		t,
		"compile-hangs",
		func(c *Config) { c.TermGrace, c.StartTimeout = 50*time.Millisecond, 2*time.Second },
	)
	r := l.start(l.script("m1"))
	l.WaitForLog("compiling")
	for _, p := range l.Processes() {
		pid, _, _ := strings.Cut(p, " ")
		_ = syscall.Kill(staptest.Atoi(pid), syscall.SIGSTOP)
	}
	if e := r.exited(); e.Err == nil || !strings.HasPrefix(e.String(), "start timeout") ||
		e.Signal != syscall.SIGKILL ||
		len(e.Residue) > 0 {
		t.Errorf("exit is %s", e.Reason())
	}
	l.clean("m1")
}

// A module that does not unload at the end of its run is named, each start
// after that says so, and starts nothing.
func TestModuleThatDoesNotUnload(t *testing.T) {
	l := newLab(t, "load-hangs module-stuck", func(c *Config) {
		c.Runtime, c.LoadWait, c.CleanupWait = toolchain.Kernel, time.Millisecond, 50*time.Millisecond
	})
	s := l.script("x1")
	s.Executable = true
	r := l.start(s)
	l.WaitForLog("inserted")
	r.Stop(nil)
	if e := r.exited(); len(e.Residue) != 1 ||
		!strings.HasPrefix(e.Residue[0], "module x1 (still loaded after staprun -d") {
		t.Errorf("exit is %s", e.Reason())
	}
	if e := l.start(s).
		exited(); e.Err == nil || e.Stage != toolchain.StageStart || len(e.Residue) != 1 ||
		!strings.Contains(e.Reason(), "what an earlier run left cannot be removed") {
		t.Errorf("the next one's exit is %s", e.Reason())
	}
}
