package trust

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// Ids that the machine does not use.
const (
	stranger      = 54321
	strangerGroup = 54322
	ourGroup      = 54323
)

var rootAndGroup = Identity{UID: 0, Groups: []int{0, ourGroup}}

func needRoot(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root, to change the owner of files")
	}
}

// tree makes top/sub/a.stp, top/target.stp and the symlink top/link.stp to it.
// Root owns all of them, and only root may write.
func tree(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "top")
	if err := errors.Join(
		os.MkdirAll(filepath.Join(dir, "sub"), 0o755),
		os.WriteFile(filepath.Join(dir, "sub", "a.stp"), nil, 0o644),
		os.WriteFile(filepath.Join(dir, "target.stp"), nil, 0o644),
		os.Symlink("target.stp", filepath.Join(dir, "link.stp")),
	); err != nil {
		t.Fatal(err)
	}
	return dir
}

// change is what a test does to one file of the tree.
type change struct {
	path     string // "" for the top
	mode     uint32 // 0: unchanged
	uid, gid int
}

func mode(path string, bits uint32) []change { return []change{{path: path, mode: bits}} }

func owned(path string, bits uint32, uid int) []change {
	return []change{{path: path, mode: bits, uid: uid}}
}

func grouped(path string, bits uint32, gid int) []change {
	return []change{{path: path, mode: bits, gid: gid}}
}

func (c change) apply(t *testing.T, dir string) {
	t.Helper()
	path := filepath.Join(dir, c.path)
	if err := os.Lchown(path, c.uid, c.gid); err != nil {
		t.Fatal(err)
	}
	if c.mode == 0 {
		return
	}
	if err := unix.Chmod(path, c.mode); err != nil {
		t.Fatal(err)
	}
}

func TestCheck(t *testing.T) {
	needRoot(t)
	const foreign, open = "is owned by user 54321", "is writable by all users"
	for name, c := range map[string]struct {
		changes []change
		want    string // part of the error; empty: trusted
	}{
		"all of root":                 {},
		"file of another":             {owned("sub/a.stp", 0o444, stranger), `a.stp" ` + foreign + `: run chown root`},
		"directory of another":        {owned("sub", 0o555, stranger), `sub" ` + foreign + `: run chown root "`},
		"ancestor of another":         {owned("", 0, stranger), `top" ` + foreign + `: run chown root "`},
		"file for all":                {mode("sub/a.stp", 0o666), `sub/a.stp" ` + open + `: run chmod go-w "`},
		"file for others alone":       {mode("sub/a.stp", 0o602), open},
		"directory for all":           {mode("sub", 0o777), `sub" ` + open},
		"ancestor for all":            {mode("", 0o757), `top" ` + open},
		"sticky ancestor":             {mode("", 0o1777), ""},
		"sticky directory":            {mode("sub", 0o1777), ""},
		"sticky directory of another": {owned("sub", 0o1777, stranger), foreign},
		"file of another in sticky": {
			slices.Concat(mode("sub", 0o1777), owned("sub/a.stp", 0o644, stranger)), foreign,
		},
		"sticky bit of a file": {mode("sub/a.stp", 0o1666), open},
		"group of another": {
			grouped("sub/a.stp", 0o664, strangerGroup), `sub/a.stp" is writable by group 54322: run chmod g-w "`,
		},
		"directory for another group": {grouped("sub", 0o2775, strangerGroup), "by group 54322"},
		"group of another, reading":   {grouped("sub/a.stp", 0o644, strangerGroup), ""},
		"root's group":                {mode("sub/a.stp", 0o664), ""},
		"our group": {
			slices.Concat(grouped("sub/a.stp", 0o664, ourGroup), grouped("sub", 0o775, ourGroup)), "",
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := tree(t)
			for _, change := range c.changes {
				change.apply(t, dir)
			}
			checkTrusted(t, filepath.Join(dir, "sub/a.stp"), rootAndGroup, c.want)
		})
	}
	checkTrusted(t, filepath.Join(tree(t), "none.stp"), rootAndGroup, "no such file")
}

// The owner of a symlink matters only in a sticky directory; the target always
// does.
func TestCheckLink(t *testing.T) {
	needRoot(t)
	for name, c := range map[string]struct {
		changes []change
		want    string
	}{
		"all of root":             {},
		"target for all":          {mode("target.stp", 0o646), `target.stp" is writable by all users`},
		"symlink of another":      {owned("link.stp", 0, stranger), ""},
		"symlink of root, sticky": {mode("", 0o1777), ""},
		"symlink of another, sticky": {
			slices.Concat(mode("", 0o1777), owned("link.stp", 0, stranger)),
			`link.stp" is owned by user 54321: run chown -h root "`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := tree(t)
			for _, change := range c.changes {
				change.apply(t, dir)
			}
			checkTrusted(t, filepath.Join(dir, "link.stp"), rootAndGroup, c.want)
		})
	}
}

func checkTrusted(t *testing.T, path string, id Identity, want string) {
	t.Helper()
	err := Check(path, id)
	switch {
	case want == "" && err != nil:
		t.Errorf("got %v", err)
	case want == "":
	case !errors.Is(err, ErrUntrusted) || !strings.Contains(fmt.Sprint(err), want):
		t.Errorf("got %v, want %s", err, want)
	}
}

