package trust

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"testing"

	"golang.org/x/sys/unix"
)

// inNamespace runs f in a thread with a mount namespace of its own. The thread
// ends with f, and the mounts with it. f must not end the test.
func inNamespace(t *testing.T, f func()) {
	t.Helper()
	needRoot(t)
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // and no unlock, so that the thread ends
		err := unix.Unshare(unix.CLONE_NEWNS)
		if err == nil {
			err = unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, "")
		}
		if err == nil {
			f()
		}
		done <- err
	}()
	if err := <-done; errors.Is(err, unix.EPERM) {
		t.Skip("no right to make a mount namespace (a container?)")
	} else if err != nil {
		t.Fatal(err)
	}
}

// mountReadOnly makes target a read-only mount of source, as ProtectSystem=
// and a container's :ro do.
func mountReadOnly(source, target string) error {
	if err := unix.Mount(source, target, "", unix.MS_BIND, ""); err != nil {
		return err
	}
	return unix.Mount("", target, "", unix.MS_BIND|unix.MS_REMOUNT|unix.MS_RDONLY, "")
}

// volume fills a directory with files that others can change in one way each,
// and returns what Check must report of each; "" means that it is trusted.
func volume(t *testing.T, dir string) map[string]string {
	t.Helper()
	in := func(name string) string { return filepath.Join(dir, name) }
	if err := errors.Join(
		os.WriteFile(in("a.stp"), nil, 0o644),
		os.WriteFile(in("foreign.stp"), []byte("old"), 0o644),
		os.Chown(in("foreign.stp"), stranger, strangerGroup),
		os.WriteFile(in("open.stp"), nil, 0o644),
		os.Chmod(in("open.stp"), 0o666),
		os.WriteFile(in("group.stp"), nil, 0o644),
		os.Chown(in("group.stp"), 0, strangerGroup),
		os.Chmod(in("group.stp"), 0o664),
		os.MkdirAll(in("theirs"), 0o755),
		os.WriteFile(in("theirs/a.stp"), nil, 0o644),
		os.Chown(in("theirs"), stranger, 0),
		os.Mkdir(in("sticky"), 0o755),
		os.Chmod(in("sticky"), 0o777|os.ModeSticky),
		os.Symlink("../a.stp", in("sticky/link.stp")),
		os.Lchown(in("sticky/link.stp"), stranger, 0),
		os.Mkdir(in("configmap"), 0o755),
		os.Chmod(in("configmap"), 0o777),
		os.WriteFile(in("configmap/a.stp"), nil, 0o644),
	); err != nil {
		t.Fatal(err)
	}
	return map[string]string{
		"a.stp":           "",
		"foreign.stp":     `foreign.stp" is owned by user 54321`,
		"open.stp":        `open.stp" is writable by all users`,
		"group.stp":       `group.stp" is writable by group 54322`,
		"theirs/a.stp":    `theirs" is owned by user 54321`,
		"sticky/link.stp": `link.stp" is owned by user 54321`,
		"configmap/a.stp": `configmap" is writable by all users`,
	}
}

