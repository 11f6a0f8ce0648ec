package harness

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"stap-exporter/internal/procfile"
)

var moduleName = regexp.MustCompile(`(stap_exporter_[0-9a-f]{8}_)\w+`)

// CheckResidue checks that no process, FIFO, module or file of the exporter's
// scripts is left. It knows the instance from the log.
func (e *Exporter) CheckResidue() {
	e.T.Helper()
	module := moduleName.FindStringSubmatch(e.Log())
	if module == nil {
		return // no script ran
	}
	prefix := module[1]
	if left := ProcessesWith(prefix); len(left) > 0 {
		e.T.Errorf("processes left: %q", left)
	}
	if left := append(runFiles(prefix), glob("/tmp/stap??????/"+prefix+"*")...); len(left) > 0 {
		e.T.Errorf("files left: %q", left)
	}
	if dir := e.CacheDir(); dir != "" {
		if left := TaggedProcesses(dir); len(left) > 0 {
			e.T.Errorf("processes of runs left: %q", left)
		}
		e.checkCache(dir)
	}
}

func (e *Exporter) checkCache(dir string) {
	e.T.Helper()
	err := filepath.WalkDir(dir, func(path string, _ os.DirEntry, err error) error {
		if strings.HasSuffix(path, ".bo") || strings.Contains(path, "stap_exporter_") {
			e.T.Errorf("file left: %s", path)
		}
		return err
	})
	if err != nil {
		e.T.Error(err)
	}
}

// runFiles returns the FIFOs and the procfs directories of modules with this
// prefix.
func runFiles(prefix string) []string {
	return append(
		glob(filepath.Join(procfile.DefaultRoots().FIFO, prefix+"*")),
		glob("/proc/systemtap/"+prefix+"*")...,
	)
}

func glob(pattern string) []string {
	paths, _ := filepath.Glob(pattern)
	return paths
}

// Residue lists what an exporter's runs left: processes, FIFOs, modules,
// work directories, and the uprobes that the processes of runs had.
func Residue(cacheDir, instance string, runs []Process) (left []string) {
	for _, p := range TaggedProcesses(cacheDir) {
		left = append(left, p.String())
	}
	left = append(left, ProbesOf(runs)...)
	left = append(left, runFiles("stap_exporter_"+instance+"_")...)
	return append(left, glob(filepath.Join(cacheDir, instance, "run", "*"))...)
}

// ProbesOf returns the uprobes of the processes, as lines of uprobe_events.
func ProbesOf(runs []Process) (found []string) {
	events, _ := os.ReadFile("/sys/kernel/debug/tracing/uprobe_events")
	for _, p := range runs {
		for line := range strings.Lines(string(events)) {
			if strings.Contains(line, fmt.Sprintf("/stapprobe_%d_", p.OSPID)) {
				found = append(found, strings.TrimSpace(line))
			}
		}
	}
	return found
}
