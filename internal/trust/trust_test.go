package trust

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// Nobody of the machine has these.
const (
	stranger      = 54321
	strangerGroup = 54322
	ourGroup      = 54323
)

var rootAndGroup = Identity{UID: 0, Groups: []int{0, ourGroup}}

func needRoot(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("only root can give files away; make test runs as root")
	}
}

// tree makes folder/sub/a.stp, folder/target.stp and the symlink
// folder/link.stp to it; all of root, nobody else may write.
func tree(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "folder")
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

func TestCheckTrust(t *testing.T) {
	needRoot(t)
	type change struct {
		path     string // below the tree, "" for its root
		mode     uint32 // 0: as it is
		uid, gid int
	}
	for name, c := range map[string]struct {
		changes []change
		script  string // "sub/a.stp" when empty
		want    string // part of the error; empty: trusted
	}{
		"all of root":                {},
		"file of another":            {changes: []change{{"sub/a.stp", 0o444, stranger, 0}}, want: `sub/a.stp" belongs to user 54321: chown root "`},
		"folder of another":          {changes: []change{{"sub", 0o555, stranger, 0}}, want: `sub" belongs to user 54321: chown root "`},
		"ancestor of another":        {changes: []change{{"", 0, stranger, 0}}, want: `folder" belongs to user 54321: chown root "`},
		"file for all":               {changes: []change{{"sub/a.stp", 0o666, 0, 0}}, want: `sub/a.stp" can be written by all: chmod go-w "`},
		"file for others alone":      {changes: []change{{"sub/a.stp", 0o602, 0, 0}}, want: "by all"},
		"folder for all":             {changes: []change{{"sub", 0o777, 0, 0}}, want: `sub" can be written by all`},
		"ancestor for all":           {changes: []change{{"", 0o757, 0, 0}}, want: `folder" can be written by all`},
		"sticky ancestor":            {changes: []change{{"", 0o1777, 0, 0}}},
		"sticky folder":              {changes: []change{{"sub", 0o1777, 0, 0}}},
		"sticky folder of another":   {changes: []change{{"sub", 0o1777, stranger, 0}}, want: "belongs to user"},
		"file of another in sticky":  {changes: []change{{"sub", 0o1777, 0, 0}, {"sub/a.stp", 0o644, stranger, 0}}, want: "belongs to user"},
		"sticky file is no folder":   {changes: []change{{"sub/a.stp", 0o1666, 0, 0}}, want: "by all"},
		"group of another":           {changes: []change{{"sub/a.stp", 0o664, 0, strangerGroup}}, want: `sub/a.stp" can be written by group 54322: chmod g-w "`},
		"folder for another group":   {changes: []change{{"sub", 0o2775, 0, strangerGroup}}, want: "by group 54322"},
		"group of another, reading":  {changes: []change{{"sub/a.stp", 0o644, 0, strangerGroup}}},
		"root's group":               {changes: []change{{"sub/a.stp", 0o664, 0, 0}}},
		"our group":                  {changes: []change{{"sub/a.stp", 0o664, 0, ourGroup}, {"sub", 0o775, 0, ourGroup}}},
		"symlink":                    {script: "link.stp"},
		"symlink's target":           {script: "link.stp", changes: []change{{"target.stp", 0o646, 0, 0}}, want: `target.stp" can be written by all`},
		"symlink of another":         {script: "link.stp", changes: []change{{"link.stp", 0, stranger, 0}}},
		"the same in a sticky place": {script: "link.stp", changes: []change{{"", 0o1777, 0, 0}, {"link.stp", 0, stranger, 0}}, want: `link.stp" belongs to user 54321: chown -h root "`},
		"root's link there":          {script: "link.stp", changes: []change{{"", 0o1777, 0, 0}}},
		"nothing there":              {script: "none.stp", want: "no such file"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := tree(t)
			for _, ch := range c.changes {
				path := filepath.Join(dir, ch.path)
				if err := os.Lchown(path, ch.uid, ch.gid); err != nil {
					t.Fatal(err)
				}
				if ch.mode != 0 {
					if err := unix.Chmod(path, ch.mode); err != nil {
						t.Fatal(err)
					}
				}
			}
			if c.script == "" {
				c.script = "sub/a.stp"
			}
			checkTrusted(t, filepath.Join(dir, c.script), rootAndGroup, c.want)
		})
	}
}

