package toolchain

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
)

// Tools are the absolute paths of SystemTap's programs; empty where one is
// missing.
type Tools struct {
	Stap          string
	Staprun       string
	StaprunDenied string // where staprun is, when this user may not execute it
	StapbpfDenied string
	Stapbpf       string
	Launcher      []string
	RuntimeDir    string // folder for stap -R; empty: stap's own
}

// Find looks for stap, and beside it, beside what it links to, and in PATH
// for its companions.
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
	places := []string{filepath.Dir(path)}
	if target, err := filepath.EvalSymlinks(path); err == nil {
		places = append(places, filepath.Dir(target))
	}
	beside := func(name string) string {
		for _, dir := range places {
			if p, err := exec.LookPath(filepath.Join(dir, name)); err == nil {
				return p
			}
		}
		if p, err := exec.LookPath(name); err == nil {
			if p, err = filepath.Abs(p); err == nil {
				return p
			}
		}
		return ""
	}
	t := Tools{Stap: path, Staprun: beside("staprun"), Stapbpf: beside("stapbpf")}
	denied := func(name string) string {
		for _, dir := range append(places, filepath.SplitList(os.Getenv("PATH"))...) {
			if p := filepath.Join(dir, name); isFile(p) {
				return p
			}
		}
		return ""
	}
	if t.Staprun == "" {
		t.StaprunDenied = denied("staprun")
	}
	if t.Stapbpf == "" {
		t.StapbpfDenied = denied("stapbpf")
	}
	return t, nil
}

func isFile(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular()
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
