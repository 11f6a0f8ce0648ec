package runner

import (
	"path/filepath"
	"testing"

	"stap-exporter/internal/staptest"
	"stap-exporter/internal/toolchain"
)

// machine is one on which kernel modules could work.
func machine(t *testing.T) toolchain.System {
	t.Helper()
	dir := staptest.Machine(t)
	return toolchain.System{
		Release:         staptest.Release,
		Version:         "#1",
		LibModules:      dir,
		Modules:         "/proc/modules",
		ConfigGz:        filepath.Join(dir, "config.gz"),
		Boot:            dir,
		Status:          filepath.Join(dir, "status"),
		ModulesDisabled: filepath.Join(dir, "modules_disabled"),
		Tracing:         dir,
	}
}
