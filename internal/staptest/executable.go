package staptest

import (
	"os"
	"syscall"
	"testing"
	"time"
)

// PutExecutable puts an executable with a build-id at path, in the place of
// what is
// there, as package managers do.
func PutExecutable(t *testing.T, path, from string) string {
	t.Helper()
	text, err := os.ReadFile(from)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path+".new", text, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	// A module is not kept when an executable has changed during the compile,
	// and the clock of files may be behind.
	changed := info.Sys().(*syscall.Stat_t).Ctim
	WaitFor(t, "the executable is older than the compile", func() bool {
		return time.Since(time.Unix(changed.Unix())) > 20*time.Millisecond
	})
	return path
}
