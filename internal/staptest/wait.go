// Package staptest supports tests: a stand-in for SystemTap's executables, the
// directory that it works in, and waiting for conditions. Only tests import it,
// and it imports no other package of this module, so that the tests of every
// package can.
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
	"time"
)

// Patience bounds every wait of the tests: reached only when something is
// broken.
const Patience = 30 * time.Second

// Pause is the time between two checks of a condition.
func Pause() { time.Sleep(2 * time.Millisecond) }

// WaitFor fails the test when the condition does not become true.
func WaitFor(t *testing.T, what string, condition func() bool) {
	t.Helper()
	for end := time.Now().Add(Patience); !condition(); {
		if time.Now().After(end) {
			t.Fatalf("%s: not within %v", what, Patience)
		}
		Pause()
	}
}

// WriteFile writes a file that only this user can read.
func WriteFile(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// Executable returns the path of the test binary.
func Executable() string {
	path, err := os.Executable()
	if err != nil {
		panic(err)
	}
	return path
}

// Atoi converts a number that the caller knows to be one.
func Atoi(s string) int {
	n, err := strconv.Atoi(s)
	if err != nil {
		panic(err)
	}
	return n
}

// ProcessesWith lists processes, other than this one, whose file in /proc
// contains text, each as its process id and its command line. Zombies have no
// such files.
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

// Ignores reports whether a process ignores a signal.
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
