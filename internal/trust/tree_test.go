package trust

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

func TestCheckTree(t *testing.T) {
	needRoot(t)
	for name, c := range map[string]struct {
		change func(in func(string) string) error
		want   string
	}{
		"all of root": {func(func(string) string) error { return nil }, ""},
		"file of another": {
			func(in func(string) string) error { return os.Chown(in("tapset/linux/a.stp"), stranger, 0) },
			`tapset/linux/a.stp" is owned by user 54321`,
		},
		"directory for all": {
			func(in func(string) string) error { return os.Chmod(in("tapset/linux"), 0o777) },
			`tapset/linux" is writable by all users`,
		},
		"the directory itself": {
			func(in func(string) string) error { return os.Chown(in("tapset"), stranger, 0) },
			`tapset" is owned by user 54321`,
		},
		"file behind a symlink to a directory": {
			func(in func(string) string) error { return os.Chmod(in("shared/b.stp"), 0o666) },
			`shared/b.stp" is writable by all users`,
		},
		"target of a symlink": {
			func(in func(string) string) error { return os.Chown(in("target.stp"), stranger, 0) },
			`target.stp" is owned by user 54321`,
		},
		"symlink to nothing that any user can create": {
			func(in func(string) string) error { return os.Symlink("/tmp/.trust-none", in("tapset/none.stp")) },
			"does not exist, and any user can create it",
		},
		"FIFO": {
			func(in func(string) string) error { return unix.Mkfifo(in("tapset/fifo"), 0o600) }, "",
		},
		"missing": {
			func(in func(string) string) error { return os.RemoveAll(in("tapset")) }, "no such file",
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := makeTree(t)
			in := func(name string) string { return filepath.Join(dir, name) }
			if err := errors.Join(
				os.MkdirAll(in("tapset/linux"), 0o755),
				os.WriteFile(in("tapset/linux/a.stp"), nil, 0o644),
				os.Mkdir(in("shared"), 0o755),
				os.WriteFile(in("shared/b.stp"), nil, 0o644),
				os.Symlink("../shared", in("tapset/shared")),
				os.Symlink("../tapset", in("shared/loop")),
				os.Symlink("none", in("tapset/dangling")),
				os.Symlink("../target.stp", in("tapset/link.stp")),
				c.change(in),
			); err != nil {
				t.Fatal(err)
			}
			checkResult(t, CheckTree(in("tapset"), rootAndGroup), c.want)
		})
	}
}

func TestCheckTreeTooLarge(t *testing.T) {
	dir := makeTree(t) // of three files
	for limit, want := range map[int]string{2: "have more than 2 files", 3: ""} {
		t.Run(fmt.Sprint(limit), func(t *testing.T) {
			walk := tree{
				id:    Self(),
				seen:  map[string]bool{},
				limit: limit,
			}
			checkResult(t, walk.checkBelow(dir), want)
		})
	}
}
