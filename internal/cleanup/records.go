package cleanup

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"stap-exporter/internal/proc"
)

// recordFile is a file in each work directory. It lists, one a line, the
// processes of the run that lead a process group or may have made probes. After
// a crash it identifies what has no run tag: the members of those groups, and
// probes, whose names contain only the process id of their stapbpf.
const recordFile = ".processes"

// Record adds processes to the record in a work directory. It ignores errors:
// only the cleanup after a crash depends on the record.
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

// recorded reads the record in a work directory. It returns the process groups
// that recorded processes lead now, and the ids of recorded processes that have
// ended. It omits an id that another process has now: group and probes of that
// id belong to the other process.
func recorded(work string) (groups, ended []int) {
	text, _ := os.ReadFile(filepath.Join(work, recordFile))
	for line := range strings.Lines(string(text)) {
		id, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
		started, boot, _ := strings.Cut(rest, " ")
		pid, err := strconv.Atoi(id)
		if err != nil || boot != proc.BootID() {
			continue // truncated by a crash, or of an earlier boot
		}
		p, alive := proc.Read(pid)
		switch {
		case !alive:
			ended = append(ended, pid)
		case p.Started == started && p.Group == pid:
			groups = append(groups, pid)
		}
	}
	return groups, ended
}
