package cleanup

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"stap-exporter/internal/proc"
)

// RemoveProbes removes the probe definitions in tracefs that the processes pids
// have made. These must have ended, or not have made any yet. Observed with
// SystemTap 4.8: stapbpf leaves its definitions in uprobe_events and
// kprobe_events when it is killed, and removes them when it ends by itself.
// Such definitions have no effect, but accumulate.
//
// A probe can stay busy for a moment after its process has ended (observed), so
// RemoveProbes retries for at most wait. It returns by name what it could not
// remove.
func (c *Cleaner) RemoveProbes(pids []int, wait time.Duration) (residue []string) {
	limit := time.Now().Add(wait)
	for _, list := range []string{"uprobe_events", "kprobe_events"} {
		path := filepath.Join(c.Tracing, list)
		text, err := os.ReadFile(path)
		if err != nil {
			continue // there is no tracefs, or this user cannot read it
		}
		for line := range strings.Lines(string(text)) {
			name, _, _ := strings.Cut(line, " ")
			_, name, _ = strings.Cut(name, ":")
			if !isProbeOf(name, pids) {
				continue
			}
			if err := removeBusyProbe(path, name, limit); err != nil && !errors.Is(err, fs.ErrNotExist) {
				residue = append(residue, fmt.Sprintf("probe %s (%v)", name, err))
			}
		}
	}
	return residue
}

// isProbeOf reports whether stapbpf gives this name to probes of one of the
// processes: uprobes/stapprobe_PID_N, or kprobes/pPID_N, where kprobes is the
// kernel's default group.
func isProbeOf(name string, pids []int) bool {
	return slices.ContainsFunc(pids, func(pid int) bool {
		return strings.Contains(name, fmt.Sprintf("/stapprobe_%d_", pid)) ||
			strings.HasPrefix(name, fmt.Sprintf("kprobes/p%d_", pid))
	})
}

// removeBusyProbe removes a probe, and retries until limit while it is busy.
func removeBusyProbe(list, name string, limit time.Time) error {
	err := removeProbe(list, name)
	pauses := proc.NewPauses(10*time.Millisecond, 100*time.Millisecond)
	for errors.Is(err, syscall.EBUSY) && time.Now().Before(limit) {
		time.Sleep(pauses.Next())
		err = removeProbe(list, name)
	}
	return err
}

// removeProbe removes a probe from a list in tracefs. It must append: opening a
// list with O_TRUNC removes the probes of all processes.
func removeProbe(list, name string) error {
	f, err := os.OpenFile(list, os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteString("-:" + name + "\n")
	return errors.Join(err, f.Close())
}
