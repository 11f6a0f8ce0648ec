package modcache

import (
	"fmt"
	"io/fs"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// openPrivate opens a regular file that belongs to this process's user and that
// no other user can write to. It does not block on a FIFO.
func openPrivate(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err == nil {
		err = checkPrivate(path, info)
	}
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("%s is not a regular file", path)
	}
	if err != nil {
		_ = f.Close()
		return nil, err
	}
	return f, nil
}

// checkPrivate fails when another user may have written the file at path.
func checkPrivate(path string, info fs.FileInfo) error {
	st := info.Sys().(*syscall.Stat_t) // always this type on Linux
	if uid := int(st.Uid); uid != os.Geteuid() {
		return fmt.Errorf("%s belongs to user %d", path, uid)
	}
	if info.Mode().Perm()&0o022 != 0 {
		return fmt.Errorf("%s can be written by others (mode %#o)", path, info.Mode().Perm())
	}
	return nil
}
