package fileid

import (
	"fmt"
	"io/fs"
	"os"
	"syscall"
)

// Stamp identifies one state of a file without reading it. Programs can set the
// modification time, but not the change time.
type Stamp struct {
	Inode uint64 `json:"inode"`
	Size  int64  `json:"size"`  // bytes
	MTime int64  `json:"mtime"` // modification time, nanoseconds since 1970
	CTime int64  `json:"ctime"` // change time, nanoseconds since 1970
}

// StampOf returns the stamp in a result of os.Stat.
func StampOf(info fs.FileInfo) Stamp {
	st := info.Sys().(*syscall.Stat_t) // always this type on Linux
	return Stamp{
		Inode: st.Ino,
		Size:  st.Size,
		MTime: st.Mtim.Nano(),
		CTime: st.Ctim.Nano(),
	}
}

// SizeAndTime returns the size and modification time of the file at path as a
// text, "" when the file does not exist. Unlike a Stamp it is the same on every
// machine where one version of a package is installed.
func SizeAndTime(path string) string {
	info, err := os.Stat(path)
	if err != nil {
		return ""
	}
	return fmt.Sprintf("%d %d", info.Size(), info.ModTime().UnixNano())
}
