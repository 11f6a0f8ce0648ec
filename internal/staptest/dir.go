package staptest

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Dir is the directory in which stand-ins work. It contains
//   - bin/: stap, stapbpf, staprun and script.stp, all stand-ins,
//   - kernel/, fifo/: the procfs files and FIFOs of running scripts,
//   - tapset/, runtime/: the directories that stap --help names,
//   - modules: the list of loaded modules,
//   - log: a line for each call, and what stand-ins log beside that.
type Dir struct {
	root string
	t    *testing.T
}

// NewDir makes the directory for one test and sets the environment of the
// stand-ins. mode selects their faults, see standIn.
func NewDir(t *testing.T, mode string) Dir {
	t.Helper()
	d := Dir{root: t.TempDir(), t: t}
	t.Setenv("STANDIN_DIR", d.root)
	t.Setenv("STANDIN_MODE", mode)
	// Otherwise a process under the race detector takes a second to exit.
	t.Setenv("GORACE", "atexit_sleep_ms=0")
	for _, name := range []string{"bin", "fifo", "kernel", "tapset", "runtime"} {
		if err := os.Mkdir(d.Path(name), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"stap", "stapbpf", "staprun", "script.stp"} {
		if err := os.Symlink(Executable(), d.Path("bin", name)); err != nil {
			t.Fatal(err)
		}
	}
	WriteFile(t, d.Path("modules"), "other 16384 0 - Live 0x0\n")
	return d
}

// String returns the path of the directory.
func (d Dir) String() string { return d.root }

// Path joins elements to the directory.
func (d Dir) Path(elements ...string) string {
	return filepath.Join(append([]string{d.root}, elements...)...)
}

// Processes returns the process ids and command lines of all processes that
// were started with this directory in the environment.
func (d Dir) Processes() []string { return ProcessesWith("environ", "STANDIN_DIR="+d.root) }

// Log returns what the stand-ins have logged.
func (d Dir) Log() string {
	text, _ := os.ReadFile(d.Path("log"))
	return string(text)
}

// LogBegins reports whether a line of the log begins with prefix.
func (d Dir) LogBegins(prefix string) bool { return strings.Contains("\n"+d.Log(), "\n"+prefix) }

// LogHas reports whether the log contains the line.
func (d Dir) LogHas(line string) bool { return logHas(d.root, line) }

// WaitForLog waits until the log contains the line.
func (d Dir) WaitForLog(line string) {
	d.t.Helper()
	WaitFor(d.t, "log line "+line, func() bool { return d.LogHas(line) })
}

// Compiles returns how often stap was called to compile a module.
func (d Dir) Compiles() int { return strings.Count(d.Log(), " -p4 ") }
