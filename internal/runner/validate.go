package runner

import "stap-exporter/internal/script"

// Validate compiles s and runs nothing of it, so that a running script can be
// replaced by a version that compiles. A kernel module goes into the cache,
// where the start finds it; a bpf object is thrown away.
//
// The run's Exited has code 0 when stap accepted the script. An executable
// script cannot be validated: Validate returns nil. At most one validation of a
// script may run at a time; it may run beside the script itself.
func (h *Host) Validate(s script.Script, number uint64, report func(Event)) *Run {
	if s.Executable {
		return nil
	}
	return h.start(job{
		name: s.Name,
		// Not the module's name: that module is running, and the cleanup after
		// the validation must not remove it.
		module:      s.Module + ".validation",
		class:       background,
		compileOnly: true,
		timeout:     h.startTimeout(s),
		plan: func() (plan, error) {
			if err := h.checkScript(s); err != nil {
				return plan{}, err
			}
			return h.plan(s)
		},
	}, number, report)
}
