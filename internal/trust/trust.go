package trust

import (
	"errors"
	"fmt"
)

// ErrUntrusted means that a user other than root and the exporter's own can
// change the file, and so could run code with the exporter's rights. It is
// wrapped with the path, the reason and a remedy.
var ErrUntrusted = errors.New("not safe to run")

// ErrOpenDirectory is the reason for an ErrUntrusted about a directory of root
// that all users may write to, without the sticky bit. Kubernetes makes the
// directory of a ConfigMap so (0777; newer versions set the sticky bit, too).
// What lies in one is safe all the same if nobody but the API server can write
// there; only the operator can know that.
var ErrOpenDirectory = errors.New("is writable by all users")

// Check returns nil when only root and id can change the file or directory at
// path, or replace it; else an error that matches ErrUntrusted. It checks path
// and every directory from / to it, and does the same for the target of every
// symlink on the way. A relative path is made absolute first.
//
// The rules:
//   - The owner must be root or id. An owner can always change the mode, so the
//     mode is no protection from the owner.
//   - No other user may have the right to write, nor a group other than root's
//     (gid 0) and those of id, be it by the mode or by an access control list.
//   - A sticky directory (/tmp) may be writable by all users, because only the
//     owner of an entry can rename or remove it there. A symlink in such a
//     directory must therefore have a trusted owner; elsewhere a symlink is as
//     safe as its directory.
//   - On a file system whose type cannot be written (squashfs, erofs, iso9660,
//     cramfs), owner and mode say nothing and are not checked. If it is an
//     image on a loop device, the file of the image is checked instead.
//   - A read-only mount changes nothing. The flag belongs to this mount in this
//     mount namespace (ProtectSystem=strict of systemd, a container's :ro), and
//     the owner can write to the same file through another mount.
//   - A symlink of procfs is not followed. Most of them lead to what a process
//     has open, or into its mount namespace (/proc/PID/root), and not to the
//     path that they show.
//   - What cannot be read is not trusted. Then the error matches its cause,
//     too. It matches fs.ErrNotExist only where no other user can create the
//     missing file.
//
// The result holds for the moment of the call, and later as far as only root
// and id could change anything since: they alone can replace a directory or a
// symlink on the way, so the same path leads to the same file.
func Check(path string, id Identity) error {
	_, err := (&walk{id: id}).follow(path)
	return asUntrusted(err)
}

// asUntrusted makes err match ErrUntrusted, unless it is nil.
func asUntrusted(err error) error {
	if err != nil && !errors.Is(err, ErrUntrusted) {
		return fmt.Errorf("%w: %w", ErrUntrusted, err)
	}
	return err
}

// MakeDir checks the directory at path as Check does, makes it and its parents
// where they are missing, with mode 0700, and returns its path without
// symlinks. A symlink is checked before it is followed, and a directory before
// anything is made in it, so nothing is made where another user wants it.
//
// The error matches ErrUntrusted if that is the reason, and wraps its cause.
func MakeDir(path string, id Identity) (resolved string, err error) {
	return (&walk{id: id, makeDirs: true}).follow(path)
}
