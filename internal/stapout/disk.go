package stapout

import "golang.org/x/sys/unix"

// DiskRemedy is the remedy for a full disk. A full disk shows in a message, or
// in the death of an executable that writes its files by mmap (elfutils:
// SIGBUS).
const DiskRemedy = "the disk is full: free some space, or name another directory with --cache.dir"

// minDiskBytes is the room below which a disk counts as full.
const minDiskBytes = 64 << 10

// DiskFull reports whether the disk that holds dir is full.
func DiskFull(dir string) bool {
	var st unix.Statfs_t
	return unix.Statfs(dir, &st) == nil && st.Bavail*uint64(st.Bsize) < minDiskBytes
}
