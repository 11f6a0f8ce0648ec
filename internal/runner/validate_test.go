package runner

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"stap-exporter/internal/script"
	"stap-exporter/internal/staptest"
	"stap-exporter/internal/toolchain"
)

// validate validates s and returns how that ended. Then nothing of it may be
// left.
func (l *lab) validate(s script.Script) Exit {
	l.t.Helper()
	return l.validateUntil(s, func(*Run) {})
}

func (l *lab) validateUntil(s script.Script, then func(*Run)) (exit Exit) {
	l.t.Helper()
	r := l.host.Validate(s, 7, func(e Event) {
		if e, ok := e.(Exited); ok && e.Run == 7 {
			exit = e.Exit
		}
	})
	then(r)
	<-r.done
	if left, _ := filepath.Glob(filepath.Join(l.host.cfg.Dir, "run", s.Module+".validation*")); len(left) > 0 {
		l.t.Errorf("left: %q", left)
	}
	return exit
}

func TestValidate(t *testing.T) {
	slow(t)
	for _, runtime := range []toolchain.Runtime{toolchain.BPF, toolchain.Kernel} {
		t.Run(runtime.String(), func(t *testing.T) {
			set := func(c *Config) { c.Runtime = runtime }
			l := newLab(t, "bad:compile-fails hung:compile-hangs", set)
			// The script runs meanwhile.
			s := l.text("good", "one\n")
			r := l.start(s)
			r.ready()
			staptest.WriteFile(t, s.Path, "two\n")
			if e := l.validate(s); e.Code != 0 || e.Err != nil || e.Ready || e.Stopped {
				t.Errorf("a good version: %+v", e)
			}
			if _, err := l.host.cfg.Roots.Find(s.Module, false); err != nil {
				t.Errorf("the running script's file is gone: %v", err)
			}
			r.Stop(nil)
			r.exited()
			if compiled := l.serve(s); compiled != (runtime == toolchain.BPF) {
				t.Errorf("the start after the validation compiled: %v", compiled)
			}
			if e := l.validate(s); e.Code != 0 { // which may be in the cache
				t.Errorf("again: %+v", e)
			}
			if e := l.validate(
				l.text("bad", "x\n"),
			); e.Code != 1 || e.Stage != toolchain.StageCompile ||
				!strings.Contains(e.Reason(), "does not compile") {
				t.Errorf("a bad version: %+v", e)
			}
			e := l.validateUntil(l.text("hung", "y\n"), func(r *Run) {
				l.WaitForLog("compiling")
				r.Kill()
			})
			if !e.Stopped {
				t.Errorf("killed: %+v", e)
			}
			l.clean("good")
		})
	}
}

func TestValidateOfAnExecutable(t *testing.T) {
	l := newLab(t, "", nil)
	s := l.script("m")
	s.Executable = true
	if r := l.host.Validate(s, 1, func(Event) {}); r != nil {
		t.Error("an executable was validated")
	}
}

// The real stap reports what is wrong with a version, and runs nothing of a
// good one.
func TestValidateReal(t *testing.T) {
	h := realHost(t)
	path := filepath.Join(t.TempDir(), "s.stp")
	for text, want := range map[string]int{"probe begin { println(1) }\n": 0, "probe begin { println(1 }\n": 1} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		var exit Exit
		r := h.Validate(
			script.Script{Name: "s.stp", Path: path, Module: "stap_exporter_validate_test"},
			1,
			func(e Event) {
				if e, ok := e.(Exited); ok {
					exit = e.Exit
				}
			},
		)
		<-r.done
		if exit.Code != want || exit.Err != nil || want == 1 && !strings.Contains(exit.Reason(), "parse error") {
			t.Errorf("%q: %+v", text, exit)
		}
	}
}
