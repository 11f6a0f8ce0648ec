package trust

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func TestMakeDir(t *testing.T) {
	needRoot(t)
	dir := makeTree(t)
	in := func(name string) string { return filepath.Join(dir, name) }
	if err := errors.Join(
		os.Symlink("sub/new", in("dangling")),
		os.Symlink(in("sub"), in("link")),
	); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		in("sub"):                  in("sub"),
		in("a/b/c"):                in("a/b/c"),
		in("link/cache"):           in("sub/cache"),
		in("dangling/cache"):       in("sub/new/cache"),
		in("sub/../other//./dir/"): in("other/dir"),
	} {
		resolved, err := MakeDir(path, rootAndGroup)
		if resolved != want || err != nil {
			t.Errorf("%s: got %s, %v, want %s", path, resolved, err, want)
		}
		if info, err := os.Lstat(want); err != nil || !info.IsDir() {
			t.Errorf("%s: %v", want, err)
		}
	}
	if info, err := os.Stat(in("a/b")); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("got %v, %v", info.Mode(), err)
	}
	if info, err := os.Stat(in("sub")); err != nil || info.Mode().Perm() != 0o755 {
		t.Errorf("an existing directory was changed: %v, %v", info.Mode(), err)
	}
	for _, path := range []string{in("target.stp"), in("target.stp/cache")} {
		if _, err := MakeDir(path, rootAndGroup); !errors.Is(err, unix.ENOTDIR) || errors.Is(err, ErrUntrusted) {
			t.Errorf("%s: got %v", path, err)
		}
	}
}

// Nothing is made on a path that another user decides.
func TestMakeDirUntrusted(t *testing.T) {
	needRoot(t)
	dir := makeTree(t)
	in := func(name string) string { return filepath.Join(dir, name) }
	if err := errors.Join(
		os.Mkdir(in("tmp"), 0o755),
		os.Chmod(in("tmp"), 0o777|fs.ModeSticky),
		os.Symlink(in("sub"), in("tmp/cache")),
		os.Lchown(in("tmp/cache"), stranger, 0),
		os.Mkdir(in("tmp/dir"), 0o700),
		os.Chown(in("tmp/dir"), stranger, 0),
		os.Mkdir(in("open"), 0o755),
		os.Chmod(in("open"), 0o777),
	); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		in("tmp/cache/new"): `cache" is owned by user 54321: run chown -h root "`,
		in("tmp/cache"):     `cache" is owned by user 54321`,
		in("tmp/dir/new"):   `dir" is owned by user 54321`,
		in("open/new"):      `open" is writable by all users`,
	} {
		resolved, err := MakeDir(path, rootAndGroup)
		if resolved != "" || !errors.Is(err, ErrUntrusted) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %s, %v, want %s", path, resolved, err, want)
		}
	}
	for _, path := range []string{in("sub/new"), in("tmp/dir/new"), in("open/new")} {
		if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s was made: %v", path, err)
		}
	}
	if resolved, err := MakeDir(in("tmp/ours"), rootAndGroup); resolved != in("tmp/ours") || err != nil {
		t.Errorf("got %s, %v", resolved, err)
	}
}
