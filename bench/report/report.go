// Package report writes results of benchmarks, with a description of the
// machine and the program, and draws plots.
package report

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// About describes the origin of results.
type About struct {
	Time    string // UTC
	Commit  string // of the repository; "-dirty" means uncommitted changes
	Command string
	CPU     string
	Cores   int
	Memory  int64 // bytes
	Kernel  string
	Go      string
	Load    string // load average before the run; it should be near 0
}

// Here returns the description of this machine and program.
func Here() About {
	a := About{
		Time:    time.Now().UTC().Format(time.RFC3339),
		Cores:   runtime.NumCPU(),
		Go:      runtime.Version(),
		Command: strings.Join(append([]string{filepath.Base(os.Args[0])}, os.Args[1:]...), " "),
	}
	if out, err := exec.Command("git", "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*").
		Output(); err == nil {
		a.Commit = strings.TrimSpace(string(out))
	}
	if info, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		for line := range strings.Lines(string(info)) {
			if key, value, _ := strings.Cut(line, ":"); strings.TrimSpace(key) == "model name" {
				a.CPU = strings.TrimSpace(value)
				break
			}
		}
	}
	if load, err := os.ReadFile("/proc/loadavg"); err == nil {
		a.Load = strings.Join(strings.Fields(string(load))[:3], " ")
	}
	var si unix.Sysinfo_t
	if unix.Sysinfo(&si) == nil {
		a.Memory = int64(si.Totalram) * int64(si.Unit)
	}
	var u unix.Utsname
	if unix.Uname(&u) == nil {
		a.Kernel = string(bytes.TrimRight(u.Release[:], "\x00"))
	}
	return a
}

// Write writes v to NAME.json in dir, which it creates if it is missing.
func Write(dir, name string, v any) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	text, err := json.MarshalIndent(v, "", "\t")
	if err != nil {
		return fmt.Errorf("write results: %w", err)
	}
	return os.WriteFile(filepath.Join(dir, name+".json"), append(text, '\n'), 0o644)
}
