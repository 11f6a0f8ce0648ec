package toolchain

import (
	"path/filepath"
	"testing"

	"stap-exporter/internal/staptest"
)

// machine returns a System on which kernel modules could work.
func machine(t *testing.T) System {
	t.Helper()
	dir := staptest.Machine(t)
	modules := filepath.Join(dir, "modules")
	staptest.WriteFile(t, modules, "")
	return System{
		Release:         staptest.Release,
		Version:         "#1",
		LibModules:      dir,
		Modules:         modules,
		ConfigGz:        filepath.Join(dir, "config.gz"),
		Boot:            dir,
		Status:          filepath.Join(dir, "status"),
		ModulesDisabled: filepath.Join(dir, "modules_disabled"),
		Tracing:         dir,
	}
}
