package trust

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// Symlinks of procfs lead elsewhere than they show, so none is followed.
func TestCheckProcfs(t *testing.T) {
	dir := makeTree(t)
	file, err := os.Open(filepath.Join(dir, "sub"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	t.Chdir(dir)
	self := fmt.Sprintf("/proc/%d", os.Getpid())
	if err := os.Symlink(self+"/root"+dir+"/sub/a.stp", filepath.Join(dir, "magic.stp")); err != nil {
		t.Fatal(err)
	}
	for path, link := range map[string]string{
		self + "/root" + dir + "/sub/a.stp":            self + "/root",
		self + "/cwd/sub/a.stp":                        self + "/cwd",
		self + "/exe":                                  self + "/exe",
		fmt.Sprintf("%s/fd/%d/a.stp", self, file.Fd()): fmt.Sprintf("%s/fd/%d", self, file.Fd()),
		self + "/task/../root" + dir + "/target.stp":   self + "/root",
		"/proc/self/root" + dir + "/sub/a.stp":         "/proc/self",
		"/dev/fd/0":                                    "/proc/self",
		filepath.Join(dir, "magic.stp"):                self + "/root",
	} {
		checkTrusted(t, path, Self(), fmt.Sprintf(`%q is a symlink of procfs: name the file itself`, link))
	}
}

// A path through another mount namespace shows a trusted file here, and another
// one there.
func TestCheckOtherNamespace(t *testing.T) {
	needRoot(t)
	dir := makeTree(t)
	var path string
	inNamespace(t, func() {
		hidden := filepath.Join(dir, "sub")
		err := unix.Mount("tmpfs", hidden, "tmpfs", 0, "")
		if err == nil {
			err = os.WriteFile(filepath.Join(hidden, "a.stp"), []byte("theirs"), 0o666)
		}
		if err != nil {
			t.Error(err)
			return
		}
		path = fmt.Sprintf("/proc/%d/task/%d/root%s/a.stp", os.Getpid(), unix.Gettid(), hidden)
		done := make(chan error)
		go func() { // in the namespace of the test
			text, err := os.ReadFile(path)
			if err == nil && string(text) != "theirs" {
				err = fmt.Errorf("not the file of the other namespace: %q", text)
			}
			done <- err
			checkTrusted(t, path, Self(), "is a symlink of procfs")
			done <- nil
		}()
		if err := errors.Join(<-done, <-done); err != nil {
			t.Error(err)
		}
	})
}
