package doctor

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"stap-exporter/internal/staptest"
	"stap-exporter/internal/toolchain"
)

// machine returns a System with everything that the checks need.
func machine(t *testing.T) toolchain.System {
	t.Helper()
	dir := staptest.Machine(t)
	for _, name := range []string{"modules", "uprobe_events"} {
		staptest.WriteFile(t, filepath.Join(dir, name), "")
	}
	return toolchain.System{
		Release:         staptest.Release,
		LibModules:      dir,
		Modules:         filepath.Join(dir, "modules"),
		Status:          filepath.Join(dir, "status"),
		ModulesDisabled: filepath.Join(dir, "modules_disabled"),
		Tracing:         dir,
	}
}

func TestChecks(t *testing.T) {
	headers, modules, tracing := (*diagnosis).headers, (*diagnosis).modules, (*diagnosis).tracing
	for _, c := range []struct {
		name   string
		check  func(*diagnosis)
		change func(*toolchain.System) // nil: the machine has everything
		want   string                  // a part of the remedy
	}{
		{name: "headers", check: headers},
		{
			name:   "no headers",
			check:  headers,
			change: func(s *toolchain.System) { s.Release = "9.9.9" },
			want:   "linux-headers-9.9.9",
		},
		{name: "tracefs", check: tracing},
		{
			name:   "no tracefs",
			check:  tracing,
			change: func(s *toolchain.System) { s.Tracing = "/nowhere" },
			want:   "mount -t debugfs",
		},
		{
			name:   "no loadable modules",
			check:  modules,
			change: func(s *toolchain.System) { s.Modules = "/nowhere" },
			want:   "bpf",
		},
		{
			name:   "module loading disabled",
			check:  modules,
			change: func(s *toolchain.System) { staptest.WriteFile(t, s.ModulesDisabled, "1\n") },
			want:   "reboot",
		},
	} {
		d := diagnosis{system: machine(t)}
		if c.change != nil {
			c.change(&d.system)
		}
		c.check(&d)
		if len(d.findings) != 1 {
			t.Fatalf("%s: %d findings", c.name, len(d.findings))
		}
		f := d.findings[0]
		if f.OK != (c.want == "") || !strings.Contains(f.Remedy, c.want) || f.OK == (f.Remedy != "") {
			t.Errorf("%s: got %+v, want a remedy with %q", c.name, f, c.want)
		}
	}
}

// An executable that the user must not execute is a finding of its own.
func TestDeniedExecutable(t *testing.T) {
	d := diagnosis{}
	d.companion("staprun", "", "/b/staprun")
	d.companion("stapbpf", "/b/stapbpf", "")
	if len(d.findings) != 1 || d.findings[0].OK || !strings.Contains(d.findings[0].Remedy, "stapusr") {
		t.Errorf("got %+v", d.findings)
	}
}

// A container's memory-lock limit is no problem for root.
func TestMemlockForRoot(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("for root only")
	}
	d := diagnosis{system: machine(t)}
	d.memlock()
	if f := d.findings[0]; !f.OK || f.Remedy != "" {
		t.Errorf("got %+v", f)
	}
}
