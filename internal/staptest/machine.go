package staptest

import (
	"os"
	"path/filepath"
	"testing"
)

// Release is the kernel release of a Machine.
const Release = "1.2.3-lab"

// Machine makes a directory with the files of a machine that supports kernel
// modules: RELEASE/build/.config as in /lib/modules, status as in
// /proc/self/status, modules_disabled as in /proc/sys/kernel.
func Machine(t *testing.T) (dir string) {
	t.Helper()
	dir = t.TempDir()
	build := filepath.Join(dir, Release, "build")
	if err := os.MkdirAll(build, 0o700); err != nil {
		t.Fatal(err)
	}
	WriteFile(t, filepath.Join(build, ".config"), "")
	WriteFile(t, filepath.Join(dir, "status"), "Name:\tx\nCapEff:\t0000000000010000\n")
	WriteFile(t, filepath.Join(dir, "modules_disabled"), "0\n")
	return dir
}
