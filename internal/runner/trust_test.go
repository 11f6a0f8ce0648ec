package runner

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"stap-exporter/internal/script"
	"stap-exporter/internal/staptest"
	"stap-exporter/internal/toolchain"
	"stap-exporter/internal/trust"
)

// stranger is a user id that the machine does not use.
const stranger = 54321

func needRoot(t *testing.T) {
	t.Helper()
	if testing.Short() {
		t.Skip("needs root, to change the owner of files")
	}
}

func give(t *testing.T, path string) {
	t.Helper()
	needRoot(t)
	if err := os.Lchown(path, stranger, 0); err != nil {
		t.Fatal(err)
	}
}

// untrusted fails the test unless the run was not started for this reason.
func (l *lab) untrusted(s script.Script, want string) {
	l.t.Helper()
	before := l.Log()
	exit := l.start(s).exited()
	if !errors.Is(exit.Err, trust.ErrUntrusted) || !strings.Contains(exit.Err.Error(), want) {
		l.t.Errorf("got %v, want %s", exit.Err, want)
	}
	if started := strings.TrimPrefix(l.Log(), before); started != "" {
		l.t.Errorf("started: %s", started)
	}
	l.clean(s.Module)
}

// No program of a SystemTap runs that others can change.
func TestNewHostUntrustedStap(t *testing.T) {
	l := newLab(t, "", nil)
	give(t, l.Path("bin"))
	_, err := newHost(l.host.cfg, labSystem(t, l.Path("modules")))
	if !errors.Is(err, trust.ErrUntrusted) || !strings.Contains(err.Error(), `bin" is owned by user 54321`) {
		t.Errorf("got %v", err)
	}
	if log := l.Log(); log != "" {
		t.Errorf("started: %s", log)
	}
	cfg := l.host.cfg
	cfg.AllowInsecure = true
	h, err := newHost(cfg, labSystem(t, l.Path("modules")))
	if err != nil {
		t.Fatal(err)
	}
	h.Close()
}

// SystemTap can change while the exporter runs. Every run checks it.
func TestStartUntrustedTools(t *testing.T) {
	l := newLab(t, "", func(cfg *Config) { cfg.StapRuntime = cfg.Stap + "-runtime" })
	runtime := l.Path("bin", "stap-runtime")
	if err := os.Mkdir(runtime, 0o755); err != nil {
		t.Fatal(err)
	}
	staptest.WriteFile(t, filepath.Join(runtime, "runtime.h"), "")
	give(t, filepath.Join(runtime, "runtime.h"))
	l.untrusted(l.text("m1", "text"), `runtime.h" is owned by user 54321`)
	s := l.text("m2", "text")
	if exit := l.host.Check(s, false); !errors.Is(exit.Err, trust.ErrUntrusted) {
		t.Errorf("check: got %v", exit.Err)
	}
	if log := l.Log(); log != "" {
		t.Errorf("started: %s", log)
	}
}

// A script that was good when it was scanned is checked again, with what its
// options name.
func TestStartUntrustedScript(t *testing.T) {
	l := newLab(t, "", nil)
	s := l.text("m1", "text")
	s.Options.Stap = []string{"-I", l.Path("tapset")}
	give(t, l.Path("tapset"))
	l.untrusted(s, `option -I `+l.Path("tapset")+`: not safe to run: "`)
	other := l.text("m2", "text")
	give(t, other.Path)
	l.untrusted(other, `m2.stp" is owned by user 54321`)
}

// fifoLab has a directory for FIFOs in one like /var/tmp, and it is missing.
func fifoLab(t *testing.T, change func(*Config)) (l *lab, root string) {
	t.Helper()
	l = newLab(t, "", func(cfg *Config) {
		cfg.Roots.FIFO = filepath.Join(filepath.Dir(cfg.Roots.FIFO), "tmp", "systemtap-root")
		if change != nil {
			change(cfg)
		}
	})
	if err := errors.Join(os.Mkdir(l.Path("tmp"), 0o755), os.Chmod(l.Path("tmp"), 0o777|fs.ModeSticky)); err != nil {
		t.Fatal(err)
	}
	return l, l.host.cfg.Roots.FIFO
}

// stapbpf takes any directory for its FIFOs that is there, so it is checked
// before, and made where it is missing.
func TestFIFORoot(t *testing.T) {
	needRoot(t)
	const remedy = ", or remove that directory: it is made again"
	for name, c := range map[string]struct {
		change func(root string) error
		want   string
	}{
		"of another user": {
			func(root string) error { return errors.Join(os.Mkdir(root, 0o700), os.Chown(root, stranger, 0)) },
			`systemtap-root" is owned by user 54321`,
		},
		"symlink of another user": {
			func(root string) error { return errors.Join(os.Symlink("/root", root), os.Lchown(root, stranger, 0)) },
			`systemtap-root" is owned by user 54321`,
		},
		"for all, as stapbpf 5.1 makes it": {
			func(root string) error { return errors.Join(os.Mkdir(root, 0o700), os.Chmod(root, 0o777)) },
			`systemtap-root" is writable by all users`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			l, root := fifoLab(t, nil)
			if err := c.change(root); err != nil {
				t.Fatal(err)
			}
			for _, s := range []script.Script{
				l.text("m1", "text"),
				{Name: "script.stp", Path: l.Path("bin", "script.stp"), Module: "m2", Executable: true},
			} {
				l.untrusted(s, c.want)
			}
			exit := l.start(l.text("m3", "text")).exited()
			if !strings.HasSuffix(exit.Err.Error(), remedy) {
				t.Errorf("no remedy: %v", exit.Err)
			}
		})
	}
}

func TestFIFORootIsMade(t *testing.T) {
	l, root := fifoLab(t, nil)
	// it will not be ready: the stand-in has a directory of its own
	r := l.start(l.text("m1", "text"))
	staptest.WaitFor(t, "the directory for FIFOs", func() bool {
		_, err := os.Lstat(root)
		return err == nil
	})
	r.Kill()
	r.exited()
	info, err := os.Lstat(root)
	if err != nil || info.Mode() != fs.ModeDir|0o700 {
		t.Errorf("got %v, %v", info, err)
	}
	// Kernel modules need none.
	l, root = fifoLab(t, func(cfg *Config) { cfg.Runtime = toolchain.Kernel })
	r = l.start(l.text("m1", "text"))
	r.ready()
	r.Kill()
	r.exited()
	if _, err := os.Lstat(root); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("made for a kernel module: %v", err)
	}
}

// Where any user can replace /var/tmp itself, the remedy is another.
func TestFIFORootInOpenDirectory(t *testing.T) {
	l, root := fifoLab(t, nil)
	if err := os.Chmod(l.Path("tmp"), 0o777); err != nil {
		t.Fatal(err)
	}
	exit := l.start(l.text("m1", "text")).exited()
	if !errors.Is(exit.Err, trust.ErrUntrusted) ||
		!strings.HasSuffix(exit.Err.Error(), ", or start with --scripts.allow-insecure") {
		t.Errorf("got %v", exit.Err)
	}
	if _, err := os.Lstat(root); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("made: %v", err)
	}
}
