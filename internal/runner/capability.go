package runner

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"go.uber.org/zap"

	"stap-exporter/internal/toolchain"
)

// verdict is what a trial of kernel modules found. It is kept in Dir and holds
// for one kernel and one SystemTap.
type probeResult struct {
	Key    string    `json:"key"`
	Kernel bool      `json:"kernel"` // modules compile and load
	Reason string    `json:"reason"`
	When   time.Time `json:"when"`
}

// A failed trial is made again after a while: a full disk or a half-installed
// gcc fails it too.
const failedProbeAge = 24 * time.Hour

// chooseRuntime sets h.runtime. Where only a trial can tell, it is bpf until
// the trial in the background has ended.
func (h *Host) chooseRuntime() {
	switch h.cfg.Runtime {
	case toolchain.Kernel, toolchain.BPF:
		h.chosen(h.cfg.Runtime, "asked for")
		return
	case toolchain.Auto:
	}
	if missing := h.system.Missing(h.tools.Staprun); missing != "" {
		h.chosen(toolchain.BPF, "kernel modules need "+missing)
		return
	}
	key := h.probeKey()
	v, err := readProbeResult(h.probeFile())
	if err == nil && v.Key == key && (v.Kernel || time.Since(v.When) < failedProbeAge) {
		h.chosenBy(v)
		return
	}
	h.runtime.Store(uint32(toolchain.BPF))
	h.cfg.Logger.Info("trying kernel modules in the background")
	h.probe = h.startProbe(func(e Exit) {
		if e.Stopped {
			return // by Close: nothing was learned
		}
		v := resultOf(e)
		v.Key, v.When = key, time.Now()
		if err := writeProbeResult(h.probeFile(), v); err != nil {
			h.cfg.Logger.Warn("verdict about kernel modules not kept", zap.Error(err))
		}
		h.chosenBy(v)
	})
}

func (h *Host) chosenBy(v probeResult) {
	if v.Kernel {
		h.chosen(toolchain.Kernel, v.Reason)
		return
	}
	h.chosen(toolchain.BPF, v.Reason)
}

func (h *Host) chosen(r toolchain.Runtime, reason string) {
	h.runtime.Store(uint32(r))
	h.cfg.Logger.Info("runtime chosen", zap.Stringer("runtime", r), zap.String("reason", reason))
}

// verdictKey is kernel release, kernel version and the first line of stap
// --version.
func (h *Host) probeKey() string {
	return strings.Join([]string{h.system.Release, h.system.Version, h.tools.Version(), h.tools.RuntimeDir}, " | ")
}

func (h *Host) probeFile() string { return filepath.Join(h.cfg.Dir, "runtime.json") }

func readProbeResult(path string) (v probeResult, err error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return v, err
	}
	return v, json.Unmarshal(text, &v)
}

func writeProbeResult(path string, v probeResult) error {
	text, err := json.MarshalIndent(v, "", "\t")
	if err != nil {
		return err
	}
	tmp := path + ".new"
	return errors.Join(os.WriteFile(tmp, append(text, '\n'), 0o600), os.Rename(tmp, path))
}

// judge turns the end of a trial into a verdict.
func resultOf(e Exit) probeResult {
	switch {
	case len(e.Residue) > 0:
		return probeResult{Reason: "a trial module does not unload: " + strings.Join(e.Residue, ", ")}
	case e.Err == nil && e.Code == 0:
		return probeResult{Kernel: true, Reason: "a trial module compiled and loaded"}
	}
	why := e.Remedy
	if why == "" && len(e.Tail) > 0 {
		why = e.Tail[0]
	}
	return probeResult{Reason: fmt.Sprintf("a trial module failed: %s: %s", e, why)}
}
