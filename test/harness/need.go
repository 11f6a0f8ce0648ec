package harness

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func Eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(60 * time.Second); !ok(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("never happened: %s", what)
		}
	}
}

// NeedStap skips where SystemTap is not installed; "make test" installs it.
func NeedStap(t *testing.T) {
	t.Helper()
	if _, err := exec.LookPath("stap"); err != nil {
		t.Skip("SystemTap is not installed: run make test, or apt install systemtap")
	}
}

func ScriptDir(t *testing.T, files map[string]string) string {
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

// NeedProgram finds a program that "make test" installs, or unpacks into bin/peers.
func NeedProgram(t *testing.T, name string) string {
	t.Helper()
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
	t.Skipf("%s is not installed: run make test, or tools/need test", name)
	return ""
}
