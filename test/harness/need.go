package harness

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// SkipIfShort skips a test with -short, which leaves out all tests that need
// root, SystemTap or other programs.
func SkipIfShort(t testing.TB) {
	t.Helper()
	if testing.Short() {
		t.Skip("skipped with -short")
	}
}

// NeedStap fails a test where SystemTap is not installed.
func NeedStap(t testing.TB) {
	t.Helper()
	NeedProgram(t, "stap")
}

// NeedProgram returns the path of a program that tools/need installs, or
// unpacks into bin/peers. It fails the test where there is none.
func NeedProgram(t testing.TB, name string) string {
	t.Helper()
	SkipIfShort(t)
	if path, err := exec.LookPath(name); err == nil {
		return path
	}
	for _, dir := range []string{"bin", "sbin"} {
		path, err := filepath.Abs("../../bin/peers/usr/" + dir + "/" + name)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := os.Stat(path); err == nil {
			return path
		}
	}
	t.Fatalf("%s is not installed: run make test or tools/need test; go test -short does without", name)
	return ""
}

// Eventually waits for ok, for up to a minute.
func Eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(time.Minute); !ok(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("never happened: %s", what)
		}
	}
}

// ScriptDir creates a directory with files, by name. Those that begin with #!
// are executable.
func ScriptDir(t testing.TB, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		mode := os.FileMode(0o644)
		if strings.HasPrefix(text, "#!") {
			mode = 0o755
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), mode); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// Raise makes n at least v.
func Raise(n *atomic.Int64, v int64) {
	for {
		old := n.Load()
		if v <= old || n.CompareAndSwap(old, v) {
			return
		}
	}
}
