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

// RemoveProbes removes the probe definitions that stapbpf, killed, left in
// tracefs: in uprobe_events (seen) and kprobe_events (it removes them itself
// when it ends in order). They count nothing any more, but would pile up with
// every kill. pids are those of processes that have ended, or that have made
// none yet. A probe stays busy for a moment after its process is gone (seen),
// so that is waited for, at most wait. It returns what it could not remove, by
// name.
func (c *Cleaner) RemoveProbes(pids []int, wait time.Duration) (residue []string) {
	limit := time.Now().Add(wait)
	for _, list := range []string{"uprobe_events", "kprobe_events"} {
		path := filepath.Join(c.Tracing, list)
		text, err := os.ReadFile(path)
		if err != nil {
			continue // no tracefs, so no probes; or not ours to see
		}
		for line := range strings.Lines(string(text)) {
			name, _, _ := strings.Cut(line, " ")
			_, name, _ = strings.Cut(name, ":")
			if !isProbeOf(name, pids) {
				continue
			}
			err := removeProbe(path, name)
			for p := proc.NewPauses(10*time.Millisecond, 100*time.Millisecond); errors.Is(err, syscall.EBUSY) && time.Now().Before(limit); {
				time.Sleep(p.Next())
				err = removeProbe(path, name)
			}
			if err != nil && !errors.Is(err, fs.ErrNotExist) {
				residue = append(residue, fmt.Sprintf("probe %s (%v)", name, err))
			}
		}
	}
	return residue
}

// isProbeOf knows the names that stapbpf gives: uprobes/stapprobe_PID_N and, in
// the group that the kernel takes for them, kprobes/pPID_N.
func isProbeOf(name string, pids []int) bool {
	return slices.ContainsFunc(pids, func(pid int) bool {
		return strings.Contains(name, fmt.Sprintf("/stapprobe_%d_", pid)) ||
			strings.HasPrefix(name, fmt.Sprintf("kprobes/p%d_", pid))
	})
}

// removeProbe writes to a list of probes. Opening one for writing from the
// start would clear it, everybody's probes included.
func removeProbe(path, name string) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteString("-:" + name + "\n")
	return errors.Join(err, f.Close())
}
