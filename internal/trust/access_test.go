package trust

import (
	"io/fs"
	"syscall"
	"testing"
	"time"
)

func TestMayExecute(t *testing.T) {
	const user, group, stranger = 1000, 100, 7
	for _, c := range []struct {
		who  Identity
		mode fs.FileMode
		want bool
	}{
		{Identity{0, nil}, 0o644, false},
		{Identity{0, nil}, 0o001, true},
		{Identity{user, []int{group}}, 0o100, true},
		{Identity{user, []int{group}}, 0o011, false}, // the owner's bits alone count
		{Identity{stranger, []int{1, group}}, 0o010, true},
		{Identity{stranger, []int{1, group}}, 0o101, false},
		{Identity{stranger, []int{1}}, 0o001, true},
		{Identity{stranger, []int{1}}, 0o770, false},
	} {
		if got := c.who.MayExecute(fakeInfo{mode: c.mode, stat: unixStat(user, group)}); got != c.want {
			t.Errorf("%+v on %v of %d:%d: got %v", c.who, c.mode, user, group, got)
		}
	}
}

// fakeInfo is a file of somebody else.
type fakeInfo struct {
	mode fs.FileMode
	stat any
}

func (f fakeInfo) Name() string { return "" }

func (f fakeInfo) Size() int64 { return 0 }

func (f fakeInfo) Mode() fs.FileMode { return f.mode }

func (f fakeInfo) ModTime() time.Time { return time.Time{} }

func (f fakeInfo) IsDir() bool { return false }

func (f fakeInfo) Sys() any { return f.stat }

func unixStat(uid, gid uint32) *syscall.Stat_t { return &syscall.Stat_t{Uid: uid, Gid: gid} }
