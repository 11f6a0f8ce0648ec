package staptest

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// Executable returns the path of the test binary.
func Executable() string {
	path, err := os.Executable()
	if err != nil {
		panic(err)
	}
	return path
}

// Atoi converts a number that a stand-in has logged. It panics when s is none.
func Atoi(s string) int {
	n, err := strconv.Atoi(s)
	if err != nil {
		panic(err)
	}
	return n
}

// ProcessesWith returns the processes, other than this one, whose
// /proc/PID/file contains text, each as process id and command line. It returns
// no zombies:
// these have no such files.
func ProcessesWith(file, text string) (found []string) {
	dirs, _ := filepath.Glob("/proc/[0-9]*")
	for _, dir := range dirs {
		if filepath.Base(dir) == strconv.Itoa(os.Getpid()) {
			continue
		}
		if content, err := os.ReadFile(filepath.Join(dir, file)); err == nil && bytes.Contains(content, []byte(text)) {
			cmdline, _ := os.ReadFile(filepath.Join(dir, "cmdline"))
			found = append(found, filepath.Base(dir)+" "+strings.ReplaceAll(string(cmdline), "\x00", " "))
		}
	}
	return found
}

// Ignores reports whether a process exists and ignores a signal.
func Ignores(t *testing.T, pid int, s syscall.Signal) bool {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return false
	}
	_, hex, _ := strings.Cut(string(text), "SigIgn:\t")
	var set uint64
	if _, err := fmt.Sscanf(hex, "%x", &set); err != nil {
		t.Fatal(err)
	}
	return set>>(s-1)&1 == 1
}
