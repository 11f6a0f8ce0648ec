package fileid

import (
	"os"
	"path/filepath"
	"testing"

	"stap-exporter/internal/staptest"
)

func TestOnlySettledFilesAreRemembered(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "x.stp")
	staptest.WriteFile(t, path, "one")
	var h Hasher
	first, err := h.File(path)
	if err != nil {
		t.Fatal(err)
	}
	info, _ := os.Stat(path)
	staptest.WriteFile(t, path, "two") // same size, and perhaps within the same tick
	if err := os.Chtimes(path, info.ModTime(), info.ModTime()); err != nil {
		t.Fatal(err)
	}
	if second, err := h.File(path); err != nil || second == first {
		t.Errorf("File returned the sum of the old text (%v)", err)
	}
	if _, err := h.File(dir); err == nil {
		t.Error("no error for a directory")
	}
	system := "/usr/bin/env" // has not changed recently
	if _, err := h.File(system); err != nil {
		t.Fatal(err)
	}
	if _, ok := h.known[system]; !ok || len(h.known) != 1 {
		t.Errorf("remembered files are %v, want %s alone", h.known, system)
	}
	if err := os.Symlink(dir, filepath.Join(dir, "loop")); err != nil {
		t.Fatal(err)
	}
	if err := h.Dir(NewDigest(), dir); err == nil {
		t.Error("no error for a directory that contains itself")
	}
}

func TestDirHashesNamesAndContents(t *testing.T) {
	dir := t.TempDir()
	staptest.WriteFile(t, filepath.Join(dir, "a.stp"), "one")
	var h Hasher
	sum := func(exts ...string) string {
		d := NewDigest()
		if err := h.Dir(d, dir, exts...); err != nil {
			t.Fatal(err)
		}
		return d.Sum()
	}
	all, stp := sum(), sum(".stp")
	staptest.WriteFile(t, filepath.Join(dir, "b.txt"), "two")
	if sum() == all || sum(".stp") != stp {
		t.Error("a new file must change the sum of all files, and not that of .stp files")
	}
	if err := os.Rename(filepath.Join(dir, "a.stp"), filepath.Join(dir, "c.stp")); err != nil {
		t.Fatal(err)
	}
	if sum(".stp") == stp {
		t.Error("a new name did not change the sum")
	}
	if err := h.Dir(NewDigest(), filepath.Join(dir, "nowhere")); err != nil {
		t.Errorf("directory that does not exist: %v", err)
	}
}
