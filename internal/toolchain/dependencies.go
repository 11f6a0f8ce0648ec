package toolchain

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// Compilers returns the paths of gcc and of the versioned compilers beside it.
// A kernel's makefile may name the version that compiled the kernel, as
// Debian's do.
func Compilers() []string {
	gcc, err := exec.LookPath("gcc")
	if err != nil {
		return nil
	}
	versions, _ := filepath.Glob(gcc + "-[0-9]*")
	return append([]string{gcc}, versions...)
}

// KernelFiles returns the paths of a kernel's files on which compiled modules
// depend. Some may not exist.
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

// Variables returns, sorted, the environment variables on which compiled
// modules depend, as "NAME=VALUE". SystemTap 4.8 reads them in session.cxx and
// util.cxx; elfutils reads those of debuginfod.
func Variables() (found []string) {
	for _, kv := range os.Environ() {
		name, _, _ := strings.Cut(kv, "=")
		if strings.HasPrefix(name, "SYSTEMTAP_") ||
			slices.Contains([]string{"PATH", "LD_LIBRARY_PATH", "XDG_DATA_DIRS", "DEBUGINFOD_URLS"}, name) {
			found = append(found, kv)
		}
	}
	slices.Sort(found)
	return found
}