func checkTrusted(t *testing.T, path string, who Identity, want string) {
	t.Helper()
	err := Check(path, who)
	switch {
	case want == "" && err != nil:
		t.Errorf("got %v", err)
	case want == "":
	case !errors.Is(err, ErrUntrusted) || !strings.Contains(fmt.Sprint(err), want):
		t.Errorf("got %v, want %s", err, want)
	}
}

// The server's user is trusted as root is, and root by every user.
func TestCheckTrustOfUser(t *testing.T) {
	needRoot(t)
	dir := tree(t)
	if err := os.Chown(filepath.Join(dir, "sub", "a.stp"), stranger, 0); err != nil {
		t.Fatal(err)
	}
	checkTrusted(t, filepath.Join(dir, "sub", "a.stp"), Identity{UID: stranger}, "")
	checkTrusted(t, filepath.Join(dir, "target.stp"), Identity{UID: stranger}, "")
	checkTrusted(t, filepath.Join(dir, "sub", "a.stp"), Identity{UID: stranger + 1}, "belongs to user")
	checkTrusted(t, filepath.Join(dir, "target.stp"), Identity{UID: stranger + 1}, "")
}

// The way through symlinks is walked as the kernel walks it: folders on it
// count, and only those.
func TestCheckTrustFollowsLinks(t *testing.T) {
	dir := tree(t)
	in := func(name string) string { return filepath.Join(dir, name) }
	if err := errors.Join(
		os.MkdirAll(in("open/inner"), 0o755),
		os.WriteFile(in("open/inner/b.stp"), nil, 0o644),
		os.Symlink(in("open/inner/b.stp"), in("absolute.stp")),
		os.Symlink("open/inner", in("folderlink")),
		os.Symlink("folderlink/../inner/b.stp", in("dots.stp")), // ".." of the link's target
		os.Symlink("open/../target.stp", in("through.stp")),
		os.Symlink("././/sub//a.stp", in("plain.stp")),
		os.Symlink("loop.stp", in("loop.stp")),
		os.Chmod(in("open"), 0o777),
	); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		"absolute.stp":     `open" can be written by all`,
		"folderlink/b.stp": `open" can be written by all`,
		"dots.stp":         `open" can be written by all`,
		"through.stp":      `open" can be written by all`,
		"plain.stp":        "",
		"loop.stp":         "too many levels",
	} {
		checkTrusted(t, in(name), Self(), want)
	}
	t.Chdir(in("sub"))
	checkTrusted(t, "../target.stp", Self(), "")
	checkTrusted(t, "../absolute.stp", Self(), "by all")
	if err := Check(in("none"), Self()); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("got %v", err)
	}
}

// acl makes a system.posix_acl_access attribute from a mode's owner and other
// bits, and the entries.
func acl(entries ...aclEntry) []byte {
	all := append([]aclEntry{{0x01, 6, 0xffffffff}}, entries...)
	all = append(all, aclEntry{0x10, 7, 0xffffffff}, aclEntry{0x20, 4, 0xffffffff}) // mask, others
	b := binary.LittleEndian.AppendUint32(nil, 2)
	for _, e := range all {
		b = binary.LittleEndian.AppendUint16(b, e.tag)
		b = binary.LittleEndian.AppendUint16(b, e.perm)
		b = binary.LittleEndian.AppendUint32(b, e.id)
	}
	return b
}

