package trust

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
)

// MakePrivate creates dir with mode 0700, and its parents where they are missing.
// An existing directory must be this user's, and gets that mode.
func MakePrivate(dir string) error {
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		return err
	}
	if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, os.ErrExist) {
		return err
	}
	var st syscall.Stat_t
	if err := syscall.Lstat(dir, &st); err != nil {
		return err
	}
	if st.Mode&syscall.S_IFMT != syscall.S_IFDIR || int(st.Uid) != os.Geteuid() {
		return fmt.Errorf("%q is not a directory of this user", dir)
	}
	return os.Chmod(dir, 0o700)
}
