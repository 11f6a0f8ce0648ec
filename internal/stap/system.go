package stap

import (
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
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
	tracing         string // see there
}

// tracing is where stapbpf looks for tracefs.
const tracing = "/sys/kernel/debug/tracing"

// hasBuildTree tells whether the kernel's headers are installed: "build" is
// often a link whose target is gone, so look for the file that stap looks for.
func (s system) hasBuildTree() bool {
	_, err := os.Stat(filepath.Join(s.libModules, s.release, "build", ".config"))
	return err == nil
}

// thisSystem is where the facts are on a real machine.
func thisSystem() (system, error) {
	var uts unix.Utsname
	if err := unix.Uname(&uts); err != nil {
		return system{}, fmt.Errorf("read kernel release: %w", err)
	}
	return system{
		release:         unix.ByteSliceToString(uts.Release[:]),
		version:         unix.ByteSliceToString(uts.Version[:]),
		libModules:      "/lib/modules",
		configGz:        "/proc/config.gz",
		boot:            "/boot",
		status:          "/proc/self/status",
		modulesDisabled: "/proc/sys/kernel/modules_disabled",
		tracing:         tracing,
	}, nil
}
