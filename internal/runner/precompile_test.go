package runner

import (
	"io/fs"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"stap-exporter/internal/script"
	"stap-exporter/internal/staptest"
	"stap-exporter/internal/toolchain"
)

func TestPrecompile(t *testing.T) {
	slow(t)
	l := kernelLab(t, "", nil)
	a, b := l.text("a", "probe begin { }"), l.text("b", "probe begin { }")
	bpf, wrapper, bad := l.text("c", ""), l.script("d"), l.text("e", "")
	bpf.Runtime, wrapper.Executable, bad.Refused = "bpf", true, fs.ErrPermission
	l.serve(b)
	l.host.Precompile([]script.Script{a, b, bpf, wrapper, bad})
	if l.host.background != nil {
		t.Fatal("it compiles although it is not configured")
	}
	l.host.cfg.Precompile = true
	l.host.Precompile([]script.Script{a, b, bpf, wrapper, bad})
	<-l.host.background.done
	if n := l.Compiles(); n != 2 {
		t.Errorf("%d compiles", n)
	}
	l.want(0, "compiled in advance", a)
}

// A module that is in the cache already is not reported as compiled, though the
// run had to wait for its slot to find out.
func TestPrecompileOfACachedModuleIsSilent(t *testing.T) {
	slow(t)
	core, logs := observer.New(zap.InfoLevel)
	l := kernelLab(t, "", func(c *Config) { c.Precompile, c.MaxParallel, c.Logger = true, 1, zap.New(core) })
	a, b := l.text("a", "probe begin { }"), l.text("b", "probe begin { }")
	l.serve(a)
	holder := l.host.queue.join(interactive)
	l.host.Precompile([]script.Script{a, b})
	staptest.WaitFor(t, "it waits for its slot", l.host.queue.hasWaiters)
	holder.release()
	<-l.host.background.done
	logged := logs.FilterMessage("module compiled in advance").All()
	if len(logged) != 1 || logged[0].ContextMap()["script"] != "b.stp" {
		t.Errorf("logged as compiled in advance: %v", logged)
	}
}

// compiling waits until the stand-in compiles module.
func (l *lab) compiling(module string) {
	l.t.Helper()
	staptest.WaitFor(l.t, "compile of "+module, func() bool { return l.LogBegins("compiling " + module + " ") })
}

func (l *lab) proceed(module string) { staptest.WriteFile(l.t, filepath.Join(l.dir, "go-"+module), "") }

// joins waits until the run waits for another run's compile.
func (r *started) joins() {
	r.t.Helper()
	for {
		select {
		case e := <-r.events:
			if p, ok := e.(Progress); !ok {
				r.t.Fatalf("%T instead of waiting for a compile", e)
			} else if p.Compiling && p.OSPID == 0 {
				return
			}
		case <-time.After(staptest.Patience):
			r.t.Fatal("it does not wait for a compile")
		}
	}
}

func TestBackgroundCompileDelaysNoStart(t *testing.T) {
	slow(t)
	l := kernelLab(t, "compile-waits", func(c *Config) { c.Precompile = true })
	a, b := l.text("a", "probe begin { }"), l.text("b", "probe begin { }")
	l.host.Precompile([]script.Script{a, b})
	l.compiling("a")

	other := l.start(b) // while a is compiled, and does not end
	l.compiling("b")
	l.proceed("b")
	if !other.ready().Compiled {
		t.Error("b comes out of the cache")
	}
	same := l.start(a)
	same.joins()
	l.proceed("a")
	if same.ready().Compiled {
		t.Error("a was compiled again")
	}
	<-l.host.background.done
	if n := l.Compiles(); n != 2 {
		t.Errorf("%d compiles", n)
	}
	for _, r := range []*started{same, other} {
		r.Stop(nil)
		r.exited()
	}
}

// Where there is only one slot, a start waits for a background compile.
func TestBackgroundCompileInTheOnlySlot(t *testing.T) {
	l := kernelLab(t, "compile-waits", func(c *Config) { c.Precompile, c.MaxParallel = true, 1 })
	a, b := l.text("a", "probe begin { }"), l.text("b", "probe begin { }")
	l.host.Precompile([]script.Script{a})
	l.compiling("a")
	r := l.start(b)
	r.atPosition(1, 1)
	l.proceed("a")
	<-l.host.background.done
	l.proceed("b")
	r.ready()
	r.Stop(nil)
	r.exited()
}

func TestStartWaitsForABackgroundCompileInBounds(t *testing.T) {
	l := kernelLab(t, "compile-waits", func(c *Config) { c.Precompile = true })
	a := l.text("a", "probe begin { }")
	l.host.Precompile([]script.Script{a})
	l.compiling("a")
	for _, end := range []string{"stop", "kill", "timeout"} {
		if end == "timeout" {
			a.Directives.StartTimeout = 20 * time.Millisecond
		}
		r := l.start(a)
		if end != "timeout" {
			r.joins()
		}
		switch end {
		case "stop":
			r.Stop(nil)
		case "kill":
			r.Kill()
		}
		if e := r.exited(); e.Stopped == (end == "timeout") || e.Ready {
			t.Errorf("%s: exit is %s", end, e.Reason())
		}
	}
	l.proceed("a")
	<-l.host.background.done
	if n := l.Compiles(); n != 1 {
		t.Errorf("%d compiles", n)
	}
}

func TestAbandonedBackgroundCompileIsDoneByTheStart(t *testing.T) {
	l := kernelLab(t, "compile-waits", func(c *Config) { c.Precompile = true })
	a := l.text("a", "probe begin { }")
	l.host.Precompile([]script.Script{a})
	l.compiling("a")
	r := l.start(a)
	r.joins()
	l.host.background.close()
	l.proceed("a")
	if !r.ready().Compiled {
		t.Error("it comes out of the cache")
	}
	r.Stop(nil)
	r.exited()
}

func TestFailedBackgroundCompileFailsTheWaitingStart(t *testing.T) {
	l := kernelLab(t, "compile-waits compile-fails", func(c *Config) { c.Precompile = true })
	a := l.text("a", "probe begin { }")
	l.host.Precompile([]script.Script{a})
	l.compiling("a")
	r := l.start(a)
	r.joins()
	l.proceed("a")
	if e := r.exited(); e.Code != 1 || e.Stage != toolchain.StageCompile ||
		!strings.Contains(e.Reason(), "does not compile") {
		t.Errorf("exit is %s", e.Reason())
	}
	if n := l.Compiles(); n != 1 {
		t.Errorf("%d compiles", n)
	}
}
