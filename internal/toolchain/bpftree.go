package toolchain

import (
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
)

// BPFTree returns the build tree for "stap --bpf -r", or "" when the kernel has
// its own. The first call creates it below dir, under a temporary name, so a
// tree that exists is complete.
func (s System) BPFTree(dir string) (string, error) {
	if s.HasBuildTree() {
		return "", nil
	}
	tree := filepath.Join(dir, "bpf-tree", s.Release)
	if _, err := os.Stat(filepath.Join(tree, ".config")); err == nil {
		return tree, nil
	}
	if err := s.createTree(tree); err != nil {
		return "", fmt.Errorf("create bpf build tree: %w", err)
	}
	return tree, nil
}

// createTree writes what stap requires of a build tree: the configuration and
// the release.
func (s System) createTree(tree string) error {
	if err := os.MkdirAll(filepath.Dir(tree), 0o700); err != nil {
		return err
	}
	config, err := s.kernelConfig()
	if err != nil {
		return err
	}
	tmp, err := os.MkdirTemp(filepath.Dir(tree), ".new-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(tmp) }()
	files := map[string][]byte{
		".config":                        config,
		"Module.symvers":                 nil,
		"include/config/kernel.release":  []byte(s.Release + "\n"),
		"include/generated/utsrelease.h": fmt.Appendf(nil, "#define UTS_RELEASE %q\n", s.Release),
	}
	for name, text := range files {
		path := filepath.Join(tmp, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			return err
		}
		if err := os.WriteFile(path, text, 0o600); err != nil {
			return err
		}
	}
	arch := map[string]string{"amd64": "x86", "386": "x86"}[runtime.GOARCH]
	if arch == "" {
		arch = runtime.GOARCH
	}
	if err := os.MkdirAll(filepath.Join(tmp, "arch", arch, "include"), 0o700); err != nil {
		return err
	}
	// A tree that another run has created in the meantime is as good. After a
	// full disk there is no incomplete one, because of the temporary name.
	if err := os.Rename(tmp, tree); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return nil
}

// kernelConfig returns the text of the running kernel's configuration.
func (s System) kernelConfig() ([]byte, error) {
	if f, err := os.Open(s.ConfigGz); err == nil {
		defer func() { _ = f.Close() }()
		z, err := gzip.NewReader(f)
		if err != nil {
			return nil, fmt.Errorf("read %s: %w", s.ConfigGz, err)
		}
		text, err := io.ReadAll(z)
		if err != nil {
			return nil, fmt.Errorf("read %s: %w", s.ConfigGz, err)
		}
		return text, nil
	}
	path := filepath.Join(s.Boot, "config-"+s.Release)
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf(
			"find kernel configuration: neither %s nor %s exists; "+
				"install the headers of kernel %s or load the module \"configs\"",
			s.ConfigGz,
			path,
			s.Release,
		)
	}
	return text, err
}
