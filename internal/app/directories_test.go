package app

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"stap-exporter/internal/trust"
)

// stranger is a user id that the machine does not use.
const stranger = 54321

// tempDir returns a directory whose path stap takes, with one like /tmp in it.
func tempDir(t *testing.T) (dir, shared string) {
	t.Helper()
	dir = filepath.Join(t.TempDir(), "top")
	shared = filepath.Join(dir, "shared")
	if err := errors.Join(os.MkdirAll(shared, 0o755), os.Chmod(shared, 0o777|fs.ModeSticky)); err != nil {
		t.Fatal(err)
	}
	return dir, shared
}

// The cache directory is the exporter's. A symlink to it that another user put
// into a shared directory could lead anywhere, and later elsewhere.
func TestCacheDirOfAnother(t *testing.T) {
	if testing.Short() {
		t.Skip("needs root, to change the owner of files")
	}
	dir, shared := tempDir(t)
	link, theirs := filepath.Join(shared, "link"), filepath.Join(shared, "theirs")
	if err := errors.Join(
		os.Symlink(dir, link),
		os.Lchown(link, stranger, 0),
		os.Mkdir(theirs, 0o700),
		os.Chown(theirs, stranger, 0),
	); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{link, link + "/cache", theirs, theirs + "/cache"} {
		got, err := makeCacheDir(path)
		var config ConfigError
		if got != "" || !errors.As(err, &config) || !errors.Is(err, trust.ErrUntrusted) {
			t.Errorf("%s: got %q, %v", path, got, err)
			continue
		}
		for _, part := range []string{"is owned by user 54321: run chown ", "or name another with --cache.dir"} {
			if !strings.Contains(err.Error(), part) {
				t.Errorf("%s: %q is not in %v", path, part, err)
			}
		}
	}
	for _, path := range []string{dir + "/cache", theirs + "/cache"} {
		if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s was made", path)
		}
	}
}

func TestMakeCacheDir(t *testing.T) {
	dir, shared := tempDir(t)
	link := filepath.Join(shared, "link")
	if err := os.Symlink(dir, link); err != nil {
		t.Fatal(err)
	}
	got, err := makeCacheDir(link + "/a/b")
	want := filepath.Join(dir, "a", "b")
	if got != want || err != nil {
		t.Errorf("got %q, %v, want %s", got, err, want)
	}
	if info, err := os.Stat(want); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("got %v, %v", info, err)
	}
}
