package modcache

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"stap-exporter/internal/staptest"
)

func TestTrimRemovesAbandonedFiles(t *testing.T) {
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
	if want := []string{lockFile, temporary + "2", "k.json", "k.ko", "young.ko"}; !slices.Equal(names, want) {
		t.Errorf("files are %q, want %q", names, want)
	}
}
