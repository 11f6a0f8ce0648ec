package modcache

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"stap-exporter/internal/staptest"
)

// A lock that is never released delays a writer for a bounded time.
func TestCacheLockIsBounded(t *testing.T) {
	dir := t.TempDir()
	c, err := New(dir, 1<<20, Fingerprint{})
	if err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(filepath.Join(dir, lockFile), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	if _, err := c.lock(time.Millisecond); err == nil || !strings.Contains(err.Error(), "held by another process") {
		t.Errorf("error is %v", err)
	}
	path := filepath.Join(dir, temporary+"1")
	staptest.WriteFile(t, path, "")
	RemoveTemporary(dir)
	if _, err := os.Stat(path); err != nil {
		t.Error("removed a file without the lock")
	}
	_ = f.Close()
	RemoveTemporary(dir)
	if _, err := os.Stat(path); err == nil {
		t.Error("the temporary file still exists")
	}
}
