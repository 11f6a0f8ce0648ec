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

// probeResult is what a capability probe has found. It is kept in Dir and holds
// for one kernel and one SystemTap.
type probeResult struct {
	Key    string    `json:"key"`
	Kernel bool      `json:"kernel"` // kernel modules compile and load
	Reason string    `json:"reason"`
	When   time.Time `json:"when"`
}

// failedProbeAge is when a failed probe is repeated: a full disk or a
// half-installed gcc fails it, too.
const failedProbeAge = 24 * time.Hour

// chooseRuntime sets h.runtime. Where only a capability probe can tell, it is
// bpf until the probe, which runs in the background, has ended.
func (h *Host) chooseRuntime() {
	switch h.cfg.Runtime {
	case toolchain.Kernel, toolchain.BPF:
		h.choose(h.cfg.Runtime, "configured")
		return
	case toolchain.Auto:
	}
	if missing := h.system.Missing(h.tools.Staprun); missing != "" {
		h.choose(toolchain.BPF, "kernel modules need "+missing)
		return
	}
	key := h.probeKey()
	last, err := readProbeResult(h.probeFile())
	if err == nil && last.Key == key && (last.Kernel || time.Since(last.When) < failedProbeAge) {
		h.chooseBy(last)
		return
	}
	h.runtime.Store(uint32(toolchain.BPF))
	h.cfg.Logger.Info("capability probe of kernel modules started")
	h.probe = h.startProbe(func(e Exit) {
		if e.Stopped {
			return // by Close: nothing was learned
		}
		result := resultOf(e)
		result.Key, result.When = key, time.Now()
		if err := writeProbeResult(h.probeFile(), result); err != nil {
			h.cfg.Logger.Warn("cannot keep the result of the capability probe", zap.Error(err))
		}
		h.chooseBy(result)
	})
}

func (h *Host) chooseBy(p probeResult) {
	if p.Kernel {
		h.choose(toolchain.Kernel, p.Reason)
		return
	}
	h.choose(toolchain.BPF, p.Reason)
}

func (h *Host) choose(r toolchain.Runtime, reason string) {
	h.runtime.Store(uint32(r))
	h.cfg.Logger.Info("runtime chosen", zap.Stringer("runtime", r), zap.String("reason", reason))
}

// probeKey holds what the result of a probe depends on.
func (h *Host) probeKey() string {
	return strings.Join([]string{h.system.Release, h.system.Version, h.tools.Version(), h.tools.RuntimeDir}, " | ")
}

func (h *Host) probeFile() string { return filepath.Join(h.cfg.Dir, "runtime.json") }

func readProbeResult(path string) (p probeResult, err error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return p, err
	}
	return p, json.Unmarshal(text, &p)
}

func writeProbeResult(path string, p probeResult) error {
	text, err := json.MarshalIndent(p, "", "\t")
	if err != nil {
		return err
	}
	tmp := path + ".new"
	return errors.Join(os.WriteFile(tmp, append(text, '\n'), 0o600), os.Rename(tmp, path))
}

// resultOf is the result of a probe that has ended.
func resultOf(e Exit) probeResult {
	switch {
	case len(e.Residue) > 0:
		return probeResult{Reason: "a probe module does not unload: " + strings.Join(e.Residue, ", ")}
	case e.Err == nil && e.Code == 0:
		return probeResult{Kernel: true, Reason: "a probe module compiled and loaded"}
	}
	why := e.Remedy
	if why == "" && len(e.Tail) > 0 {
		why = e.Tail[0]
	}
	return probeResult{Reason: fmt.Sprintf("a probe module failed: %s: %s", e, why)}
}
