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

// System is where facts about this machine are read; tests stand in for it.
type System struct {
	Release         string // uname -r
	Version         string // uname -v
	LibModules      string // /lib/modules
	Modules         string // /proc/modules, the list of loaded modules
	ConfigGz        string // /proc/config.gz
	Boot            string // /boot
	Status          string // /proc/self/status
	ModulesDisabled string // /proc/sys/kernel/modules_disabled
	Tracing         string // see there
}

// TracingDir is where stapbpf looks for tracefs.
const TracingDir = "/sys/kernel/debug/tracing"

// HasBuildTree tells whether the kernel's headers are installed: "build" is
// often a link whose target is gone, so look for the file that stap looks for.
func (s System) HasBuildTree() bool {
	_, err := os.Stat(filepath.Join(s.LibModules, s.Release, "build", ".config"))
	return err == nil
}

// ThisSystem is where the facts are on a real machine.
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

// The numbers of capabilities, see capabilities(7).
const (
	CapSysModule   = 16
	CapSysResource = 24
)

// Missing names the first thing without which kernel modules cannot work here;
// "" when a trial has to tell.
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

// HasCapability looks into CapEff of a /proc/PID/status file.
func HasCapability(status string, bit uint) bool {
	text, err := os.ReadFile(status)
	if err != nil {
		return false
	}
	for line := range strings.Lines(string(text)) {
		if hex, ok := strings.CutPrefix(line, "CapEff:"); ok {
			set, err := strconv.ParseUint(strings.TrimSpace(hex), 16, 64)
			return err == nil && set>>bit&1 == 1
		}
	}
	return false
}

// KernelFiles are the files of a kernel on which the code that stap compiles
// depends.
func KernelFiles(libModules, release string) []string {
	build := filepath.Join(libModules, release, "build")
	return []string{
		filepath.Join(build, ".config"),
		filepath.Join(build, "Module.symvers"),
		filepath.Join(build, "vmlinux"),
		filepath.Join("/usr/lib/debug/lib/modules", release, "vmlinux"),
		filepath.Join("/usr/lib/debug/boot", "vmlinux-"+release),
	}
}
