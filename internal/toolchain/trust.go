package toolchain

import (
	"errors"
	"fmt"
	"io/fs"

	"stap-exporter/internal/trust"
)

// CheckTrust returns nil when only root and id can change SystemTap's
// executables, and RuntimeDir with all files in it; else an error that matches
// trust.ErrUntrusted. What is missing is no error: it cannot run.
func (t Tools) CheckTrust(id trust.Identity) error {
	for _, path := range []string{t.Stap, t.Staprun, t.Stapbpf} {
		if path == "" {
			continue
		}
		if err := trust.Check(path, id); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("check SystemTap's executables: %w", err)
		}
	}
	if t.RuntimeDir == "" {
		return nil
	}
	if err := trust.CheckTree(t.RuntimeDir, id); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("check SystemTap's runtime directory: %w", err)
	}
	return nil
}
