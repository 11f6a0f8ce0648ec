package modcache

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"stap-exporter/internal/toolchain"
)

// Two exporters write different modules under one key while others read: each
// read returns one of the modules, or an error.
func TestGetNeverReturnsAMixture(t *testing.T) {
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
						t.Error("Get failed and left a file")
					}
					continue
				}
				got, _ := os.ReadFile(to)
				if !bytes.Equal(got, texts[0]) && !bytes.Equal(got, texts[1]) {
					t.Error("Get returned a mixture of both modules")
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
		t.Errorf("after the writers: %v", err)
	}
	if names, _ := filepath.Glob(filepath.Join(dir, temporary+"*")); len(names) > 0 {
		t.Errorf("temporary files remain: %q", names)
	}
}

func TestGetAndRemoveOfMissingEntries(t *testing.T) {
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

// Files with times in the future, or of 1970, written while the clock was
// wrong, stay usable.
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
				t.Errorf("file times %v: %s: %v", shown, key, err)
			}
		}
	}
}
