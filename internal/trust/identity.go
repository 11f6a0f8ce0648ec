package trust

import (
	"os"
	"slices"
)

// Identity is a user as the kernel sees one: an effective user id, and all
// group ids with the effective one among them.
type Identity struct {
	UID    int
	Groups []int
}

// Self returns the identity of this process.
func Self() Identity {
	// On failure only the effective group is known, so fewer files are trusted.
	groups, _ := os.Getgroups()
	return Identity{UID: os.Geteuid(), Groups: append(groups, os.Getegid())}
}

// trustsUser reports whether files of the user uid are safe for id to run.
func (id Identity) trustsUser(uid int) bool { return uid == 0 || uid == id.UID }

// trustsGroup reports whether id trusts the members of the group gid.
func (id Identity) trustsGroup(gid int) bool { return gid == 0 || slices.Contains(id.Groups, gid) }