func TestCheckTrustACL(t *testing.T) {
	needRoot(t)
	const none = 0xffffffff
	for name, c := range map[string]struct {
		acl    []byte
		gid    int
		noMask bool // chmod g-w afterwards: that is the mask
		want   string
	}{
		"user":                 {acl: acl(aclEntry{aclUser, 6, stranger}, aclEntry{aclGroupObj, 4, none}), want: `a.stp" can be written by user 54321 through an access control list: setfacl -b "`},
		"user, masked":         {acl: acl(aclEntry{aclUser, 6, stranger}, aclEntry{aclGroupObj, 4, none}), noMask: true},
		"user, reading":        {acl: acl(aclEntry{aclUser, 4, stranger}, aclEntry{aclGroupObj, 4, none})},
		"root by name":         {acl: acl(aclEntry{aclUser, 6, 0}, aclEntry{aclGroupObj, 4, none}), gid: strangerGroup},
		"group":                {acl: acl(aclEntry{aclGroupObj, 4, none}, aclEntry{aclGroup, 6, strangerGroup}), want: "can be written by group 54322 through"},
		"our group":            {acl: acl(aclEntry{aclGroupObj, 4, none}, aclEntry{aclGroup, 6, ourGroup})},
		"the file's own group": {acl: acl(aclEntry{aclGroupObj, 6, none}, aclEntry{aclGroup, 6, ourGroup}), gid: strangerGroup, want: "can be written by group 54322: chmod g-w"},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(tree(t), "sub", "a.stp")
			if err := errors.Join(
				os.Chown(path, 0, c.gid),
				unix.Setxattr(path, "system.posix_acl_access", c.acl, 0),
			); err != nil {
				if errors.Is(err, unix.EOPNOTSUPP) {
					t.Skip("the file system of the test's folder has no access control lists")
				}
				t.Fatal(err)
			}
			if c.noMask {
				if err := os.Chmod(path, 0o644); err != nil {
					t.Fatal(err)
				}
			}
			checkTrusted(t, path, rootAndGroup, c.want)
		})
	}
	for _, b := range [][]byte{nil, {2, 0, 0}, {1, 0, 0, 0}, {2, 0, 0, 0, 1}} {
		if _, err := parseACL(b); err == nil {
			t.Errorf("%v is read", b)
		}
	}
}

// On a read-only mount owner and mode count as elsewhere: who owns a file can
// write to it by another mount.
func TestCheckTrustReadOnlyMount(t *testing.T) {
	needRoot(t)
	dir := tree(t)
	in := func(name string) string { return filepath.Join(dir, name) }
	if err := errors.Join(
		os.Mkdir(in("mount"), 0o755),
		os.WriteFile(
			in("sub/foreign.stp"),
			[]byte("old"),
			0o644,
		),
		os.Chown(in("sub/foreign.stp"), stranger, strangerGroup),
		os.WriteFile(in("sub/open.stp"), nil, 0o644),
		os.Chmod(in("sub/open.stp"), 0o666),
		os.WriteFile(
			in("sub/group.stp"),
			nil,
			0o644,
		),
		os.Chown(in("sub/group.stp"), 0, strangerGroup),
		os.Chmod(in("sub/group.stp"), 0o664),
		os.MkdirAll(
			in("sub/theirs"),
			0o755,
		),
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
		// The thread gets a mount namespace of its own, and is never given
		// back: it ends with the goroutine, and the mounts with it.
		runtime.LockOSThread()
		err := unix.Unshare(unix.CLONE_NEWNS)
		if errors.Is(err, unix.EPERM) {
			done <- "this root may make no mount namespace (a container?)"
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
			"foreign.stp":     `foreign.stp" belongs to user 54321`,
			"open.stp":        `open.stp" can be written by all`,
			"group.stp":       `group.stp" can be written by group 54322`,
			"theirs/a.stp":    `theirs" belongs to user 54321`,
			"sticky/link.stp": `link.stp" belongs to user 54321`,
		} {
			checkTrusted(t, in("mount/"+name), rootAndGroup, want)
		}
		done <- ""
	}()
	if why := <-done; why != "" {
		t.Skip(why)
	}
}
