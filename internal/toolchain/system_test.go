package toolchain

import (
	"os/exec"
	"strings"
	"testing"

	"stap-exporter/internal/staptest"
)

func TestMissing(t *testing.T) {
	for _, name := range []string{"gcc", "make"} {
		if _, err := exec.LookPath(name); err != nil {
			t.Skip(err)
		}
	}
	for want, change := range map[string]func(*System){
		"":                        func(*System) {},
		"loadable modules":        func(s *System) { s.Modules = "/nowhere" },
		"CAP_SYS_MODULE":          func(s *System) { s.Status = "/nowhere" },
		"kernel.modules_disabled": func(s *System) { staptest.WriteFile(t, s.ModulesDisabled, "1\n") },
		"headers of kernel 9.9.9": func(s *System) { s.Release = "9.9.9" },
	} {
		sys := machine(t)
		change(&sys)
		if got := sys.Missing("/b/staprun"); !strings.Contains(got, want) || (got == "") != (want == "") {
			t.Errorf("missing is %q, want %q", got, want)
		}
	}
	sys := machine(t)
	if got := sys.Missing(""); got != "staprun" {
		t.Errorf("missing is %q, want staprun", got)
	}
	t.Setenv("PATH", t.TempDir())
	if got := sys.Missing("/b/staprun"); got != "gcc" {
		t.Errorf("missing is %q, want gcc", got)
	}
}
