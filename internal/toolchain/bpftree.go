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

// BPFTree returns the folder to give to "stap --bpf -r", or "" where the kernel
// has its own. The first call makes it below dir, under a temporary name, so
// that a folder that is there is whole.
func (s System) BPFTree(dir string) (string, error) {
	if s.HasBuildTree() {
		return "", nil
	}
	tree := filepath.Join(dir, "bpf-tree", s.Release)
	if _, err := os.Stat(filepath.Join(tree, ".config")); err == nil {
		return tree, nil
	}
	if err := s.makeTree(tree); err != nil {
		return "", fmt.Errorf("make build tree for bpf: %w", err)
	}
	return tree, nil
}

func (s System) makeTree(tree string) error {
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
	// Another run may have been faster, and its folder is as good; a torn one
	// from a full disk is not there, thanks to the temporary name.
	if err := os.Rename(tmp, tree); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return nil
}

// kernelConfig returns the running kernel's configuration.
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
			"find the kernel's configuration: neither %s nor %s is there; install the headers of kernel %s, or load the module \"configs\"",
			s.ConfigGz,
			path,
			s.Release,
		)
	}
	return text, err
}
