package fileid

import (
	"fmt"
	"io/fs"
	"os"
	"syscall"
)

// Stamp identifies one state of a file without reading it. The change time
// cannot be set back with the modification time.
type Stamp struct {
	Inode uint64 `json:"inode"`
	Size  int64  `json:"size"`
	MTime int64  `json:"mtime"` // nanoseconds since 1970
	CTime int64  `json:"ctime"`
}

// StampOf returns the stamp in what os.Stat has returned.
func StampOf(info fs.FileInfo) Stamp {
	st := info.Sys().(*syscall.Stat_t) // what os gives on Linux
	return Stamp{
		Inode: st.Ino,
		Size:  st.Size,
		MTime: st.Mtim.Nano(),
		CTime: st.Ctim.Nano(),
	}
}

// SizeAndTime returns size and modification time, which a package gives a file
// wherever it is unpacked; "" for a file that does not exist.
func SizeAndTime(path string) string {
	info, err := os.Stat(path)
	if err != nil {
		return ""
	}
	return fmt.Sprintf("%d %d", info.Size(), info.ModTime().UnixNano())
}
