// Package report writes results of benchmarks with what they were measured on,
// and draws them.
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

// About says where results come from.
type About struct {
	Time    string // UTC
	Commit  string // of the repository; with "-dirty" where files had been changed
	Command string
	CPU     string
	Cores   int
	Memory  int64 // bytes
	Kernel  string
	Go      string
	// the load average before the run: a machine that does something else
	// measures something else
	Load string
}

// Here describes this machine and program.
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

// Write writes v as NAME.json into dir, which is made.
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
