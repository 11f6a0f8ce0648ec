//go:build vm

package guest

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// note adds a note to the scenario's row of the table.
func note(t *testing.T, format string, args ...any) {
	fmt.Printf("NOTE %s %s\n", t.Name(), strings.ReplaceAll(fmt.Sprintf(format, args...), "\n", " / "))
}

// seconds formats a time for the table.
func seconds(d time.Duration) string { return fmt.Sprintf("%.1f s", d.Seconds()) }

// pollEvery is short enough to find staprun, and long enough to leave the
// emulated CPU to the others.
const pollEvery = 20 * time.Millisecond

// eventually waits for ok, for up to three minutes, so that no scenario depends
// on the speed of the guest. more describes what was observed instead.
func eventually(t *testing.T, what string, ok func() bool, more ...func() string) {
	t.Helper()
	eventuallyIn(t, 3*time.Minute, what, ok, more...)
}

// fullCompile is how long a compile with the real make may take.
const fullCompile = 12 * time.Minute

func eventuallyIn(t *testing.T, limit time.Duration, what string, ok func() bool, more ...func() string) {
	t.Helper()
	for end := time.Now().Add(limit); !ok(); time.Sleep(pollEvery) {
		if time.Now().After(end) {
			for _, m := range more {
				what += "; " + m()
			}
			t.Fatalf("never happened: %s", what)
		}
	}
}

// text returns the script BASE.stp of test/vm/scripts.
func text(t *testing.T, base string) string {
	t.Helper()
	s, err := os.ReadFile(filepath.Join("/in/scripts", base+".stp"))
	if err != nil {
		t.Fatal(err)
	}
	return string(s)
}

// wrapper returns an executable script that runs stap with its own options on
// BASE.stp.
func wrapper(base, options string) string {
	return fmt.Sprintf("#!/bin/sh\nexec stap -v %s \"$@\" /in/scripts/%s.stp\n", options, base)
}

// tempDir creates a directory that all users can read, with a short name: stap
// accepts only letters, digits and "-/._" in TMPDIR.
func tempDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/run", "vm") //nolint:usetesting // see above
	if err == nil {
		err = os.Chmod(dir, 0o755)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// scriptDir creates a script directory.
func scriptDir(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := tempDir(t)
	for name, text := range files {
		mode := os.FileMode(0o644)
		if strings.HasPrefix(text, "#!") {
			mode = 0o755
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), mode); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// modules lists the loaded modules whose name begins with prefix.
func modules(prefix string) (names []string) {
	text, _ := os.ReadFile("/proc/modules")
	for line := range strings.Lines(string(text)) {
		if name, _, _ := strings.Cut(line, " "); strings.HasPrefix(name, prefix) {
			names = append(names, name)
		}
	}
	return names
}

func loaded(name string) bool { return slices.Contains(modules(name), name) }

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

type process struct {
	pid  int
	comm string
	line string // the command line
}

// processes lists all processes with a command line, that is, without zombies
// and kernel threads.
func processes() (list []process) {
	dirs, _ := filepath.Glob("/proc/[0-9]*")
	for _, dir := range dirs {
		line, err := os.ReadFile(dir + "/cmdline")
		if err != nil || len(line) == 0 {
			continue
		}
		comm, _ := os.ReadFile(dir + "/comm")
		pid, _ := strconv.Atoi(filepath.Base(dir))
		list = append(
			list,
			process{pid, strings.TrimSpace(string(comm)), string(bytes.ReplaceAll(line, []byte{0}, []byte{' '}))},
		)
	}
	return list
}

// parent returns the process ID of a process's parent, 0 when there is no such
// process.
func parent(pid int) (parent int) {
	stat, _ := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	// The name before the last parenthesis may contain anything.
	_, _ = fmt.Sscanf(string(stat[bytes.LastIndexByte(stat, ')')+1:]), " %c %d", new(rune), &parent)
	return parent
}

// find returns a process with the name comm and word in its command line, or 0.
func find(comm, word string) int {
	for _, p := range processes() {
		if p.comm == comm && strings.Contains(p.line, word) {
			return p.pid
		}
	}
	return 0
}
