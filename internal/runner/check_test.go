package runner

import (
	"errors"
	"strings"
	"testing"

	"stap-exporter/internal/toolchain"
)

func TestCheck(t *testing.T) {
	for _, runtime := range []toolchain.Runtime{toolchain.BPF, toolchain.Kernel} {
		t.Run(runtime.String(), func(t *testing.T) {
			l := newLab(t, "", func(c *Config) { c.Runtime = runtime })
			s := l.text("m1", "probe begin { }")
			for compile, pass := range map[bool]string{false: " -p2 -m ", true: " -p4 -m "} {
				if e := l.host.Check(s, compile); e.Code != 0 || e.Err != nil || len(e.Residue) > 0 {
					t.Errorf("compile=%t: exit is %s", compile, e.Reason())
				}
				if !strings.Contains(l.Log(), pass) {
					t.Errorf("compile=%t: no %q in %q", compile, pass, l.Log())
				}
			}
			l.clean("m1")
		})
	}
}

func TestCheckOfAScriptThatIsWrong(t *testing.T) {
	l := newLab(t, "stap-fails", nil)
	if e := l.host.Check(l.text("m1", ""), false); e.Code != 1 || !strings.Contains(e.Reason(), "the stand-in fails") {
		t.Errorf("exit is %s", e.Reason())
	}
}

// An executable script is run as it is, so there is nothing to check.
func TestCheckOfAnExecutable(t *testing.T) {
	l := newLab(t, "", nil)
	s := l.script("m1")
	s.Executable = true
	if e := l.host.Check(s, true); !errors.Is(e.Err, ErrExecutable) || !strings.Contains(e.Reason(), "script.stp") {
		t.Errorf("exit is %s", e.Reason())
	}
	if log := l.Log(); strings.Contains(log, "script.stp") {
		t.Errorf("something was run: %q", log)
	}
}
