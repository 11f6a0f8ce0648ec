package runner

import (
	"cmp"
	"fmt"
	"hash/fnv"
	"time"

	"stap-exporter/internal/script"
	"stap-exporter/internal/toolchain"
)

const (
	// trialScript has what an exporter's scripts have, a procfs file and a
	// timer, and ends by itself.
	probeScript = `global n probe procfs("trial").read { $value = sprint(n) } probe timer.s(1000) { n++ } probe begin { println("loaded") exit() }`

	probeTimeout = 10 * time.Minute // a compile takes minutes on a slow or emulated machine
)

// startTrial compiles and loads a tiny kernel module, as a run like any other,
// and hands its end to done.
func (h *Host) startProbe(done func(Exit)) *Run {
	// The name is the same for each trial of one folder, so that a trial sweeps
	// what an interrupted one left.
	sum := fnv.New32a()
	_, _ = sum.Write([]byte(h.cfg.Dir))
	module := fmt.Sprintf("%sprobe_%08x", cmp.Or(h.cfg.ModulePrefix, "stap_exporter_"), sum.Sum32())
	return h.start(job{
		name:    "trial of kernel modules",
		module:  module,
		class:   background,
		timeout: probeTimeout,
		plan: func() (toolchain.Plan, error) {
			p := h.tools.KernelModule(module, script.Options{}, "-e", probeScript)
			p.Build.NoReuse = "it is a trial of the compiler, too"
			p.Steps[1].Offers = false
			return p, nil
		},
		env: func(tmp string) []string { return h.tools.Environment(tmp, "") },
	}, 0, func(e Event) {
		if e, ok := e.(Exited); ok {
			done(e.Exit)
		}
	})
}
