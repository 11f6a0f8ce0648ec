package toolchain

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
)

// Tools holds the absolute paths of SystemTap's executables. A path is empty
// when there is no such executable.
type Tools struct {
	Stap    string
	Staprun string
	Stapbpf string

	// The paths of staprun and stapbpf when this user must not execute them.
	StaprunDenied string
	StapbpfDenied string

	Launcher   []string // the command line of the launcher; empty: run executables without it
	RuntimeDir string   // for stap -R; empty: stap's own runtime
}

// Find finds stap by name or path, and staprun and stapbpf beside it, beside
// the target of its symbolic link, or in PATH. Its error is ErrNoStap when
// there is no stap.
func Find(name string) (Tools, error) {
	path, err := exec.LookPath(name)
	if err == nil {
		path, err = filepath.Abs(path)
	}
	if err != nil {
		if errors.Is(err, exec.ErrNotFound) || errors.Is(err, os.ErrNotExist) {
			err = ErrNoStap
		}
		return Tools{}, fmt.Errorf("find stap %q: %w", name, err)
	}
	dirs := []string{filepath.Dir(path)}
	if target, err := filepath.EvalSymlinks(path); err == nil {
		dirs = append(dirs, filepath.Dir(target))
	}
	t := Tools{Stap: path}
	t.Staprun, t.StaprunDenied = findBeside(dirs, "staprun")
	t.Stapbpf, t.StapbpfDenied = findBeside(dirs, "stapbpf")
	return t, nil
}

// findBeside finds an executable in dirs or in PATH. When there is only a file
// of that name that this user must not execute, it returns that as denied.
func findBeside(dirs []string, name string) (path, denied string) {
	for _, dir := range dirs {
		if p, err := exec.LookPath(filepath.Join(dir, name)); err == nil {
			return p, ""
		}
	}
	if p, err := exec.LookPath(name); err == nil {
		if p, err = filepath.Abs(p); err == nil {
			return p, ""
		}
	}
	for _, dir := range slices.Concat(dirs, filepath.SplitList(os.Getenv("PATH"))) {
		p := filepath.Join(dir, name)
		if info, err := os.Stat(p); err == nil && info.Mode().IsRegular() {
			return "", p
		}
	}
	return "", ""
}

// LookPath finds an executable in PATH. Its error is fs.ErrNotExist when there
// is none.
func LookPath(name string) (string, error) {
	path, err := exec.LookPath(name)
	if errors.Is(err, exec.ErrNotFound) {
		err = fmt.Errorf("find %s in PATH: %w", name, fs.ErrNotExist)
	}
	return path, err
}
