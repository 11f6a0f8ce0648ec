package runner

import (
	"cmp"

	"stap-exporter/internal/script"
	"stap-exporter/internal/toolchain"
)

// Validate compiles s and runs nothing of it, so that a script that is running
// can
// be replaced by a version that is known to compile. A kernel module goes into
// the cache, where the start finds it; what bpf makes is thrown away.
//
// The run's Exited has code 0 when stap took the script. A program
// (script.Script.Executable) cannot be tried: Try returns nil. One trial of a
// script at a time; it may go on beside the script's runs.
func (h *Host) Validate(s script.Script, number uint64, report func(Event)) *Run {
	if s.Executable {
		return nil
	}
	var tree string
	return h.start(job{
		name: s.Name,
		// not the module's name: that is running, and must not be taken for
		// what this run leaves
		module: s.Module + ".validation",
		class:  background,

		compileOnly: true,

		timeout: cmp.Or(s.Directives.StartTimeout, h.cfg.StartTimeout),
		plan: func() (p toolchain.Plan, err error) {
			runtime := h.runtimeOf(s)
			if runtime == toolchain.BPF {
				if tree, err = h.system.BPFTree(h.cfg.Dir); err != nil {
					return toolchain.Plan{}, err
				}
			}
			return h.tools.Plan(s, runtime, tree)
		},
		env: func(tmp string) []string { return h.tools.Environment(tmp, tree) },
	}, number, report)
}
