package trust

import (
	"errors"
	"io/fs"
	"slices"
	"syscall"
)

// cause takes operation and path off err, where the text around it already has
// them.
func Cause(err error) error {
	if p, ok := errors.AsType[*fs.PathError](err); ok {
		return p.Err
	}
	return err
}

// mayExecute goes by the mode bits: access(2) would ask for the real user, who
// under set-user-id is another.
func (id Identity) MayExecute(info fs.FileInfo) bool {
	owner, group := ownerOf(info)
	perm := info.Mode().Perm()
	switch {
	case id.UID == 0:
		return perm&0o111 != 0
	case id.UID == owner:
		return perm&0o100 != 0
	case slices.Contains(id.Groups, group):
		return perm&0o010 != 0
	}
	return perm&0o001 != 0
}

func ownerOf(info fs.FileInfo) (uid, gid int) {
	st := info.Sys().(*syscall.Stat_t) // what os.Stat gives on Linux
	return int(st.Uid), int(st.Gid)
}
