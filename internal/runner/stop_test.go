package runner

import (
	"context"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"stap-exporter/internal/staptest"
	"stap-exporter/internal/toolchain"
)

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

func TestStopOfAHangingLoadIsBoundedAndCleanedUp(t *testing.T) {
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

func TestChildThatIgnoresTERMIsKilled(t *testing.T) {
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
