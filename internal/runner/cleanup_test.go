package runner

import (
	"os"
	"path/filepath"
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

func TestNewHostCleansUpAfterADeadExporter(t *testing.T) {
	l := newLab(t, "", nil)
	cfg := l.host.cfg
	core, logs := observer.New(zapcore.InfoLevel)
	cfg.Logger = zap.New(core)
	work := filepath.Join(cfg.Dir, "run", "m1")
	if err := os.MkdirAll(work, 0o700); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		h, err := newHost(cfg, l.host.system)
		if err != nil {
			t.Fatal(err)
		}
		h.Close()
	}
	if _, err := os.Stat(work); err == nil {
		t.Error("the work directory is still there")
	}
	if n := logs.FilterMessage("residue of an earlier exporter removed").Len(); n != 1 {
		t.Errorf("logged %d times, want only at the first start", n)
	}
}

func TestKilledChildIsCleanedUpAndStartsAgain(t *testing.T) {
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
			t.Errorf("it is described as %q", e)
		}
		l.clean("m1")
	}
}

func TestResidueIsRemovedBeforeTheStart(t *testing.T) {
	l := newLab(t, "", nil)
	dir := filepath.Join(l.dir, "fifo", "m1")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mkfifo(filepath.Join(dir, "__prometheus"), 0o600); err != nil {
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
		t.Error("the work directory is the old one")
	}
	r.Stop(nil)
	r.exited()
	l.clean("m1")
	if !l.loaded("m1x") {
		t.Error("a module of a similar name was removed")
	}
}

func TestModuleThatStaysIsResidue(t *testing.T) {
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

func TestForeignFIFODirectoryIsNotTouched(t *testing.T) {
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
		!strings.Contains(e.Reason(), "residue of an earlier run cannot be removed") {
		t.Errorf("the next one's exit is %s", e.Reason())
	}
}
