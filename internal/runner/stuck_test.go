package runner

import (
	"strings"
	"syscall"
	"testing"
	"time"

	"stap-exporter/internal/staptest"
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
	slow(t)
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
