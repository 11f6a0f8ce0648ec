package harness

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
)

// Descendants returns the command lines of all processes below pid, pid
// excluded.
func Descendants(pid int) (lines []string) {
	children := map[int][]int{}
	stats, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, stat := range stats {
		text, err := os.ReadFile(stat)
		if err != nil {
			continue
		}
		// The command's name is in parentheses and may hold anything.
		fields := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:]))
		parent, _ := strconv.Atoi(fields[1])
		id, _ := strconv.Atoi(filepath.Base(filepath.Dir(stat)))
		children[parent] = append(children[parent], id)
	}
	var walk func(int)
	walk = func(p int) {
		for _, c := range children[p] {
			line, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", c))
			lines = append(lines, strings.TrimSpace(strings.ReplaceAll(string(line), "\x00", " ")))
			walk(c)
		}
	}
	walk(pid)
	return lines
}

// ProcessesWith returns the command lines of all processes that hold the word.
func ProcessesWith(word string) (lines []string) {
	files, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, f := range files {
		if text, err := os.ReadFile(
			f,
		); err == nil && bytes.Contains(text, []byte(word)) &&
			filepath.Base(filepath.Dir(f)) != strconv.Itoa(os.Getpid()) {
			lines = append(lines, strings.ReplaceAll(string(text), "\x00", " "))
		}
	}
	return lines
}

// CheckResidue checks that neither a process, a FIFO, a module nor a file of the
// exporter's scripts is left.
func (e *Exporter) CheckResidue() {
	e.T.Helper()
	modules := regexp.MustCompile(`stap_exporter_[0-9a-f]{8}_\w+`).FindAllString(e.Log(), -1)
	instance := ""
	for _, m := range modules {
		instance = m[:len("stap_exporter_01234567")]
	}
	if instance == "" {
		return
	}
	if lines := ProcessesWith(instance); len(lines) > 0 {
		e.T.Errorf("processes left: %q", lines)
	}
	for _, pattern := range []string{"/var/tmp/systemtap-root/" + instance + "*", "/proc/systemtap/" + instance + "*", "/tmp/stap??????/" + instance + "*"} {
		if left, _ := filepath.Glob(pattern); len(left) > 0 {
			e.T.Errorf("left: %q", left)
		}
	}
	for _, flag := range e.Cmd.Args {
		if dir, ok := strings.CutPrefix(flag, "--cache.dir="); ok {
			err := filepath.WalkDir(dir, func(path string, _ os.DirEntry, err error) error {
				if strings.HasSuffix(path, ".bo") || strings.Contains(path, "stap_exporter_") {
					e.T.Errorf("left: %s", path)
				}
				return err
			})
			if err != nil {
				e.T.Error(err)
			}
		}
	}
}

// TaggedProcesses returns the processes that carry the mark of a run below dir, as "PID
// command line".
func TaggedProcesses(dir string) (found []string) {
	files, _ := filepath.Glob("/proc/[0-9]*/environ")
	for _, f := range files {
		if text, err := os.ReadFile(f); err == nil && bytes.Contains(text, []byte("STAP_EXPORTER_RUN="+dir+"/")) {
			line, _ := os.ReadFile(filepath.Join(filepath.Dir(f), "cmdline"))
			found = append(found, filepath.Base(filepath.Dir(f))+" "+strings.ReplaceAll(string(line), "\x00", " "))
		}
	}
	return found
}

// ProbesOf returns the uprobes of the marked processes given.
func ProbesOf(marked []string) (found []string) {
	events, _ := os.ReadFile("/sys/kernel/debug/tracing/uprobe_events")
	for _, m := range marked {
		pid, _, _ := strings.Cut(m, " ")
		for line := range strings.Lines(string(events)) {
			if strings.Contains(line, "/stapprobe_"+pid+"_") {
				found = append(found, strings.TrimSpace(line))
			}
		}
	}
	return found
}

// Residue lists what is left of an exporter's runs: processes, FIFOs, work
// folders, probes of the processes given.
func Residue(cache, instance string, marked []string) []string {
	left := append(TaggedProcesses(cache), ProbesOf(marked)...)
	for _, pattern := range []string{"/var/tmp/systemtap-root/stap_exporter_" + instance + "_*", "/proc/systemtap/stap_exporter_" + instance + "_*", cache + "/" + instance + "/run/*"} {
		paths, _ := filepath.Glob(pattern)
		left = append(left, paths...)
	}
	return left
}

// GuardianOf returns the process id of an exporter's guardian, 0 when there is
// none.
func GuardianOf(osPID int) int {
	files, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, f := range files {
		line, _ := os.ReadFile(f)
		stat, err := os.ReadFile(filepath.Join(filepath.Dir(f), "stat"))
		if err != nil || !bytes.Contains(line, []byte("\x00"+guardArg+"\x00")) {
			continue
		}
		fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
		if fields[1] == strconv.Itoa(osPID) {
			id, _ := strconv.Atoi(filepath.Base(filepath.Dir(f)))
			return id
		}
	}
	return 0
}

// guardArg is the first argument of a guardian. It is internal/app's, whose
// tests import this package.
const guardArg = "__guard"
