package runner

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"stap-exporter/internal/script"
	"stap-exporter/internal/toolchain"
)

// ErrExecutable reports that an executable script cannot be checked.
var ErrExecutable = errors.New("an executable script cannot be checked without running it")

// Check makes stap analyze a script without running it (pass 2), or with
// compile also compile it (pass 4). It returns when stap has ended, at the
// latest after the start timeout, and keeps nothing. An executable script would
// run, so its Exit has an error that is ErrExecutable.
func (h *Host) Check(s script.Script, compile bool) Exit {
	if s.Executable {
		return Exit{Code: -1, Stage: toolchain.StageStart, Err: fmt.Errorf("check %s: %w", s.Name, ErrExecutable)}
	}
	pass := "-p2"
	if compile {
		pass = "-p4"
	}
	// no script's module has this name
	s.Module = strings.TrimSuffix(h.cfg.ModulePrefix, "_") + "_check"
	done := make(chan Exit, 1)
	h.start(job{
		name:    s.Name,
		module:  s.Module,
		timeout: h.cfg.StartTimeout,
		plan: func() (plan, error) {
			p, err := h.plan(s)
			if err != nil {
				return plan{}, err
			}
			check := p.Steps[0]
			check.Argv = slices.Clone(check.Argv)
			check.Argv[slices.Index(check.Argv, "-p4")] = pass
			return plan{toolchain.Plan{Steps: []toolchain.Step{check}}, p.tree}, nil
		},
	}, 0, func(e Event) {
		if e, ok := e.(Exited); ok {
			done <- e.Exit
		}
	})
	return <-done
}
