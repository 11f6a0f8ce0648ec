package stap

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
)

// exiting is PF_EXITING of the kernel's include/linux/sched.h: set before an ending process closes its files, so what was read to its end while the flag was not set was written whole.
const exiting = 0x4

// alive tells whether the process is there and not about to end, by state and flags in /proc/PID/stat, see proc(5).
func alive(pid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return false
	}
	f := bytes.Fields(stat[bytes.LastIndexByte(stat, ')')+1:])
	if len(f) < 7 || f[0][0] == 'Z' || f[0][0] == 'X' {
		return false
	}
	flags, err := strconv.ParseUint(string(f[6]), 10, 64)
	return err == nil && flags&exiting == 0
}

// writer is the process that writes the procfs file, as well as can be known: the child itself, or the stapbpf among its group.
func (w *watch) writer() int {
	if w.direct {
		return w.child.pid
	}
	for _, m := range w.child.members() {
		if m.name == "stapbpf" {
			return m.pid
		}
	}
	return w.child.pid
}
