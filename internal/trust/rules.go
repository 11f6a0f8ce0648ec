package trust

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// Bits of a mode.
const (
	groupWrite = 0o020
	otherWrite = 0o002
)

// check checks one file or directory, not a symlink. shared: other users can
// create files in the directory.
func (w *walk) check(n node) (shared bool, err error) {
	if device := uint64(n.stat.Dev); device != w.device {
		w.unwritable, err = w.checkImage(n)
		if err != nil {
			return false, err
		}
		w.device = device
	}
	if w.unwritable {
		return false, nil
	}
	return w.id.check(n)
}

// check checks owner and mode.
func (id Identity) check(n node) (shared bool, err error) {
	if err := id.checkOwner(n, "chown root"); err != nil {
		return false, err
	}
	remedy, reason := id.otherWriters(n)
	if reason == nil {
		return false, nil
	}
	if n.is(unix.S_IFDIR) && n.stat.Mode&unix.S_ISVTX != 0 {
		return true, nil
	}
	return false, untrusted(n.path, reason, remedy)
}

func (id Identity) checkOwner(n node, remedy string) error {
	if uid := int(n.stat.Uid); !id.trustsUser(uid) {
		return untrusted(n.path, fmt.Errorf("is owned by user %d", uid), remedy)
	}
	return nil
}

// otherWriters returns which other users can write a file, and the command that
// changes that; reason is nil when none can.
//
// With a POSIX access control list the group bits of the mode are the mask: the
// most that any named user or group gets (acl(5)). Without the group's write
// bit no entry grants it, and the mode is enough. With it the entries decide.
// NFSv4 lists are not read; their servers keep the mode at least as wide.
func (id Identity) otherWriters(n node) (remedy string, reason error) {
	if n.stat.Mode&otherWrite != 0 {
		reason = errors.New("is writable by all users")
		if n.is(unix.S_IFDIR) && n.stat.Uid == 0 && n.stat.Mode&0o777 == 0o777 {
			reason = ErrOpenDirectory
		}
		return "chmod go-w", reason
	}
	if n.stat.Mode&groupWrite == 0 {
		return "", nil
	}
	entries, err := readACL(n.path)
	if err != nil {
		return "setfacl -b", fmt.Errorf("may be writable through an access control list that cannot be read (%w)", err)
	}
	if len(entries) == 0 {
		entries = []aclEntry{{tag: aclGroupObj, perm: aclWrite}}
	}
	gid := int(n.stat.Gid)
	for _, e := range entries {
		switch {
		case e.perm&aclWrite == 0:
		case e.tag == aclGroupObj && !id.trustsGroup(gid):
			return "chmod g-w", fmt.Errorf("is writable by group %d", gid)
		case e.tag == aclUser && !id.trustsUser(int(e.id)):
			return "setfacl -b", fmt.Errorf("is writable by user %d through an access control list", e.id)
		case e.tag == aclGroup && !id.trustsGroup(int(e.id)):
			return "setfacl -b", fmt.Errorf("is writable by group %d through an access control list", e.id)
		}
	}
	return "", nil
}

// untrusted returns an error with the file, the reason, and the remedy as a
// command.
func untrusted(path string, reason error, remedy string) error {
	return fmt.Errorf("%w: %q %w: run %s %[2]q", ErrUntrusted, path, reason, remedy)
}
