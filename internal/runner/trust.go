package runner

import (
	"errors"
	"fmt"
	"path/filepath"

	"stap-exporter/internal/script"
	"stap-exporter/internal/trust"
)

// checkTools checks SystemTap's executables and runtime directory. NewHost did
// it, too, but some time ago.
func (h *Host) checkTools() error {
	if h.cfg.AllowInsecure {
		return nil
	}
	return h.tools.CheckTrust(trust.Self())
}

// checkScript checks a script and what its options name. Scan did it, too, but
// some time ago.
func (h *Host) checkScript(s script.Script) error {
	if h.cfg.AllowInsecure {
		return nil
	}
	if err := s.CheckTrust(trust.Self()); err != nil {
		return fmt.Errorf("run script: %w", err)
	}
	return nil
}

// makeFIFORoot makes the directory in which stapbpf makes a FIFO for each
// script, /var/tmp/systemtap-USER, with mode 0700. stapbpf takes any directory
// of that name, and every user can make it first; then that user could make
// stapbpf write elsewhere. Observed with SystemTap 5.1: stapbpf makes it
// writable by all users.
func (h *Host) makeFIFORoot() error {
	root, id := h.cfg.Roots.FIFO, trust.Self()
	remedy := ", or start with --scripts.allow-insecure"
	err := trust.Check(filepath.Dir(root), id)
	if err == nil {
		remedy = ", or remove that directory: it is made again"
		_, err = trust.MakeDir(root, id)
	}
	if err == nil || h.cfg.AllowInsecure {
		return nil
	}
	if !errors.Is(err, trust.ErrUntrusted) {
		remedy = ""
	}
	return fmt.Errorf("create the directory for the FIFOs of bpf scripts: %w%s", err, remedy)
}