// On a read-only mount owner and mode count as elsewhere, because the owner of
// a file can write to it through another mount.
func TestCheckReadOnlyMount(t *testing.T) {
	needRoot(t)
	dir := makeTree(t)
	in := func(name string) string { return filepath.Join(dir, name) }
	wants := volume(t, in("sub"))
	if err := os.Mkdir(in("mount"), 0o755); err != nil {
		t.Fatal(err)
	}
	inNamespace(t, func() {
		if err := mountReadOnly(in("sub"), in("mount")); err != nil {
			t.Error(err)
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
		for name, want := range wants {
			checkTrusted(t, in("mount/"+name), rootAndGroup, want)
		}
	})
}

// So it is in a container: another root, and a volume of the host with :ro.
func TestCheckContainer(t *testing.T) {
	needRoot(t)
	dir := makeTree(t)
	root := filepath.Join(t.TempDir(), "container")
	wants := volume(t, filepath.Join(dir, "sub"))
	if err := os.Mkdir(root, 0o755); err != nil {
		t.Fatal(err)
	}
	inNamespace(t, func() {
		err := unix.Mount("tmpfs", root, "tmpfs", 0, "mode=0755")
		if err == nil {
			err = os.MkdirAll(filepath.Join(root, "etc/scripts"), 0o755)
		}
		if err == nil {
			err = mountReadOnly(filepath.Join(dir, "sub"), filepath.Join(root, "etc/scripts"))
		}
		if err == nil {
			err = unix.Chdir(root)
		}
		if err == nil {
			// The old root goes below the new one, and then away.
			err = unix.PivotRoot(".", ".")
		}
		if err == nil {
			err = unix.Unmount(".", unix.MNT_DETACH)
		}
		if err != nil {
			t.Error(err)
			return
		}
		for name, want := range wants {
			checkTrusted(t, "/etc/scripts/"+name, rootAndGroup, want)
		}
	})
}

// image makes a squashfs image of the directory, owned by root.
func image(t *testing.T, dir, path string) {
	t.Helper()
	needRoot(t)
	tool, err := exec.LookPath("mksquashfs")
	if err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command(tool, dir, path, "-quiet", "-no-progress").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if err := os.Chmod(path, 0o644); err != nil {
		t.Fatal(err)
	}
}

// mountImage mounts an image by a loop device, and returns why it cannot.
func mountImage(path, target string) string {
	out, err := exec.Command("mount", "-t", "squashfs", "-o", "loop", path, target).CombinedOutput()
	if err != nil {
		return "cannot mount a squashfs image here: " + string(out)
	}
	return ""
}

// What is on a squashfs image belongs to those who can write to the image,
// whatever owner and mode are in it.
func TestCheckImage(t *testing.T) {
	needRoot(t)
	for name, c := range map[string]struct {
		change func(path string) error // to the image, which is mounted
		want   string                  // for the files in it; empty: owner and mode of each decide
		all    bool                    // all in it is trusted
	}{
		"image of root": {func(string) error { return nil }, "", true},
		"image of another": {
			func(path string) error { return os.Chown(path, stranger, 0) },
			`squashfs" is owned by user 54321: run chown root "`, false,
		},
		"image for all": {
			func(path string) error { return os.Chmod(path, 0o666) },
			`squashfs" is writable by all users`, false,
		},
		"directory of the image for all": {
			func(path string) error { return os.Chmod(filepath.Dir(path), 0o777) },
			`images" is writable by all users`, false,
		},
		"image deleted": {os.Remove, "", false},
	} {
		t.Run(name, func(t *testing.T) {
			dir := makeTree(t)
			in := func(name string) string { return filepath.Join(dir, name) }
			wants := volume(t, in("sub"))
			if err := errors.Join(os.Mkdir(in("images"), 0o755), os.Mkdir(in("mount"), 0o755)); err != nil {
				t.Fatal(err)
			}
			path := in("images/squashfs")
			image(t, in("sub"), path)
			var skip string
			inNamespace(t, func() {
				if skip = mountImage(path, in("mount")); skip != "" {
					return
				}
				if err := c.change(path); err != nil {
					t.Error(err)
				}
				for name, want := range wants {
					switch {
					case c.want != "":
						want = c.want
					case c.all:
						want = ""
					}
					checkTrusted(t, in("mount/"+name), rootAndGroup, want)
				}
			})
			if skip != "" {
				t.Skip(skip)
			}
		})
	}
}

// An image that is mounted over its own directory ends the walk.
func TestCheckImageInItself(t *testing.T) {
	needRoot(t)
	dir := makeTree(t)
	path := filepath.Join(dir, "sub/squashfs")
	if err := os.WriteFile(path, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	image(t, filepath.Join(dir, "sub"), filepath.Join(dir, "squashfs"))
	if err := os.Rename(filepath.Join(dir, "squashfs"), path); err != nil {
		t.Fatal(err)
	}
	var skip string
	inNamespace(t, func() {
		if skip = mountImage(path, filepath.Dir(path)); skip == "" {
			checkTrusted(t, filepath.Join(dir, "sub/a.stp"), rootAndGroup, "too many levels")
		}
	})
	if skip != "" {
		t.Skip(skip)
	}
}
