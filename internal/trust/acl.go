package trust

import (
	"encoding/binary"
	"errors"

	"golang.org/x/sys/unix"
)

// aclEntry is a struct posix_acl_xattr_entry of linux/posix_acl_xattr.h.
type aclEntry struct {
	tag, perm uint16
	id        uint32
}

// aclWrite is the right to write, in aclEntry.perm.
const aclWrite = 2

// Tags of linux/posix_acl.h.
const (
	aclUser     = 0x02
	aclGroupObj = 0x04 // the file's own group
	aclGroup    = 0x08
)

// readACL returns the entries of the access control list of path. It returns
// none when there is no list, or the file system has no support for lists.
func readACL(path string) ([]aclEntry, error) {
	buf := make([]byte, 64<<10) // the largest extended attribute
	n, err := unix.Lgetxattr(path, "system.posix_acl_access", buf)
	if errors.Is(err, unix.ENODATA) || errors.Is(err, unix.EOPNOTSUPP) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return parseACL(buf[:n])
}

// parseACL parses the attribute: a version of 32 bits, then entries of 8 bytes,
// all little-endian.
func parseACL(b []byte) ([]aclEntry, error) {
	if len(b) < 4 || len(b)%8 != 4 || binary.LittleEndian.Uint32(b) != 2 {
		return nil, errors.New("unknown format")
	}
	var entries []aclEntry
	for b = b[4:]; len(b) > 0; b = b[8:] {
		entries = append(entries, aclEntry{
			tag:  binary.LittleEndian.Uint16(b),
			perm: binary.LittleEndian.Uint16(b[2:]),
			id:   binary.LittleEndian.Uint32(b[4:]),
		})
	}
	return entries, nil
}
