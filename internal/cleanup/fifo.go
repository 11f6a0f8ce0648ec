package cleanup

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// removeFIFO removes the directory that stapbpf made for module. The FIFO root
// is in /var/tmp, where every user can write, so removeFIFO requires that the
// root and the directory are real directories of this process's user.
func (c *Cleaner) removeFIFO(module string) error {
	path := filepath.Join(c.FIFORoot, module)
	if !ownDirectory(c.FIFORoot) {
		return nil // stapbpf cannot have written there
	}
	if _, err := os.Lstat(path); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if !ownDirectory(path) {
		return errors.New("not a directory of this user")
	}
	return os.RemoveAll(path)
}

// fifoModules returns the names of the modules that have a directory in the
// FIFO root.
func (c *Cleaner) fifoModules() (names []string) {
	if !ownDirectory(c.FIFORoot) {
		return nil
	}
	entries, _ := os.ReadDir(c.FIFORoot)
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

// ownDirectory reports whether path is a directory of this process's user, and
// no symlink.
func ownDirectory(path string) bool {
	var st syscall.Stat_t
	err := syscall.Lstat(path, &st)
	return err == nil && st.Mode&syscall.S_IFMT == syscall.S_IFDIR && int(st.Uid) == os.Geteuid()
}
