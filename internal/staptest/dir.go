package staptest

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// Dir is the directory in which stand-ins work: bin/ has stap, stapbpf, staprun
// and script.stp, kernel/ and fifo/ the files of running scripts, tapset/ and
// runtime/ what stap says it uses, modules the list of loaded modules, log a
// line for each call.
type Dir struct {
	root string
	t    *testing.T
}

// NewDir makes the directory and sets the environment for the stand-ins, whose
// misbehaviour mode describes.
func NewDir(t *testing.T, mode string) Dir {
	t.Helper()
	d := Dir{root: t.TempDir(), t: t}
	t.Setenv("STANDIN_DIR", d.root)
	t.Setenv("STANDIN_MODE", mode)
	// the race detector's processes end a second late otherwise
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

// Processes are the command lines of all processes that were started with this
// directory.
func (d Dir) Processes() []string { return ProcessesWith("environ", "STANDIN_DIR="+d.root) }

// Log returns what the stand-ins have logged.
func (d Dir) Log() string {
	text, _ := os.ReadFile(d.Path("log"))
	return string(text)
}

// LogBegins reports whether a stand-in has logged a line with this prefix.
func (d Dir) LogBegins(prefix string) bool { return strings.Contains("\n"+d.Log(), "\n"+prefix) }

// LogHas reports whether a stand-in has logged line.
func (d Dir) LogHas(line string) bool {
	return slices.Contains(strings.Split(d.Log(), "\n"), line)
}

// WaitForLog waits until a stand-in has logged line.
func (d Dir) WaitForLog(line string) {
	d.t.Helper()
	WaitFor(d.t, "log line "+line, func() bool { return d.LogHas(line) })
}

// Compiles counts the modules that the stand-in stap was called to compile.
func (d Dir) Compiles() int { return strings.Count(d.Log(), " -p4 ") }

// Release is the kernel release of a Machine.
const Release = "1.2.3-lab"

// Machine makes a directory with the files of a machine on which kernel modules
// could work: RELEASE/build/.config as in /lib/modules, status as in
// /proc/self/status, modules_disabled as in /proc/sys/kernel.
func Machine(t *testing.T) (dir string) {
	t.Helper()
	dir = t.TempDir()
	build := filepath.Join(dir, Release, "build")
	if err := os.MkdirAll(build, 0o700); err != nil {
		t.Fatal(err)
	}
	WriteFile(t, filepath.Join(build, ".config"), "")
	WriteFile(t, filepath.Join(dir, "status"), "Name:\tx\nCapEff:\t0000000000010000\n")
	WriteFile(t, filepath.Join(dir, "modules_disabled"), "0\n")
	return dir
}
