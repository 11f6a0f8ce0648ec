package stap

import (
	"os"
	"path/filepath"
)

// system is where facts about this machine are read; tests stand in for it.
type system struct {
	release         string // uname -r
	version         string // uname -v
	libModules      string // /lib/modules
	configGz        string // /proc/config.gz
	boot            string // /boot
	status          string // /proc/self/status
	modulesDisabled string // /proc/sys/kernel/modules_disabled
	tracing         string // /sys/kernel/debug/tracing, which is where stapbpf looks for tracefs
}

// hasBuildTree tells whether the kernel's headers are installed: "build" is often a link whose target is gone, so look for the file that stap looks for.
func (s system) hasBuildTree() bool {
	_, err := os.Stat(filepath.Join(s.libModules, s.release, "build", ".config"))
	return err == nil
}
