package trust

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// ErrUntrusted tells that a file can be changed by somebody who is neither root
// nor the server's user, so that what runs with the server's rights would be
// theirs. It is wrapped with the path, why, and the mend.
var ErrUntrusted = errors.New("not safe to run")

// Identity is a user who executes and owns files: an effective user id and all
// group ids, the effective one among them.
type Identity struct {
	UID    int
	Groups []int
}

// Self is the identity with which this process executes files.
func Self() Identity {
	// without them the effective group is left: fewer files may be executed,
	// fewer are trusted
	groups, _ := os.Getgroups()
	return Identity{UID: os.Geteuid(), Groups: append(groups, os.Getegid())}
}

// CheckTrust returns nil when nobody but root and who can change the file or
// folder at path, or put another into its place; else an error that matches
// ErrUntrusted. It looks at path, at every folder on the way from / to it, and
// at the same for every symlink's target on that way. path is made absolute
// first.
//
// Of each it wants:
//   - The owner is root or who. An owner can write whatever the mode says: he
//     can change it.
//   - Others have no right to write, nor has a group other than root's (gid 0)
//     and who's own, be it through an ACL. A sticky folder (/tmp) may be
//     writable for all, since only the owner of an entry can rename or remove
//     it there. Because of that a symlink in such a folder needs a trusted
//     owner; elsewhere it is a part of its folder.
//
// A read-only mount is no reason for trust: the flag is of this mount in this
// mount namespace (ProtectSystem=strict of systemd, a container's :ro), and the
// owner can write to the same file by another.
//
// What cannot be looked at does not pass; then the error matches the cause, too
// (fs.ErrNotExist, …).
//
// Nothing is held: who was trusted by this call can change things after it, and
// nobody else could.
func Check(path string, who Identity) error {
	path, err := filepath.Abs(path)
	if err != nil {
		return fmt.Errorf("%w: find %q: %w", ErrUntrusted, path, err)
	}
	shared, err := who.check("/")
	if err != nil {
		return err
	}
	at, links := "/", 0
	for rest := path; ; {
		// One name at a time, as the kernel walks: at is always without
		// symlinks, so that ".." in a link's target is its parent.
		name, after, _ := strings.Cut(strings.TrimLeft(rest, "/"), "/")
		rest = after
		switch name {
		case "":
			return nil
		case ".":
			continue
		case "..":
			at = filepath.Dir(at)
			if shared, err = who.check(at); err != nil {
				return err
			}
			continue
		}
		next := filepath.Join(at, name)
		target, err := os.Readlink(next)
		if err != nil { // not a symlink; check says if it is nothing at all
			if shared, err = who.check(next); err != nil {
				return err
			}
			at = next
			continue
		}
		if links++; links > 40 { // the kernel's own limit
			return fmt.Errorf("%w: %q: %w", ErrUntrusted, path, unix.ELOOP)
		}
		if shared {
			if err := who.checkLink(next); err != nil {
				return err
			}
		}
		if filepath.IsAbs(target) {
			at = "/"
		}
		rest = target + "/" + rest
	}
}

// check looks at one file or folder that is no symlink. shared tells that
// others can make files in it.
func (id Identity) check(path string) (shared bool, err error) {
	info, err := look(path)
	if err != nil {
		return false, err
	}
	sticky := info.IsDir() && info.Mode()&fs.ModeSticky != 0
	if err := id.owns(path, info, "chown root"); err != nil {
		return false, err
	}
	why, mend := id.writers(path, info)
	switch {
	case why == "":
		return false, nil
	case sticky:
		return true, nil
	}
	return false, untrusted(path, why, mend)
}

// checkLink looks at a symlink in a sticky folder that is writable for all.
func (id Identity) checkLink(path string) error {
	info, err := look(path)
	if err != nil {
		return err
	}
	return id.owns(path, info, "chown -h root")
}

func look(path string) (fs.FileInfo, error) {
	info, err := os.Lstat(path)
	if err != nil {
		return nil, fmt.Errorf("%w: look at %q: %w", ErrUntrusted, path, Cause(err))
	}
	return info, nil
}

func (id Identity) owns(path string, info fs.FileInfo, mend string) error {
	if owner, _ := ownerOf(info); owner != 0 && owner != id.UID {
		return untrusted(path, fmt.Sprintf("belongs to user %d", owner), mend)
	}
	return nil
}

// writers says who else can write a file, and the command that ends it; empty
// when nobody can.
//
// With a POSIX ACL the mode's group bits are the mask, that is, the most that
// any named user or group gets (acl(5)). So no write bit for the group means
// that no entry grants it, and the mode alone is enough. With that bit the mode
// does not tell who has it: then the entries count. (NFSv4 ACLs are not looked
// at; their servers keep the mode at least as wide.)
func (id Identity) writers(path string, info fs.FileInfo) (why, mend string) {
	perm := info.Mode().Perm()
	if perm&0o002 != 0 {
		return "can be written by all", "chmod go-w"
	}
	if perm&0o020 == 0 {
		return "", ""
	}
	_, group := ownerOf(info)
	entries, err := readACL(path)
	if err != nil {
		return fmt.Sprintf("may be writable by an access control list that cannot be read (%v)", err), "setfacl -b"
	}
	if len(entries) == 0 {
		entries = []aclEntry{{tag: aclGroupObj, perm: 2}}
	}
	for _, e := range entries {
		switch {
		case e.perm&2 == 0:
		case e.tag == aclGroupObj && !id.hasGroup(group):
			return fmt.Sprintf("can be written by group %d", group), "chmod g-w"
		case e.tag == aclUser && int(e.id) != 0 && int(e.id) != id.UID:
			return fmt.Sprintf("can be written by user %d through an access control list", e.id), "setfacl -b"
		case e.tag == aclGroup && !id.hasGroup(int(e.id)):
			return fmt.Sprintf("can be written by group %d through an access control list", e.id), "setfacl -b"
		}
	}
	return "", ""
}

func (id Identity) hasGroup(gid int) bool { return gid == 0 || slices.Contains(id.Groups, gid) }

func untrusted(path, why, mend string) error {
	return fmt.Errorf("%w: %q %s: %s %[2]q", ErrUntrusted, path, why, mend)
}

// aclEntry is a struct posix_acl_xattr_entry of linux/posix_acl_xattr.h.
type aclEntry struct {
	tag, perm uint16
	id        uint32
}

// Tags of linux/posix_acl.h.
const (
	aclUser     = 0x02
	aclGroupObj = 0x04
	aclGroup    = 0x08
)

// readACL returns the entries of the access control list of path, none where
// there is no list or no support for one.
func readACL(path string) ([]aclEntry, error) {
	buf := make([]byte, 64<<10) // the most that an extended attribute holds
	n, err := unix.Lgetxattr(path, "system.posix_acl_access", buf)
	if errors.Is(err, unix.ENODATA) || errors.Is(err, unix.EOPNOTSUPP) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return parseACL(buf[:n])
}

// parseACL reads the attribute: a version of 32 bits, then entries of 8 bytes,
// all little-endian.
func parseACL(b []byte) ([]aclEntry, error) {
	if len(b) < 4 || len(b)%8 != 4 || binary.LittleEndian.Uint32(b) != 2 {
		return nil, errors.New("unknown format")
	}
	var entries []aclEntry
	for b = b[4:]; len(b) > 0; b = b[8:] {
		entries = append(entries, aclEntry{
			tag: binary.LittleEndian.Uint16(
				b,
			),
			perm: binary.LittleEndian.Uint16(b[2:]),
			id:   binary.LittleEndian.Uint32(b[4:]),
		})
	}
	return entries, nil
}
