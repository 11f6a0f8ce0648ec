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

// note puts a few words into the scenario's row of the table.
func note(t *testing.T, format string, args ...any) {
	fmt.Printf("NOTE %s %s\n", t.Name(), strings.ReplaceAll(fmt.Sprintf(format, args...), "\n", " / "))
}

// seconds is how times are shown.
func seconds(d time.Duration) string { return fmt.Sprintf("%.1f s", d.Seconds()) }

// pollEvery is short enough to catch staprun, and long enough to leave the
// emulated processor to others.
const pollEvery = 20 * time.Millisecond

// eventually waits for ok, for three minutes if it must: nothing here depends
// on how fast the guest is. more says what was seen when it never came.
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

// text returns the script BASE.stp of this bed.
func text(t *testing.T, base string) string {
	t.Helper()
	s, err := os.ReadFile(filepath.Join("/in/scripts", base+".stp"))
	if err != nil {
		t.Fatal(err)
	}
	return string(s)
}

// wrapper is an executable script that runs stap with options of its own on the
// bed's script BASE.stp.
func wrapper(base, options string) string {
	return fmt.Sprintf("#!/bin/sh\nexec stap -v %s \"$@\" /in/scripts/%s.stp\n", options, base)
}

// tempDir is one with a short, plain name, which everybody may read: stap takes
// no other characters than letters, digits and "-/._" in TMPDIR.
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

// folder makes a scripts folder.
func folder(t *testing.T, files map[string]string) string {
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

// processes lists all that have a command line: neither zombies nor the
// kernel's own.
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

// parent returns the process id of a process's parent, 0 when it is gone.
func parent(pid int) (parent int) {
	stat, _ := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	// The name before the last parenthesis may hold anything.
	_, _ = fmt.Sscanf(string(stat[bytes.LastIndexByte(stat, ')')+1:]), " %c %d", new(rune), &parent)
	return parent
}

// find returns the process called comm that has word in its command line, or 0.
func find(comm, word string) int {
	for _, p := range processes() {
		if p.comm == comm && strings.Contains(p.line, word) {
			return p.pid
		}
	}
	return 0
}
