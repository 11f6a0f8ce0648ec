package runner

import (
	"cmp"
	"fmt"
	"hash/fnv"
	"time"

	"stap-exporter/internal/script"
)

const (
	// probeScript has what an exporter's scripts have, a procfs file and a
	// timer, and ends by itself.
	probeScript = `global n probe procfs("probe").read { $value = sprint(n) } ` +
		`probe timer.s(1000) { n++ } probe begin { println("loaded") exit() }`

	probeTimeout = 10 * time.Minute // a compile takes minutes on a slow or emulated machine
)

// startProbe compiles and loads a tiny kernel module, as a run like any other,
// and calls done with its end.
func (h *Host) startProbe(done func(Exit)) *Run {
	// The name is the same for each probe of one directory, so that a probe
	// cleans up after one that was interrupted.
	sum := fnv.New32a()
	_, _ = sum.Write([]byte(h.cfg.Dir))
	module := fmt.Sprintf("%sprobe_%08x", cmp.Or(h.cfg.ModulePrefix, "stap_exporter_"), sum.Sum32())
	return h.start(job{
		name:    "capability probe",
		module:  module,
		class:   background,
		timeout: probeTimeout,
		plan: func() (plan, error) {
			p := h.tools.KernelModule(module, script.Options{}, "-e", probeScript)
			p.Build.NoReuse = "it probes the compiler, too"
			p.Steps[1].Offers = false
			return plan{Plan: p}, nil
		},
	}, 0, func(e Event) {
		if e, ok := e.(Exited); ok {
			done(e.Exit)
		}
	})
}
