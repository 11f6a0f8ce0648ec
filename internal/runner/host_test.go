package runner

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"stap-exporter/internal/toolchain"
)

func TestNewHostWithoutStap(t *testing.T) {
	_, err := NewHost(Config{Stap: filepath.Join(t.TempDir(), "stap"), Dir: t.TempDir()})
	if !errors.Is(err, toolchain.ErrNoStap) {
		t.Errorf("error is %v", err)
	}
	_, err = NewHost(Config{Stap: "no-such-program", Dir: t.TempDir()})
	if !errors.Is(err, toolchain.ErrNoStap) {
		t.Errorf("error is %v", err)
	}
}

// autoLab chooses the runtime on a machine after change, waits for the probe,
// and returns what was logged as chosen.
func autoLab(
	t *testing.T,
	mode string,
	change func(*Config, *toolchain.System),
) (l *lab, again func() (chosen []observer.LoggedEntry, h *Host)) {
	t.Helper()
	l = newLab(t, mode, nil)
	cfg, sys := l.host.cfg, labSystem(t, l.Path("modules"))
	cfg.Runtime = toolchain.Auto
	change(&cfg, &sys)
	return l, func() ([]observer.LoggedEntry, *Host) {
		core, logs := observer.New(zapcore.InfoLevel)
		cfg.Logger = zap.New(core)
		h, err := newHost(cfg, sys)
		if err != nil {
			t.Fatal(err)
		}
		if h.probe != nil {
			<-h.probe.done
		}
		h.Close()
		return logs.FilterMessage("runtime chosen").All(), h
	}
}

func TestAutoRuntimeProbesOnceAndKeepsTheResult(t *testing.T) {
	slow(t)
	for mode, want := range map[string]toolchain.Runtime{"": toolchain.Kernel, "stap-fails": toolchain.BPF} {
		l, again := autoLab(t, mode, func(*Config, *toolchain.System) {})
		for i := range 2 {
			chosen, h := again()
			if len(chosen) != 1 || h.Runtime() != want {
				t.Errorf("%q: runtime %s, logged %v", mode, h.Runtime(), chosen)
			}
			if (h.probe != nil) != (i == 0) {
				t.Errorf("%q: start %d has a probe: %v", mode, i, h.probe != nil)
			}
		}
		log, _ := os.ReadFile(filepath.Join(l.dir, "log"))
		if n := strings.Count(string(log), " -p4 "); n != 1 {
			t.Errorf("%q: %d probes", mode, n)
		}
	}
}

func TestAutoRuntimeProbesAgainWithAnotherKernel(t *testing.T) {
	slow(t)
	var sys *toolchain.System
	_, again := autoLab(t, "", func(_ *Config, s *toolchain.System) { sys = s })
	again()
	sys.Version = "#2"
	if _, h := again(); h.probe == nil {
		t.Error("no probe")
	}
}

func TestAutoRuntimeIsBPFAtOnce(t *testing.T) {
	for want, change := range map[string]func(*Config, *toolchain.System){
		"loadable modules": func(_ *Config, s *toolchain.System) { s.Modules = "/nowhere" },
		"CAP_SYS_MODULE":   func(_ *Config, s *toolchain.System) { s.Status = "/nowhere" },
		"kernel.modules_disabled": func(_ *Config, s *toolchain.System) {
			_ = os.WriteFile(s.ModulesDisabled, []byte("1\n"), 0o600)
		},
		"headers of kernel 9.9.9x": func(_ *Config, s *toolchain.System) { s.Release = "9.9.9x" },
	} {
		_, again := autoLab(t, "", change)
		chosen, h := again()
		if h.probe != nil || h.Runtime() != toolchain.BPF || len(chosen) != 1 ||
			!strings.Contains(chosen[0].ContextMap()["reason"].(string), want) {
			t.Errorf("%s: runtime %s, logged %v", want, h.Runtime(), chosen)
		}
	}
}

func TestCloseEndsAProbeWithoutResult(t *testing.T) {
	l := newLab(t, "compile-hangs", nil)
	cfg := l.host.cfg
	cfg.Runtime = toolchain.Auto
	h, err := newHost(cfg, labSystem(t, l.Path("modules")))
	if err != nil {
		t.Fatal(err)
	}
	l.WaitForLog("compiling")
	if h.Runtime() != toolchain.BPF {
		t.Errorf("runtime is %s during the probe", h.Runtime())
	}
	h.Close()
	if _, err := os.Stat(h.probeFile()); err == nil {
		t.Error("a result was kept")
	}
}
