package stap

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"go.uber.org/zap"
)

// verdict is what a trial of kernel modules found. It is kept in Dir and holds
// for one kernel and one SystemTap.
type verdict struct {
	Key    string    `json:"key"`
	Kernel bool      `json:"kernel"` // modules compile and load
	Reason string    `json:"reason"`
	When   time.Time `json:"when"`
}

// A failed trial is made again after a while: a full disk or a half-installed
// gcc fails it too.
const failedVerdictAge = 24 * time.Hour

// chooseRuntime sets h.runtime. Where only a trial can tell, it is bpf until
// the trial in the background has ended.
func (h *Host) chooseRuntime() {
	switch h.cfg.Runtime {
	case Kernel, BPF:
		h.chosen(h.cfg.Runtime, "asked for")
		return
	case Auto:
	}
	if missing := h.missing(); missing != "" {
		h.chosen(BPF, "kernel modules need "+missing)
		return
	}
	key := h.verdictKey()
	v, err := readVerdict(h.verdictFile())
	if err == nil && v.Key == key && (v.Kernel || time.Since(v.When) < failedVerdictAge) {
		h.chosenBy(v)
		return
	}
	h.runtime.Store(uint32(BPF))
	h.cfg.Logger.Info("trying kernel modules in the background")
	h.trial = h.startTrial(func(e Exit) {
		if e.Stopped {
			return // by Close: nothing was learned
		}
		v := judge(e)
		v.Key, v.When = key, time.Now()
		if err := writeVerdict(h.verdictFile(), v); err != nil {
			h.cfg.Logger.Warn("verdict about kernel modules not kept", zap.Error(err))
		}
		h.chosenBy(v)
	})
}

func (h *Host) chosenBy(v verdict) {
	if v.Kernel {
		h.chosen(Kernel, v.Reason)
		return
	}
	h.chosen(BPF, v.Reason)
}

func (h *Host) chosen(r Runtime, reason string) {
	h.runtime.Store(uint32(r))
	h.cfg.Logger.Info("runtime chosen", zap.Stringer("runtime", r), zap.String("reason", reason))
}

// The numbers of capabilities, see capabilities(7).
const (
	capSysModule   = 16
	capSysResource = 24
)

// missing names the first thing without which kernel modules cannot work here;
// "" when a trial has to tell.
func (h *Host) missing() string {
	disabled, _ := os.ReadFile(h.system.modulesDisabled)
	_, noModules := os.Stat(h.cfg.Modules)
	_, noGCC := exec.LookPath("gcc")
	_, noMake := exec.LookPath("make")
	switch {
	case noModules != nil:
		return "a kernel with loadable modules"
	case !hasCapability(h.system.status, capSysModule):
		return "the capability CAP_SYS_MODULE"
	case strings.TrimSpace(string(disabled)) == "1":
		return "kernel.modules_disabled to be 0"
	case !h.system.hasBuildTree():
		return "the headers of kernel " + h.system.release
	case noGCC != nil:
		return "gcc"
	case noMake != nil:
		return "make"
	case h.tools.staprun == "":
		return "staprun"
	default:
		return ""
	}
}

// hasCapability looks into CapEff of a /proc/PID/status file.
func hasCapability(status string, bit uint) bool {
	text, err := os.ReadFile(status)
	if err != nil {
		return false
	}
	for line := range strings.Lines(string(text)) {
		if hex, ok := strings.CutPrefix(line, "CapEff:"); ok {
			set, err := strconv.ParseUint(strings.TrimSpace(hex), 16, 64)
			return err == nil && set>>bit&1 == 1
		}
	}
	return false
}

// verdictKey is kernel release, kernel version and the first line of stap
// --version.
func (h *Host) verdictKey() string {
	return strings.Join([]string{h.system.release, h.system.version, h.stapVersion(), h.tools.runtime}, " | ")
}

// stapVersion is the first line of stap --version; without an answer it is
// empty.
func (h *Host) stapVersion() string {
	ctx, cancel := context.WithTimeout(context.Background(), toolWait)
	defer cancel()
	out, _ := tool(ctx, h.tools.stap, "--version")
	first, _, _ := strings.Cut(out, "\n")
	return clean(first)
}

func (h *Host) verdictFile() string { return filepath.Join(h.cfg.Dir, "runtime.json") }

func readVerdict(path string) (v verdict, err error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return v, err
	}
	return v, json.Unmarshal(text, &v)
}

func writeVerdict(path string, v verdict) error {
	text, err := json.MarshalIndent(v, "", "\t")
	if err != nil {
		return err
	}
	tmp := path + ".new"
	return errors.Join(os.WriteFile(tmp, append(text, '\n'), 0o600), os.Rename(tmp, path))
}

// judge turns the end of a trial into a verdict.
func judge(e Exit) verdict {
	switch {
	case len(e.Residue) > 0:
		return verdict{Reason: "a trial module does not unload: " + strings.Join(e.Residue, ", ")}
	case e.Err == nil && e.Code == 0:
		return verdict{Kernel: true, Reason: "a trial module compiled and loaded"}
	}
	why := e.Remedy
	if why == "" && len(e.Tail) > 0 {
		why = e.Tail[0]
	}
	return verdict{Reason: fmt.Sprintf("a trial module failed: %s: %s", e, why)}
}
