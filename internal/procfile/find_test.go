package procfile

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

const module = "stap_exporter_0"

// testRoots returns roots below a directory of the test. They do not exist yet.
func testRoots(t *testing.T) Roots {
	dir := t.TempDir()
	return Roots{Kernel: filepath.Join(dir, "kernel"), FIFO: filepath.Join(dir, "fifo")}
}

func makeKernelFile(t *testing.T, r Roots) {
	t.Helper()
	dir := filepath.Join(r.Kernel, module)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, fileName), nil)
}

func makeFIFO(t *testing.T, r Roots) {
	t.Helper()
	dir := filepath.Join(r.FIFO, module)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mkfifo(filepath.Join(dir, fileName), 0o444); err != nil {
		t.Fatal(err)
	}
}

func TestFind(t *testing.T) {
	r := testRoots(t)
	for _, step := range []struct {
		name string
		make func()
	}{
		{"no roots", func() {}},
		{"roots", func() { _, _ = os.Mkdir(r.Kernel, 0o755), os.Mkdir(r.FIFO, 0o755) }},
		{"directories", func() {
			_, _ = os.Mkdir(filepath.Join(r.Kernel, module), 0o755), os.Mkdir(filepath.Join(r.FIFO, module), 0o755)
		}},
	} {
		step.make()
		if f, err := r.Find(module, true); !errors.Is(err, fs.ErrNotExist) || f != (File{}) {
			t.Errorf("%s: got %v, %v, want not exist", step.name, f, err)
		}
	}

	makeFIFO(t, r)
	for _, direct := range []bool{false, true} {
		f, err := r.Find(module, direct)
		if want := (File{Path: filepath.Join(r.FIFO, module, fileName), FIFO: true, Abandonable: direct}); f != want ||
			err != nil {
			t.Errorf("FIFO: got %v, %v, want %v", f, err, want)
		}
	}
	makeKernelFile(t, r)
	f, err := r.Find(module, false)
	if want := (File{Path: filepath.Join(r.Kernel, module, fileName), Abandonable: true}); f != want || err != nil {
		t.Errorf("kernel file: got %v, %v, want %v", f, err, want)
	}
}

func TestFindRejects(t *testing.T) {
	const nobody = 65534
	for name, c := range map[string]struct {
		spoil func(r Roots) error
		part  string
	}{
		"foreign root": {func(r Roots) error { return os.Chown(r.FIFO, nobody, -1) }, "belongs to user id 65534"},
		"foreign directory": {func(r Roots) error {
			return os.Chown(filepath.Join(r.FIFO, module), nobody, -1)
		}, "belongs to user id 65534"},
		"symlinked root": {func(r Roots) error { return moveAndLink(r.FIFO) }, "not a directory"},
		"symlinked directory": {func(r Roots) error {
			return moveAndLink(filepath.Join(r.FIFO, module))
		}, "not a directory"},
		"symlinked FIFO": {func(r Roots) error {
			return moveAndLink(filepath.Join(r.FIFO, module, fileName))
		}, "not a FIFO"},
		"root for everyone": {func(r Roots) error { return os.Chmod(r.FIFO, 0o777) }, "writable by everyone"},
		"directory for everyone": {func(r Roots) error {
			return os.Chmod(filepath.Join(r.FIFO, module), 0o777)
		}, "writable by everyone"},
		"root a file": {func(r Roots) error {
			return errors.Join(os.RemoveAll(r.FIFO), os.WriteFile(r.FIFO, nil, 0o600))
		}, "not a directory"},
		"regular file": {func(r Roots) error {
			path := filepath.Join(r.FIFO, module, fileName)
			return errors.Join(os.Remove(path), os.WriteFile(path, []byte("count 1\n"), 0o600))
		}, "not a FIFO"},
	} {
		t.Run(name, func(t *testing.T) {
			if testing.Short() && strings.HasPrefix(name, "foreign") {
				t.Skip("needs root, to change the owner of files")
			}
			r := testRoots(t)
			makeFIFO(t, r)
			if err := c.spoil(r); err != nil {
				t.Fatal(err)
			}
			f, err := r.Find(module, true)
			if f != (File{}) || err == nil || errors.Is(err, fs.ErrNotExist) ||
				!strings.Contains(err.Error(), c.part) ||
				!strings.Contains(err.Error(), r.FIFO) {
				t.Errorf("got %v, error %v, want %q", f, err, c.part)
			}
		})
	}
}

// moveAndLink moves path and replaces it with a symlink to its new name.
func moveAndLink(path string) error {
	return errors.Join(os.Rename(path, path+".moved"), os.Symlink(path+".moved", path))
}

func TestFindKernelRootUnusable(t *testing.T) {
	r := testRoots(t)
	makeFIFO(t, r)
	write(t, r.Kernel, nil)
	if _, err := r.Find(module, true); !errors.Is(err, unix.ENOTDIR) {
		t.Errorf("got %v, want not a directory", err)
	}
}

func TestDefaultRoots(t *testing.T) {
	r := DefaultRoots()
	if r.Kernel != "/proc/systemtap" || !strings.HasPrefix(r.FIFO, "/var/tmp/systemtap-") {
		t.Errorf("got %+v", r)
	}
	if os.Geteuid() == 0 && r.FIFO != "/var/tmp/systemtap-root" {
		t.Errorf("got %q for root", r.FIFO)
	}
}
