package runner

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"stap-exporter/internal/script"
	"stap-exporter/internal/toolchain"
)

// ErrExecutable tells that an executable script cannot be checked.
var ErrExecutable = errors.New("an executable script cannot be checked without running it")

// Check lets stap judge a script without running it: its analysis (pass 2), or
// with compile all up to the module (pass 4). It returns when stap is done, at
// the latest after the start timeout; nothing is kept. An executable script
// would run, so its Exit has an error that is ErrExecutable.
func (h *Host) Check(s script.Script, compile bool) Exit {
	if s.Executable {
		return Exit{Code: -1, Stage: toolchain.StageStart, Err: fmt.Errorf("check %s: %w", s.Name, ErrExecutable)}
	}
	pass := "-p2"
	if compile {
		pass = "-p4"
	}
	s.Module = h.checkModule()
	done := make(chan Exit, 1)
	var tree string
	h.start(job{
		name:    s.Name,
		module:  s.Module,
		timeout: h.cfg.StartTimeout,
		plan: func() (toolchain.Plan, error) {
			runtime := h.runtimeOf(s)
			if runtime == toolchain.BPF {
				var err error
				if tree, err = h.system.BPFTree(h.cfg.Dir); err != nil {
					return toolchain.Plan{}, err
				}
			}
			p, err := h.tools.Plan(s, runtime, tree)
			if err != nil {
				return toolchain.Plan{}, err
			}
			judge := p.Steps[0]
			judge.Argv = slices.Clone(judge.Argv)
			judge.Argv[slices.Index(judge.Argv, "-p4")] = pass
			return toolchain.Plan{Steps: []toolchain.Step{judge}}, nil
		},
		env: func(tmp string) []string { return h.tools.Environment(tmp, tree) },
	}, 0, func(e Event) {
		if e, ok := e.(Exited); ok {
			done <- e.Exit
		}
	})
	return <-done
}

// checkModule is a name that no script's module has.
func (h *Host) checkModule() string {
	return strings.TrimSuffix(h.cfg.ModulePrefix, "_") + "_check"
}

// RuntimeOf is the runtime that s is started with now: Kernel or BPF. An
// executable that is not stap's chooses for itself.
func (h *Host) RuntimeOf(s script.Script) toolchain.Runtime { return h.runtimeOf(s) }
