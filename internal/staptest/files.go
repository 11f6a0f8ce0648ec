package staptest

import (
	"os"
	"syscall"
	"testing"
	"time"
)

// WriteFile writes a file that only this user can read.
func WriteFile(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// PutExecutable copies the executable from to path and returns path. As package
// managers do, it replaces an existing file by a rename.
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
	// The module cache rejects executables that changed during the compile, and
	// the clock of file times may lag behind.
	changed := info.Sys().(*syscall.Stat_t).Ctim
	WaitFor(t, "the executable is older than the compile", func() bool {
		return time.Since(time.Unix(changed.Unix())) > 20*time.Millisecond
	})
	return path
}
