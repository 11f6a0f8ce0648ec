package modcache

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"stap-exporter/internal/staptest"
	"stap-exporter/internal/toolchain"
)

// TestCacheNeverGivesAMixture has two exporters write different modules under
// one key while others read.
func TestCacheNeverGivesAMixture(t *testing.T) {
	dir := t.TempDir()
	var writers, readers sync.WaitGroup
	var done atomic.Bool
	texts := [][]byte{bytes.Repeat([]byte("a"), 100_000), bytes.Repeat([]byte("b"), 120_000)}
	for _, text := range texts {
		writers.Go(func() {
			c, err := New(dir, 1<<20, Fingerprint{})
			if err != nil {
				t.Error(err)
				return
			}
			for range 50 {
				if err := c.put(manifest{Key: "k", Module: "m"}, text); err != nil {
					t.Error(err)
				}
			}
		})
	}
	for i := range 2 {
		readers.Go(func() {
			c := &Cache{dir: dir, limit: 1 << 20}
			to := filepath.Join(t.TempDir(), fmt.Sprint(i))
			for !done.Load() {
				if c.Get("k", "m", to) != nil {
					if _, err := os.Stat(to); err == nil {
						t.Error("what is not given is there all the same")
					}
					continue
				}
				got, _ := os.ReadFile(to)
				if !bytes.Equal(got, texts[0]) && !bytes.Equal(got, texts[1]) {
					t.Error("a mixture")
				}
				_ = os.Remove(to)
			}
		})
	}
	writers.Wait()
	done.Store(true)
	readers.Wait()
	c := &Cache{dir: dir, limit: 1 << 20}
	if err := c.Get("k", "m", filepath.Join(t.TempDir(), "ko")); err != nil {
		t.Errorf("in the end: %v", err)
	}
	if left, _ := filepath.Glob(filepath.Join(dir, temporary+"*")); len(left) > 0 {
		t.Errorf("left: %q", left)
	}
}

func TestCacheMissesAndRemoves(t *testing.T) {
	c, err := New(filepath.Join(t.TempDir(), "modules"), 1<<20, Fingerprint{})
	if err != nil {
		t.Fatal(err)
	}
	to := filepath.Join(t.TempDir(), "ko")
	if err := c.Get("k", "m", to); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no entry: %v", err)
	}
	for range 2 {
		if err := c.put(manifest{Key: "k", Module: "m"}, []byte("x")); err != nil {
			t.Fatal(err)
		}
	}
	if err := c.Get("k", "other", to); err == nil || errors.Is(err, fs.ErrNotExist) {
		t.Errorf("another module: %v", err)
	}
	for range 2 {
		if err := c.Remove("k"); err != nil {
			t.Error(err)
		}
	}
	if err := c.Get("k", "m", to); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("removed: %v", err)
	}
}

func TestTrimRemovesWhatAKilledExporterLeft(t *testing.T) {
	dir := t.TempDir()
	c, err := New(dir, 1<<20, Fingerprint{})
	if err != nil {
		t.Fatal(err)
	}
	old := time.Now().Add(-2 * abandonedAge)
	for _, name := range []string{temporary + "1", "half.ko", "other.json", temporary + "2", "young.ko"} {
		path := filepath.Join(dir, name)
		staptest.WriteFile(t, path, "x")
		if !strings.Contains(name, "2") && !strings.Contains(name, "young") {
			if err := os.Chtimes(path, old, old); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := c.put(manifest{Key: "k", Module: "m"}, []byte("x")); err != nil {
		t.Fatal(err)
	}
	var names []string
	entries, _ := os.ReadDir(dir)
	for _, e := range entries {
		names = append(names, e.Name())
	}
	if want := []string{".lock", temporary + "2", "k.json", "k.ko", "young.ko"}; !slices.Equal(names, want) {
		t.Errorf("left are %q, want %q", names, want)
	}
}

// Who holds the cache's lock and does not let go is waited for in bounds only.
func TestCacheLockIsBounded(t *testing.T) {
	dir := t.TempDir()
	c, err := New(dir, 1<<20, Fingerprint{})
	if err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(filepath.Join(dir, ".lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	if _, err := c.lock(
		time.Millisecond,
	); err == nil ||
		!strings.Contains(err.Error(), "another process holds it") {
		t.Errorf("error is %v", err)
	}
	lost := filepath.Join(dir, temporary+"1")
	staptest.WriteFile(t, lost, "")
	RemoveTemporary(dir)
	if _, err := os.Stat(lost); err != nil {
		t.Error("a file was removed that its writer may still hold")
	}
	_ = f.Close()
	RemoveTemporary(dir)
	if _, err := os.Stat(lost); err == nil {
		t.Error("a lost file is still there")
	}
}

// A module cache whose files are of tomorrow, or of the beginning of time,
// since the clock was wrong, gives and keeps its entries.
func TestCacheSurvivesAWrongClock(t *testing.T) {
	c, err := New(t.TempDir(), 1<<20, Fingerprint{})
	if err != nil {
		t.Fatal(err)
	}
	for _, shown := range []time.Time{time.Now().Add(1000 * time.Hour), time.Unix(0, 0)} {
		if err := c.put(manifest{Key: "one", Module: "m1"}, []byte("module")); err != nil {
			t.Fatal(err)
		}
		for _, ext := range []string{toolchain.ModuleSuffix, extManifest} {
			if err := os.Chtimes(c.path("one", ext), shown, shown); err != nil {
				t.Fatal(err)
			}
		}
		if err := c.put(manifest{Key: "two", Module: "m2"}, []byte("module")); err != nil {
			t.Fatal(err)
		}
		for key, module := range map[string]string{"one": "m1", "two": "m2"} {
			to := filepath.Join(t.TempDir(), "x.ko")
			if err := c.Get(key, module, to); err != nil {
				t.Errorf("at %v: %s: %v", shown, key, err)
			}
		}
	}
}
