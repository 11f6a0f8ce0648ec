package trust

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
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
	if testing.Short() {
		t.Skip("needs root, to change the owner of files")
	}
}

// makeTree makes top/sub/a.stp, top/target.stp and the symlink top/link.stp to
// it.
// Root owns all of them, and only root may write.
func makeTree(t *testing.T) string {
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
		"directory of a ConfigMap": {
			mode("sub", 0o777),
			`sub" is writable by all users: run chmod go-w "`,
		},
		"directory of a ConfigMap with a group": {
			grouped("sub", 0o2777, strangerGroup), open,
		},
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
			dir := makeTree(t)
			for _, change := range c.changes {
				change.apply(t, dir)
			}
			checkTrusted(t, filepath.Join(dir, "sub/a.stp"), rootAndGroup, c.want)
		})
	}
	dir := makeTree(t)
	checkTrusted(t, filepath.Join(dir, "none.stp"), rootAndGroup, "no such file")
	for _, change := range mode("sub", 0o1777) {
		change.apply(t, dir)
	}
	missing := filepath.Join(dir, "sub/none.stp")
	checkTrusted(t, missing, rootAndGroup, "does not exist, and any user can create it")
	if err := Check(missing, rootAndGroup); errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%v: would be taken for a file that nobody can create", err)
	}
}

// ErrOpenDirectory is for directories of root that lack the sticky bit.
func TestErrOpenDirectory(t *testing.T) {
	needRoot(t)
	for _, c := range []struct {
		change change
		want   bool
	}{
		{change{path: "sub", mode: 0o777}, true},
		{change{path: "", mode: 0o777}, true},
		{change{path: "sub", mode: 0o757}, false},
		{change{path: "sub/a.stp", mode: 0o777}, false},
		{change{path: "sub", mode: 0o777, uid: stranger}, false},
	} {
		dir := makeTree(t)
		c.change.apply(t, dir)
		err := Check(filepath.Join(dir, "sub/a.stp"), rootAndGroup)
		if errors.Is(err, ErrOpenDirectory) != c.want || !errors.Is(err, ErrUntrusted) {
			t.Errorf("%+v: got %v", c.change, err)
		}
	}
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
			dir := makeTree(t)
			for _, change := range c.changes {
				change.apply(t, dir)
			}
			checkTrusted(t, filepath.Join(dir, "link.stp"), rootAndGroup, c.want)
		})
	}
}

func checkTrusted(t *testing.T, path string, id Identity, want string) {
	t.Helper()
	checkResult(t, Check(path, id), want)
}

// checkResult compares an error with part of its text; empty: no error.
func checkResult(t *testing.T, err error, want string) {
	t.Helper()
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
	dir := makeTree(t)
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
	dir := makeTree(t)
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

// A walk holds files open, and closes all of them however it ends.
func TestCheckClosesFiles(t *testing.T) {
	dir := makeTree(t)
	if err := errors.Join(
		os.Symlink("loop.stp", filepath.Join(dir, "loop.stp")),
		os.Symlink("/proc/self/root", filepath.Join(dir, "root")),
		os.Chmod(filepath.Join(dir, "sub"), 0o777),
	); err != nil {
		t.Fatal(err)
	}
	count := func() int {
		open, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			t.Fatal(err)
		}
		return len(open)
	}
	before := count()
	for _, name := range []string{"sub/a.stp", "link.stp", "loop.stp", "none", "root/etc", "target.stp/none"} {
		for range 20 {
			_ = Check(filepath.Join(dir, name), Self())
			_, _ = MakeDir(filepath.Join(dir, name), Self())
		}
	}
	if after := count(); after > before+10 {
		t.Errorf("%d files are open, and were %d before", after, before)
	}
}
