package cleanup

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"stap-exporter/internal/proc"
)

// recordFile is a file in each work directory: the processes of the run that
// lead its process groups or may have set probes, one a line. The cleanup after
// a crash needs it for what carries no run tag: members of a group, and the
// probes of a killed stapbpf, which are named by its process id only.
const recordFile = ".processes"

// Record adds processes to a work directory's record. Errors are ignored: only
// the cleanup after a crash depends on it.
func Record(work string, list ...proc.Process) {
	f, err := os.OpenFile(filepath.Join(work, recordFile), os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600)
	if err != nil {
		return
	}
	for _, p := range list {
		_, _ = fmt.Fprintln(f, p.PID, p.Started, proc.BootID())
	}
	_ = f.Close()
}

// recorded returns the process groups that recorded processes lead now, and the
// ids of recorded processes that have ended. An id that another process has by
// now is neither: its group and its probes are the other's.
func recorded(work string) (groups, ended []int) {
	text, _ := os.ReadFile(filepath.Join(work, recordFile))
	for line := range strings.Lines(string(text)) {
		id, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
		started, boot, _ := strings.Cut(rest, " ")
		pid, err := strconv.Atoi(id)
		if err != nil || boot != proc.BootID() {
			continue // cut short by a crash, or from before a reboot
		}
		p, lives := proc.Read(pid)
		switch {
		case !lives:
			ended = append(ended, pid)
		case p.Started == started && p.Group == pid:
			groups = append(groups, pid)
		}
	}
	return groups, ended
}
