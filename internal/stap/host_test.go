package stap

import (
	"bytes"
	"compress/gzip"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"stap-exporter/internal/staptest"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"
)

func TestNewHostWithoutStap(t *testing.T) {
	_, err := NewHost(Config{Stap: filepath.Join(t.TempDir(), "stap"), Dir: t.TempDir()})
	if !errors.Is(err, ErrNoStap) {
		t.Errorf("error is %v", err)
	}
	_, err = NewHost(Config{Stap: "no-such-program", Dir: t.TempDir()})
	if !errors.Is(err, ErrNoStap) {
		t.Errorf("error is %v", err)
	}
}

func TestPrivateFolder(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a", "b")
	for range 2 {
		if err := makePrivate(dir); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(dir, 0o755); err != nil { // the second time it is too open
			t.Fatal(err)
		}
	}
	if err := makePrivate(dir); err != nil {
		t.Fatal(err)
	}
	if st, err := os.Stat(dir); err != nil || st.Mode().Perm() != 0o700 {
		t.Errorf("mode is %v (%v)", st.Mode(), err)
	}
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(dir, link); err != nil {
		t.Fatal(err)
	}
	if err := makePrivate(link); err == nil {
		t.Error("a symlink is taken")
	}
}

// autoLab chooses the runtime on a machine that change has changed, waits for
// the trial, and returns what was logged as chosen.
func autoLab(
	t *testing.T,
	mode string,
	change func(*Config, *system),
) (l *lab, again func() (chosen []observer.LoggedEntry, h *Host)) {
	t.Helper()
	l = newLab(t, mode, nil)
	cfg, sys := l.host.cfg, labSystem(t)
	cfg.Runtime = Auto
	change(&cfg, &sys)
	return l, func() ([]observer.LoggedEntry, *Host) {
		core, logs := observer.New(zapcore.InfoLevel)
		cfg.Logger = zap.New(core)
		h, err := newHost(cfg, sys)
		if err != nil {
			t.Fatal(err)
		}
		if h.trial != nil {
			<-h.trial.done
		}
		h.Close()
		return logs.FilterMessage("runtime chosen").All(), h
	}
}

func TestAutoRuntimeTriesOnceAndKeepsTheVerdict(t *testing.T) {
	for mode, want := range map[string]Runtime{"": Kernel, "stap-fails": BPF} {
		l, again := autoLab(t, mode, func(*Config, *system) {})
		for i := range 2 {
			chosen, h := again()
			if len(chosen) != 1 || h.Runtime() != want {
				t.Errorf("%q: runtime %s, logged %v", mode, h.Runtime(), chosen)
			}
			if (h.trial != nil) != (i == 0) {
				t.Errorf("%q: start %d has a trial: %v", mode, i, h.trial != nil)
			}
		}
		log, _ := os.ReadFile(filepath.Join(l.dir, "log"))
		if n := strings.Count(string(log), " -p4 "); n != 1 {
			t.Errorf("%q: %d trials", mode, n)
		}
	}
}

func TestAutoRuntimeTriesAgainWithAnotherKernel(t *testing.T) {
	var sys *system
	_, again := autoLab(t, "", func(_ *Config, s *system) { sys = s })
	again()
	sys.version = "#2"
	if _, h := again(); h.trial == nil {
		t.Error("no trial")
	}
}

func TestAutoRuntimeIsBPFAtOnce(t *testing.T) {
	for want, change := range map[string]func(*Config, *system){
		"loadable modules":         func(c *Config, _ *system) { c.Modules = "/nowhere" },
		"CAP_SYS_MODULE":           func(_ *Config, s *system) { s.status = "/nowhere" },
		"kernel.modules_disabled":  func(_ *Config, s *system) { _ = os.WriteFile(s.modulesDisabled, []byte("1\n"), 0o600) },
		"headers of kernel 9.9.9x": func(_ *Config, s *system) { s.release = "9.9.9x" },
	} {
		_, again := autoLab(t, "", change)
		chosen, h := again()
		if h.trial != nil || h.Runtime() != BPF || len(chosen) != 1 ||
			!strings.Contains(chosen[0].ContextMap()["reason"].(string), want) {
			t.Errorf("%s: runtime %s, logged %v", want, h.Runtime(), chosen)
		}
	}
}

func TestCloseEndsATrialWithoutVerdict(t *testing.T) {
	l := newLab(t, "compile-hangs", nil)
	cfg := l.host.cfg
	cfg.Runtime = Auto
	h, err := newHost(cfg, labSystem(t))
	if err != nil {
		t.Fatal(err)
	}
	l.WaitForLog("compiling")
	if h.Runtime() != BPF {
		t.Errorf("runtime is %s during the trial", h.Runtime())
	}
	h.Close()
	if _, err := os.Stat(h.verdictFile()); err == nil {
		t.Error("a verdict was kept")
	}
}

func TestBPFTree(t *testing.T) {
	sys := labSystem(t)
	dir := t.TempDir()
	if tree, err := sys.bpfTree(dir); tree != "" || err != nil {
		t.Errorf("with headers: %q (%v)", tree, err)
	}
	sys.libModules = t.TempDir()
	_, err := sys.bpfTree(dir)
	if err == nil || !strings.Contains(err.Error(), "config-1.2.3-lab") {
		t.Errorf("without configuration: %v", err)
	}
	var gz bytes.Buffer
	z := gzip.NewWriter(&gz)
	_, _ = z.Write([]byte("CONFIG_FROM_GZ=y\n"))
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	for want, put := range map[string]func(){
		"CONFIG_FROM_BOOT=y\n": func() { staptest.WriteFile(t, filepath.Join(sys.boot, "config-"+sys.release), "CONFIG_FROM_BOOT=y\n") },
		"CONFIG_FROM_GZ=y\n":   func() { staptest.WriteFile(t, sys.configGz, gz.String()) },
	} {
		dir := t.TempDir()
		put()
		tree, err := sys.bpfTree(dir)
		if err != nil {
			t.Fatal(err)
		}
		if again, err := sys.bpfTree(dir); again != tree || err != nil {
			t.Errorf("the second time: %q (%v)", again, err)
		}
		if got, _ := os.ReadFile(filepath.Join(tree, ".config")); string(got) != want {
			t.Errorf("configuration is %q, want %q", got, want)
		}
		if got, _ := os.ReadFile(filepath.Join(tree, "include/config/kernel.release")); string(got) != "1.2.3-lab\n" {
			t.Errorf("release is %q", got)
		}
		if entries, _ := os.ReadDir(filepath.Dir(tree)); len(entries) != 1 {
			t.Errorf("beside the tree: %v", entries)
		}
		_ = os.Remove(sys.configGz)
	}
}
