package trust

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// ErrUntrusted means that a user other than root and the exporter's own can
// change the file, and so could run code with the exporter's rights. It is
// wrapped with the path, the reason and a remedy.
var ErrUntrusted = errors.New("not safe to run")

// maxLinks is the kernel's own limit of symlinks on a path.
const maxLinks = 40

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
//   - A read-only mount changes nothing. The flag belongs to this mount in this
//     mount namespace (ProtectSystem=strict of systemd, a container's :ro), and
//     the owner can write to the same file through another mount.
//   - What cannot be read is not trusted. Then the error matches its cause, too
//     (fs.ErrNotExist, …).
//
// The result holds for the moment of the call, and later as far as only root
// and id could change anything since.
func Check(path string, id Identity) error {
	path, err := filepath.Abs(path)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrUntrusted, err)
	}
	shared, err := id.check("/")
	if err != nil {
		return err
	}
	at, links := "/", 0
	for rest := path; ; {
		// One name at a time, as the kernel does. at never contains a symlink,
		// so ".." in the target of a link is the parent of at.
		name, after, _ := strings.Cut(strings.TrimLeft(rest, "/"), "/")
		rest = after
		switch name {
		case "":
			return nil
		case ".":
			continue
		case "..":
			at = filepath.Dir(at)
			if shared, err = id.check(at); err != nil {
				return err
			}
			continue
		}
		next := filepath.Join(at, name)
		target, err := os.Readlink(next)
		if err != nil { // not a symlink, or missing, which check reports
			if shared, err = id.check(next); err != nil {
				return err
			}
			at = next
			continue
		}
		if links++; links > maxLinks {
			return fmt.Errorf("%w: %q: %w", ErrUntrusted, path, unix.ELOOP)
		}
		if shared {
			if err := id.checkLink(next); err != nil {
				return err
			}
		}
		if filepath.IsAbs(target) {
			at = "/"
		}
		rest = target + "/" + rest
	}
}

// check checks one file or directory, not a symlink. shared: other users can
// create files in the directory.
func (id Identity) check(path string) (shared bool, err error) {
	info, err := lstat(path)
	if err != nil {
		return false, err
	}
	if err := id.checkOwner(path, info, "chown root"); err != nil {
		return false, err
	}
	reason, remedy := id.otherWriters(path, info)
	if reason == "" {
		return false, nil
	}
	if info.IsDir() && info.Mode()&fs.ModeSticky != 0 {
		return true, nil
	}
	return false, untrusted(path, reason, remedy)
}

// checkLink checks a symlink in a shared directory.
func (id Identity) checkLink(path string) error {
	info, err := lstat(path)
	if err != nil {
		return err
	}
	return id.checkOwner(path, info, "chown -h root")
}

func (id Identity) checkOwner(path string, info fs.FileInfo, remedy string) error {
	if uid, _ := owner(info); !id.trustsUser(uid) {
		return untrusted(path, fmt.Sprintf("is owned by user %d", uid), remedy)
	}
	return nil
}

// otherWriters returns which other users can write a file, and the command that
// changes
// that; both are empty when nobody can.
//
// With a POSIX access control list the group bits of the mode are the mask: the
// most that any named user or group gets (acl(5)). Without the group's write
// bit no entry grants it, and the mode is enough. With it the entries decide.
// NFSv4 lists are not read; their servers keep the mode at least as wide.
func (id Identity) otherWriters(path string, info fs.FileInfo) (reason, remedy string) {
	perm := info.Mode().Perm()
	if perm&0o002 != 0 {
		return "is writable by all users", "chmod go-w"
	}
	if perm&0o020 == 0 {
		return "", ""
	}
	_, gid := owner(info)
	entries, err := readACL(path)
	if err != nil {
		return fmt.Sprintf("may be writable through an access control list that cannot be read (%v)", err), "setfacl -b"
	}
	if len(entries) == 0 {
		entries = []aclEntry{{tag: aclGroupObj, perm: aclWrite}}
	}
	for _, e := range entries {
		switch {
		case e.perm&aclWrite == 0:
		case e.tag == aclGroupObj && !id.trustsGroup(gid):
			return fmt.Sprintf("is writable by group %d", gid), "chmod g-w"
		case e.tag == aclUser && !id.trustsUser(int(e.id)):
			return fmt.Sprintf("is writable by user %d through an access control list", e.id), "setfacl -b"
		case e.tag == aclGroup && !id.trustsGroup(int(e.id)):
			return fmt.Sprintf("is writable by group %d through an access control list", e.id), "setfacl -b"
		}
	}
	return "", ""
}

// untrusted names the file, the reason, and the remedy as a command.
func untrusted(path, reason, remedy string) error {
	return fmt.Errorf("%w: %q %s: run %s %[2]q", ErrUntrusted, path, reason, remedy)
}

func lstat(path string) (fs.FileInfo, error) {
	info, err := os.Lstat(path)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrUntrusted, err)
	}
	return info, nil
}

func owner(info fs.FileInfo) (uid, gid int) {
	st := info.Sys().(*syscall.Stat_t) // always so for os.Stat and os.Lstat on Linux
	return int(st.Uid), int(st.Gid)
}
