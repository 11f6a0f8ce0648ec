package trust

import (
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// unnamed is the id of entries that name nobody.
const unnamed = 0xffffffff

func byUser(uid uint32, perm uint16) aclEntry  { return aclEntry{aclUser, perm, uid} }
func byGroup(gid uint32, perm uint16) aclEntry { return aclEntry{aclGroup, perm, gid} }
func byOwnGroup(perm uint16) aclEntry          { return aclEntry{aclGroupObj, perm, unnamed} }

// attribute returns a system.posix_acl_access attribute with the entries,
// beside those for the owner, the mask and others.
func attribute(entries ...aclEntry) []byte {
	all := append([]aclEntry{{0x01, 6, unnamed}}, entries...)
	all = append(all, aclEntry{0x10, 7, unnamed}, aclEntry{0x20, 4, unnamed}) // mask, others
	b := binary.LittleEndian.AppendUint32(nil, 2)
	for _, e := range all {
		b = binary.LittleEndian.AppendUint16(b, e.tag)
		b = binary.LittleEndian.AppendUint16(b, e.perm)
		b = binary.LittleEndian.AppendUint32(b, e.id)
	}
	return b
}

func TestCheckACL(t *testing.T) {
	needRoot(t)
	for name, c := range map[string]struct {
		acl    []aclEntry
		gid    int
		noMask bool // chmod g-w afterwards, which sets the mask
		want   string
	}{
		"user": {
			acl:  []aclEntry{byUser(stranger, 6), byOwnGroup(4)},
			want: `a.stp" is writable by user 54321 through an access control list: run setfacl -b "`,
		},
		"user, masked":  {acl: []aclEntry{byUser(stranger, 6), byOwnGroup(4)}, noMask: true},
		"user, reading": {acl: []aclEntry{byUser(stranger, 4), byOwnGroup(4)}},
		"root by name":  {acl: []aclEntry{byUser(0, 6), byOwnGroup(4)}, gid: strangerGroup},
		"group": {
			acl:  []aclEntry{byOwnGroup(4), byGroup(strangerGroup, 6)},
			want: "is writable by group 54322 through",
		},
		"our group": {acl: []aclEntry{byOwnGroup(4), byGroup(ourGroup, 6)}},
		"the file's own group": {
			acl:  []aclEntry{byOwnGroup(6), byGroup(ourGroup, 6)},
			gid:  strangerGroup,
			want: "is writable by group 54322: run chmod g-w",
		},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(makeTree(t), "sub", "a.stp")
			err := errors.Join(
				os.Chown(path, 0, c.gid),
				unix.Setxattr(path, "system.posix_acl_access", attribute(c.acl...), 0),
			)
			if errors.Is(err, unix.EOPNOTSUPP) {
				t.Skip("the file system of the test's directory has no access control lists")
			}
			if err != nil {
				t.Fatal(err)
			}
			if c.noMask {
				if err := os.Chmod(path, 0o644); err != nil {
					t.Fatal(err)
				}
			}
			checkTrusted(t, path, rootAndGroup, c.want)
		})
	}
}

func TestParseACLErrors(t *testing.T) {
	for _, b := range [][]byte{nil, {2, 0, 0}, {1, 0, 0, 0}, {2, 0, 0, 0, 1}} {
		if _, err := parseACL(b); err == nil {
			t.Errorf("%v: no error", b)
		}
	}
}
