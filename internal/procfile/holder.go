package procfile

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// holder names another process that has the kernel's file open: while it does,
// everybody else reads nothing. Empty when there is none, when it cannot be
// seen (other users' files, without root), and for a FIFO, of which the script
// itself holds the other end.
func (f File) holder() string {
	if f.FIFO {
		return ""
	}
	fds, _ := filepath.Glob("/proc/[0-9]*/fd/*")
	self := fmt.Sprintf("/proc/%d/", os.Getpid())
	for _, fd := range fds {
		if strings.HasPrefix(fd, self) {
			continue
		}
		if target, err := os.Readlink(fd); err != nil || target != f.Path {
			continue
		}
		process := filepath.Dir(filepath.Dir(fd))
		name, _ := os.ReadFile(filepath.Join(process, "comm")) // it may have ended since
		return fmt.Sprintf("process %s (%s)", filepath.Base(process), strings.TrimSpace(string(name)))
	}
	return ""
}
