package trust

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// unwritable are the types of file systems that the kernel cannot write to,
// whatever the mount. (EROFS_SUPER_MAGIC_V1 is erofs, not the error EROFS.)
var unwritable = []uint32{
	unix.SQUASHFS_MAGIC,
	unix.EROFS_SUPER_MAGIC_V1,
	unix.ISOFS_SUPER_MAGIC,
	unix.CRAMFS_MAGIC,
}

// fileSystem returns the type of the file system of n, as statfs(2) has it.
func fileSystem(n node) (uint32, error) {
	var st unix.Statfs_t
	if err := noEINTR(func() error { return unix.Fstatfs(n.fd, &st) }); err != nil {
		return 0, &fs.PathError{
			Op:   "statfs",
			Path: n.path,
			Err:  err,
		}
	}
	return uint32(st.Type), nil // the magic numbers have 32 bits
}

// checkImage reports whether n is on a file system that nobody can write to.
// The error means that its type allows no writing, but that others can change
// the file of its image.
//
// Owner and mode decide (false) where not enough is known: there is no block
// device (erofs mounted straight from a file), no sysfs, or no way to the image
// (it was deleted, or is in another mount namespace).
func (w *walk) checkImage(n node) (bool, error) {
	if unix.Major(uint64(n.stat.Dev)) == 0 {
		return false, nil // no block device, as in most kinds of mounts
	}
	system, err := fileSystem(n)
	if err != nil || !slices.Contains(unwritable, system) {
		return false, err
	}
	image, err := backingFile(uint64(n.stat.Dev))
	if err == nil && image != "" {
		err = w.followImage(image)
	}
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("check the image of the file system of %q: %w", n.path, err)
	}
	return true, nil
}

// backingFile returns the file behind a loop device or a partition of one, and
// "" for another device. The error matches fs.ErrNotExist if sysfs does not
// have the device.
func backingFile(dev uint64) (string, error) {
	device := fmt.Sprintf("/sys/dev/block/%d:%d", unix.Major(dev), unix.Minor(dev))
	for _, loop := range []string{"/loop", "/../loop"} {
		// the device is a symlink: no cleaning of ".."
		name, err := os.ReadFile(device + loop + "/backing_file")
		if err == nil {
			return strings.TrimSuffix(string(name), "\n"), nil
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return "", err
		}
	}
	_, err := os.Stat(device)
	return "", err
}

// followImage checks the file of an image.
func (w *walk) followImage(path string) error {
	if w.images++; w.images > maxImages {
		return &fs.PathError{
			Op:   "open",
			Path: path,
			Err:  unix.ELOOP,
		}
	}
	inner := walk{
		id:     w.id,
		links:  w.links,
		images: w.images,
	}
	_, err := inner.follow(path)
	w.links, w.images = inner.links, inner.images
	return err
}
