package harness

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// guardArg is the first argument of a guardian. It is internal/app's GuardArg;
// the tests of that package import this one.
const guardArg = "__guard"

// Process is a process of the process table.
type Process struct {
	OSPID int
	Line  string // command line, arguments separated by blanks
}

// String returns the process id and the command line.
func (p Process) String() string { return fmt.Sprintf("%d %s", p.OSPID, p.Line) }

// processesWith returns the processes whose file in /proc contains the word.
func processesWith(file, word string) (found []Process) {
	files, _ := filepath.Glob("/proc/[0-9]*/" + file)
	for _, f := range files {
		osPID, _ := strconv.Atoi(filepath.Base(filepath.Dir(f)))
		text, err := os.ReadFile(f)
		if err == nil && bytes.Contains(text, []byte(word)) && osPID != os.Getpid() {
			found = append(found, Process{osPID, commandLine(osPID)})
		}
	}
	return found
}

func commandLine(osPID int) string {
	line, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", osPID))
	return strings.TrimSpace(strings.ReplaceAll(string(line), "\x00", " "))
}

// ProcessesWith returns the processes, except this one, whose command line
// contains the word. In it arguments end in a NUL byte.
func ProcessesWith(word string) []Process { return processesWith("cmdline", word) }

// TaggedProcesses returns the processes of all runs whose exporter has this
// cache directory: they have a run tag in their environment.
func TaggedProcesses(cacheDir string) []Process {
	return processesWith("environ", "STAP_EXPORTER_RUN="+cacheDir+"/")
}

// StatFields returns the fields of /proc/PID/stat after the command's name: the
// state, the parent and so on, see proc(5). It is empty where there is no such
// process.
func StatFields(osPID int) []string {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", osPID))
	if err != nil {
		return nil
	}
	// The name is in parentheses and may contain anything.
	return strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:]))
}

func parentOf(osPID int) int {
	fields := StatFields(osPID)
	if len(fields) < 2 {
		return 0
	}
	parent, _ := strconv.Atoi(fields[1])
	return parent
}

// Descendants returns the processes below a process.
func Descendants(osPID int) (found []Process) {
	children := map[int][]int{}
	dirs, _ := filepath.Glob("/proc/[0-9]*")
	for _, dir := range dirs {
		id, _ := strconv.Atoi(filepath.Base(dir))
		parent := parentOf(id)
		children[parent] = append(children[parent], id)
	}
	var walk func(int)
	walk = func(parent int) {
		for _, child := range children[parent] {
			found = append(found, Process{child, commandLine(child)})
			walk(child)
		}
	}
	walk(osPID)
	return found
}

// GuardianOf returns the process id of an exporter's guardian, 0 when it has
// none.
func GuardianOf(exporter int) int {
	for _, p := range ProcessesWith("\x00" + guardArg + "\x00") {
		if parentOf(p.OSPID) == exporter {
			return p.OSPID
		}
	}
	return 0
}