// The exporter's own user is trusted, and so is root by every user.
func TestCheckAsUser(t *testing.T) {
	needRoot(t)
	dir := tree(t)
	if err := os.Chown(filepath.Join(dir, "sub", "a.stp"), stranger, 0); err != nil {
		t.Fatal(err)
	}
	checkTrusted(t, filepath.Join(dir, "sub", "a.stp"), Identity{UID: stranger}, "")
	checkTrusted(t, filepath.Join(dir, "target.stp"), Identity{UID: stranger}, "")
	checkTrusted(t, filepath.Join(dir, "sub", "a.stp"), Identity{UID: stranger + 1}, "is owned by user")
	checkTrusted(t, filepath.Join(dir, "target.stp"), Identity{UID: stranger + 1}, "")
}

// Symlinks are followed as the kernel does: the directories on that path count,
// and no others.
func TestCheckFollowsLinks(t *testing.T) {
	dir := tree(t)
	in := func(name string) string { return filepath.Join(dir, name) }
	if err := errors.Join(
		os.MkdirAll(in("open/inner"), 0o755),
		os.WriteFile(in("open/inner/b.stp"), nil, 0o644),
		os.Symlink(in("open/inner/b.stp"), in("absolute.stp")),
		os.Symlink("open/inner", in("dirlink")),
		os.Symlink("dirlink/../inner/b.stp", in("dots.stp")), // ".." of the link's target
		os.Symlink("open/../target.stp", in("through.stp")),
		os.Symlink("././/sub//a.stp", in("plain.stp")),
		os.Symlink("loop.stp", in("loop.stp")),
		os.Chmod(in("open"), 0o777),
	); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		"absolute.stp":  `open" is writable by all users`,
		"dirlink/b.stp": `open" is writable by all users`,
		"dots.stp":      `open" is writable by all users`,
		"through.stp":   `open" is writable by all users`,
		"plain.stp":     "",
		"loop.stp":      "too many levels",
	} {
		checkTrusted(t, in(name), Self(), want)
	}
	t.Chdir(in("sub"))
	checkTrusted(t, "../target.stp", Self(), "")
	checkTrusted(t, "../absolute.stp", Self(), "by all users")
	if err := Check(in("none"), Self()); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("got %v", err)
	}
}

// On a read-only mount owner and mode count as elsewhere, because the owner of
// a
// file can write to it through another mount.
func TestCheckReadOnlyMount(t *testing.T) {
	needRoot(t)
	dir := tree(t)
	in := func(name string) string { return filepath.Join(dir, name) }
	if err := errors.Join(
		os.Mkdir(in("mount"), 0o755),
		os.WriteFile(in("sub/foreign.stp"), []byte("old"), 0o644),
		os.Chown(in("sub/foreign.stp"), stranger, strangerGroup),
		os.WriteFile(in("sub/open.stp"), nil, 0o644),
		os.Chmod(in("sub/open.stp"), 0o666),
		os.WriteFile(in("sub/group.stp"), nil, 0o644),
		os.Chown(in("sub/group.stp"), 0, strangerGroup),
		os.Chmod(in("sub/group.stp"), 0o664),
		os.MkdirAll(in("sub/theirs"), 0o755),
		os.WriteFile(in("sub/theirs/a.stp"), nil, 0o644),
		os.Chown(in("sub/theirs"), stranger, 0),
		os.Mkdir(in("sub/sticky"), 0o755),
		os.Chmod(in("sub/sticky"), 0o777|fs.ModeSticky),
		os.Symlink("../a.stp", in("sub/sticky/link.stp")),
		os.Lchown(in("sub/sticky/link.stp"), stranger, 0),
	); err != nil {
		t.Fatal(err)
	}
	done := make(chan string)
	go func() {
		// The thread gets a mount namespace of its own. It stays locked, so it
		// ends with the goroutine, and the mounts with it.
		runtime.LockOSThread()
		err := unix.Unshare(unix.CLONE_NEWNS)
		if errors.Is(err, unix.EPERM) {
			done <- "no right to make a mount namespace (a container?)"
			return
		}
		if err == nil {
			err = unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, "")
		}
		if err == nil {
			err = unix.Mount(in("sub"), in("mount"), "", unix.MS_BIND, "")
		}
		if err == nil {
			err = unix.Mount("", in("mount"), "", unix.MS_BIND|unix.MS_REMOUNT|unix.MS_RDONLY, "")
		}
		if err != nil {
			t.Error(err)
			done <- ""
			return
		}
		if err := os.WriteFile(in("mount/foreign.stp"), nil, 0o644); !errors.Is(err, unix.EROFS) {
			t.Errorf("the mount is not read-only: %v", err)
		}
		if err := os.WriteFile(in("sub/foreign.stp"), []byte("new"), 0o644); err != nil {
			t.Error(err)
		}
		if text, err := os.ReadFile(in("mount/foreign.stp")); string(text) != "new" {
			t.Errorf("not the same file: %q, %v", text, err)
		}
		for name, want := range map[string]string{
			"a.stp":           "",
			"foreign.stp":     `foreign.stp" is owned by user 54321`,
			"open.stp":        `open.stp" is writable by all users`,
			"group.stp":       `group.stp" is writable by group 54322`,
			"theirs/a.stp":    `theirs" is owned by user 54321`,
			"sticky/link.stp": `link.stp" is owned by user 54321`,
		} {
			checkTrusted(t, in("mount/"+name), rootAndGroup, want)
		}
		done <- ""
	}()
	if reason := <-done; reason != "" {
		t.Skip(reason)
	}
}
