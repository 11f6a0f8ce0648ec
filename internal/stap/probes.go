package stap

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// removeProbes removes the probe definitions that stapbpf, killed, left in tracefs: "p:uprobes/stapprobe_PID_N …" in uprobe_events and the same in kprobe_events (seen; it removes them itself when it ends in order). They count nothing any more, but would pile up with every kill. pids are those of processes that have ended. It returns what it could not remove, by name.
func (s system) removeProbes(pids []int) (left []string) {
	for _, list := range []string{"uprobe_events", "kprobe_events"} {
		path := filepath.Join(s.tracing, list)
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
			if err := removeProbe(path, name); err != nil {
				left = append(left, fmt.Sprintf("probe %s (%v)", name, err))
			}
		}
	}
	return left
}

func isProbeOf(name string, pids []int) bool {
	for _, pid := range pids {
		if strings.Contains(name, fmt.Sprintf("/stapprobe_%d_", pid)) {
			return true
		}
	}
	return false
}

// removeProbe writes to a list of probes. Opening one for writing from the start would clear it, everybody's probes included.
func removeProbe(path, name string) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteString("-:" + name + "\n")
	return errors.Join(err, f.Close())
}
