package procfile

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// holder describes another process that has the kernel's file open. While it
// does, every other reader gets an empty text. The result is empty when there
// is no such process, when it is not visible (a process of another user,
// without root), and for a FIFO, whose other end the script itself has open.
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
		// empty if the process has ended since
		name, _ := os.ReadFile(filepath.Join(process, "comm"))
		return fmt.Sprintf("process %s (%s)", filepath.Base(process), strings.TrimSpace(string(name)))
	}
	return ""
}
