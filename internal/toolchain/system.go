package toolchain

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// TracingDir is where stapbpf expects tracefs.
const TracingDir = "/sys/kernel/debug/tracing"

// Numbers of capabilities, see capabilities(7).
const (
	CapSysModule   = 16
	CapSysResource = 24
)

// System holds facts about this machine and the paths of others. Tests
// substitute files of their own.
type System struct {
	Release         string // uname -r
	Version         string // uname -v
	LibModules      string // /lib/modules
	Modules         string // /proc/modules, the list of loaded modules
	ConfigGz        string // /proc/config.gz
	Boot            string // /boot
	Status          string // /proc/self/status
	ModulesDisabled string // /proc/sys/kernel/modules_disabled
	Tracing         string // TracingDir
}

// ThisSystem returns the System of the running kernel.
func ThisSystem() (System, error) {
	var uts unix.Utsname
	if err := unix.Uname(&uts); err != nil {
		return System{}, fmt.Errorf("read kernel release: %w", err)
	}
	return System{
		Release:         unix.ByteSliceToString(uts.Release[:]),
		Version:         unix.ByteSliceToString(uts.Version[:]),
		LibModules:      "/lib/modules",
		Modules:         "/proc/modules",
		ConfigGz:        "/proc/config.gz",
		Boot:            "/boot",
		Status:          "/proc/self/status",
		ModulesDisabled: "/proc/sys/kernel/modules_disabled",
		Tracing:         TracingDir,
	}, nil
}

// HasBuildTree reports whether the kernel's headers are installed. "build" is
// often a symbolic link without a target, so this checks the file that stap
// checks.
func (s System) HasBuildTree() bool {
	_, err := os.Stat(filepath.Join(s.LibModules, s.Release, "build", ".config"))
	return err == nil
}

// Missing names the first requirement of kernel modules that this machine does
// not meet. It returns "" when it meets them all and only a capability probe
// can show whether modules work.
func (s System) Missing(staprun string) string {
	disabled, _ := os.ReadFile(s.ModulesDisabled)
	_, noModules := os.Stat(s.Modules)
	_, noGCC := exec.LookPath("gcc")
	_, noMake := exec.LookPath("make")
	switch {
	case noModules != nil:
		return "a kernel with loadable modules"
	case !HasCapability(s.Status, CapSysModule):
		return "the capability CAP_SYS_MODULE"
	case strings.TrimSpace(string(disabled)) == "1":
		return "kernel.modules_disabled to be 0"
	case !s.HasBuildTree():
		return "the headers of kernel " + s.Release
	case noGCC != nil:
		return "gcc"
	case noMake != nil:
		return "make"
	case staprun == "":
		return "staprun"
	default:
		return ""
	}
}

// HasCapability reports whether CapEff in a /proc/PID/status file has the
// capability with this number.
func HasCapability(status string, number uint) bool {
	text, err := os.ReadFile(status)
	if err != nil {
		return false
	}
	for line := range strings.Lines(string(text)) {
		if hex, ok := strings.CutPrefix(line, "CapEff:"); ok {
			set, err := strconv.ParseUint(strings.TrimSpace(hex), 16, 64)
			return err == nil && set>>number&1 == 1
		}
	}
	return false
}
